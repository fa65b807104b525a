"""Views: operators that move elements and compute nothing take no step of their own."""

from __future__ import annotations

from typing import cast

from ...dims import Dim
from ...graph.graph import Node, Value
from ...ops.base import Shape
from ...plan.plan import Binding, Size
from ..program import elements
from .emit import Program, View, strides_of

MAX_AXES = 4  # of the kernel that copies


def copy(p: Program, node: Node, view: View, value: Value, to: str | Binding) -> None:
    """A step that puts the elements of a view of `value`'s shape in order at `to`."""
    shape, strides = merged(value.shape, view.strides)
    lead = (1,) * (MAX_AXES - len(shape))
    nothing: tuple[Size, ...] = (0,) * len(lead)
    size = max(value.dtype.bits // 8, 1)
    p.emit(
        "move", node, [p.operand(view.root)], [to],
        [size, view.offset, *lead, *shape, *nothing, *strides],
        items=elements(shape[:-1]) if shape else 1,
        grain=16,
    )  # fmt: skip


def merged(shape: Shape, strides: tuple[Size, ...]) -> tuple[Shape, tuple[Size, ...]]:
    """The same elements with as few axes as possible; at least one."""
    dims: list[Dim] = []
    steps: list[Size] = []
    for dim, stride in zip(shape, strides, strict=True):
        if dim == 1:
            continue
        whole = isinstance(dim, int) and isinstance(stride, int)
        if dims and whole and isinstance(dims[-1], int) and steps[-1] == dim * stride:  # type: ignore[operator]
            dims[-1], steps[-1] = dims[-1] * dim, stride
        else:
            dims.append(dim)
            steps.append(stride)
    return (tuple(dims), tuple(steps)) if dims else ((1,), (1,))


def transpose(p: Program, node: Node) -> None:
    """Axis j of the output is axis permutation[j] of the input."""
    x, y = cast(str, node.inputs[0]), node.outputs[0]
    view = p.view(x)
    order = node.attrs.get("permutation") or tuple(range(len(view.strides)))[::-1]
    strides = tuple(view.strides[axis] for axis in cast(tuple[int, ...], order))
    p.views[y] = View(view.root, view.offset, strides)


def reshape(p: Program, node: Node) -> None:
    """The same elements in the same order: another name for where they lie."""
    x, y = cast(str, node.inputs[0]), node.outputs[0]
    place = p.dense(x, node)
    if isinstance(place, Binding):  # a constant
        p.views[y] = View(p.root(x), 0, strides_of(p.value(y).shape))
    else:
        p.alias(y, place)
