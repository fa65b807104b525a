"""Gathers and scatters: elements chosen or replaced by tensors of positions."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from ...dtypes import DType
from ...graph.graph import Node, Value
from ...ops.base import Shape
from ...plan.plan import Size
from ..program import elements
from .emit import Number, Program, grain_of
from .lower_view import GRAIN, copy, times

KINDS = {DType.INT32: 0, DType.UINT32: 1, DType.INT64: 2}


def _size(value: Value) -> int:
    return max(value.dtype.bits // 8, 1)


def _around(shape: Shape, axis: int) -> tuple[Size, Size]:
    """The numbers of elements before and after an axis."""
    return elements(shape[:axis]), elements(shape[axis + 1 :])


def gather(p: Program, node: Node) -> None:
    """Whole slices at positions along the axis."""
    x, at = (p.value(name) for name in node.inputs)
    axis = cast(int, node.attrs.get("axis", 0))
    outer, inner = _around(x.shape, axis)
    n_chosen = elements(at.shape)
    _step(p, "gather", node, [_size(x), KINDS[at.dtype], x.shape[axis], inner, n_chosen],
          items=times(outer, n_chosen), each=inner)  # fmt: skip


def gather_elements(p: Program, node: Node) -> None:
    """Each element at its own position along the axis."""
    x, at = (p.value(name) for name in node.inputs)
    axis = cast(int, node.attrs.get("axis", 0))
    outer, inner = _around(x.shape, axis)
    n_chosen = at.shape[axis]
    _step(p, "gather_elements", node, [_size(x), KINDS[at.dtype], x.shape[axis], inner, n_chosen],
          items=times(outer, n_chosen), each=inner)  # fmt: skip


def gather_nd(p: Program, node: Node) -> None:
    """Slices at coordinates that the last axis of the indices holds."""
    x, at = (p.value(name) for name in node.inputs)
    depth = cast(int, at.shape[-1])
    inner = elements(x.shape[depth:])
    _step(p, "gather_nd", node, [_size(x), KINDS[at.dtype], inner, depth, *x.shape[:depth]],
          items=elements(at.shape[:-1]), each=inner)  # fmt: skip


def _step(
    p: Program, kernel: str, node: Node, numbers: list[Number], *, items: Size, each: Size
) -> None:
    reads = [p.dense(cast(str, name), node) for name in node.inputs]
    p.emit(kernel, node, reads, [node.outputs[0]], numbers, items=items,
           grain=grain_of(each, GRAIN))  # fmt: skip


def scatter_elements(p: Program, node: Node) -> None:
    """A copy of the input; each update at its own coordinates, but for `axis`, where its index
    says."""
    x, at, updates = (p.value(name) for name in node.inputs)
    axis = cast(int, node.attrs.get("axis", 0))
    outer, inner = _around(x.shape, axis)
    length = updates.shape[axis]
    _replace(p, "scatter_elements", node,
             [_size(x), KINDS[at.dtype], x.shape[axis], inner, length],
             items=times(outer, inner), each=length)  # fmt: skip


def scatter_nd(p: Program, node: Node) -> None:
    """A copy of the input; whole slices at the coordinates that the last axis of the indices
    holds."""
    x, at, _ = (p.value(name) for name in node.inputs)
    depth = cast(int, at.shape[-1])
    inner, n_updates = elements(x.shape[depth:]), elements(at.shape[:-1])
    _replace(p, "scatter_nd", node,
             [_size(x), KINDS[at.dtype], inner, depth, n_updates, *x.shape[:depth]],
             items=inner, each=n_updates)  # fmt: skip


def _replace(
    p: Program, kernel: str, node: Node, numbers: list[Number], *, items: Size, each: Size
) -> None:
    x, at, updates = (cast(str, name) for name in node.inputs)
    reads = [p.dense(updates, node), p.dense(at, node)]
    copy(p, node, p.view(x), p.value(x), node.outputs[0])
    p.emit(kernel, node, reads, [node.outputs[0]], numbers, items=items,
           grain=grain_of(each, GRAIN))  # fmt: skip


INDEXED: dict[str, Callable[[Program, Node], None]] = {
    "gather": gather,
    "gatherElements": gather_elements,
    "gatherND": gather_nd,
    "scatterElements": scatter_elements,
    "scatterND": scatter_nd,
}
