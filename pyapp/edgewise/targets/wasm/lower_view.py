"""Views: operators that move elements and compute nothing take no step of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import cast

from ...dims import Dim, Expr
from ...graph.graph import Node, Value
from ...ops.base import Shape
from ...plan.plan import Binding, Size
from ..program import elements
from .emit import Number, Program, View, grain_of, strides_of

GRAIN = 1 << 14  # elements that are worth the while of a thread
LINE = 16  # rows that a transposition moves at once, where it can


def copy(p: Program, node: Node, view: View, value: Value, to: str | Binding) -> None:
    """A step that puts the elements of a view of `value`'s shape in order at `to`."""
    move(p, node, view, value, to, View("", 0, strides_of(value.shape)))


def move(p: Program, node: Node, view: View, value: Value, to: str | Binding, place: View) -> None:
    """A step that puts the elements of a view of `value`'s shape where `place` has them at `to`."""
    shape, (reads, writes) = merged_together(value.shape, [view.strides, place.strides])
    shape, reads, writes = _cut(shape, reads, writes)
    numbers: list[Number] = [
        max(value.dtype.bits // 8, 1), len(shape), view.offset, place.offset,
        sum(backwards(step) << axis for axis, step in enumerate(reads)),
    ]  # fmt: skip
    for dim, read, write in zip(shape, reads, writes, strict=True):
        numbers += [dim, negated(read) if backwards(read) else read, write]
    p.emit(
        "move", node, [p.operand(view.root)], [to], numbers,
        items=elements(_flat(shape[:-1])), grain=max(grain_of(shape[-1], GRAIN), LINE),
    )  # fmt: skip


Sizes = tuple[Size, ...]


def _cut(shape: Sizes, reads: Sizes, writes: Sizes) -> tuple[Sizes, Sizes, Sizes]:
    """One long row as several, which threads can share."""
    n = shape[0]
    if len(shape) > 1 or not isinstance(n, int) or n < 2 * LINE * GRAIN:
        return shape, reads, writes
    each = next((size for size in (GRAIN // LINE, 256, 64) if n % size == 0), n)
    return (
        (n // each, each),
        (times(each, reads[0]), reads[0]),
        (times(each, writes[0]), writes[0]),
    )


def merged_together(
    shape: Shape, strides: Sequence[Sequence[Size]]
) -> tuple[tuple[Size, ...], list[tuple[Size, ...]]]:
    """The same elements of several views of one shape, with as few axes as possible; one at
    least."""
    dims: list[Size] = []
    steps: list[list[Size]] = [[] for _ in strides]
    for axis, dim in enumerate(shape):
        if dim == 1:
            continue
        here = [each[axis] for each in strides]
        if dims and all(s[-1] == times(dim, h) for s, h in zip(steps, here, strict=True)):
            dims[-1] = times(dims[-1], dim)
            for each, step in zip(steps, here, strict=True):
                each[-1] = step
        else:
            dims.append(dim)
            for each, step in zip(steps, here, strict=True):
                each.append(step)
    if not dims:
        return (1,), [(1,) if any(each) else (0,) for each in strides]
    return tuple(dims), [tuple(each) for each in steps]


def times(a: Size, b: Size) -> Size:
    """The product of two sizes, in one form."""
    made = elements((*_parts(a), *_parts(b)))
    return made if not isinstance(made, tuple) else (made[0], *sorted(made[1:], key=str))


def _parts(size: Size) -> tuple[Dim, ...]:
    return size if isinstance(size, tuple) else (size,)


def _flat(sizes: Iterable[Size]) -> tuple[Dim, ...]:
    return tuple(dim for size in sizes for dim in _parts(size))


def backwards(step: Size) -> bool:
    """Whether a symbolic stride is below zero: what a plan's numbers cannot be."""
    if isinstance(step, tuple):
        return isinstance(step[0], int) and step[0] < 0
    return isinstance(step, Expr) and all(factor < 0 for _, factor in step.terms)


def negated(size: Size) -> Size:
    """The other way round."""
    return times(-1, size)


def plus(a: Size, b: Size) -> Size | None:
    """The sum of two sizes, or None if it is no size."""
    if a == 0 or b == 0:
        return b if a == 0 else a
    return None if isinstance(a, tuple) or isinstance(b, tuple) else a + b


def source(p: Program, node: Node) -> View:
    """The view of a node's first input. Of a state, which later steps change, a copy."""
    x = cast(str, node.inputs[0])
    view = p.view(x)
    if p.root(view.root) not in p.states:
        return view
    value = p.value(x)
    place = p.temporary(x, value.shape, value.dtype)
    copy(p, node, view, value, place)
    return View(place, 0, strides_of(value.shape))


def moved(
    p: Program, node: Node, view: View, shape: Shape, axis: int, start: Dim, step: int = 1
) -> View:
    """A view of `shape` from index `start` of an axis on, every `step`-th."""
    offset = plus(view.offset, times(start, view.strides[axis]))
    if offset is None:  # a sum that is no size: from a copy there is nothing to add to
        x = p.value(node.inputs[0])
        place = p.temporary(x.name, shape, x.dtype)
        copy(p, node, view, Value(place, x.dtype, shape), place)
        view = View(place, 0, strides_of(shape))
        offset = times(start, view.strides[axis])
    strides = list(view.strides)
    strides[axis] = times(step, strides[axis])
    return View(view.root, offset, tuple(strides))


def transpose(p: Program, node: Node) -> None:
    """Axis j of the output is axis permutation[j] of the input."""
    view = source(p, node)
    order = node.attrs.get("permutation") or tuple(range(len(view.strides)))[::-1]
    strides = tuple(view.strides[axis] for axis in cast(tuple[int, ...], order))
    p.views[node.outputs[0]] = View(view.root, view.offset, strides)


def slice_(p: Program, node: Node) -> None:
    """From `starts`, every `strides`-th."""
    view = source(p, node)
    shape, y = p.value(node.inputs[0]).shape, p.value(node.outputs[0]).shape
    starts = cast(tuple[Dim, ...], node.attrs["starts"])
    steps = cast(tuple[int, ...], node.attrs.get("strides") or (1,) * len(starts))
    for axis, (start, step) in enumerate(zip(starts, steps, strict=True)):
        view = moved(p, node, view, shape, axis, start, step)
        shape = (*y[: axis + 1], *shape[axis + 1 :])
    p.views[node.outputs[0]] = view


def split(p: Program, node: Node) -> None:
    """Parts along the axis."""
    view = source(p, node)
    shape, axis = p.value(node.inputs[0]).shape, cast(int, node.attrs.get("axis", 0))
    before = 0
    for name in node.outputs:
        p.views[name] = moved(p, node, view, shape, axis, before)
        before += cast(int, p.value(name).shape[axis])


def reverse(p: Program, node: Node) -> None:
    """The other way round along `axes`."""
    view = source(p, node)
    shape = p.value(node.inputs[0]).shape
    axes = node.attrs.get("axes")
    for axis in range(len(shape)) if axes is None else cast(tuple[int, ...], axes):
        if shape[axis] != 0:
            view = moved(p, node, view, shape, axis, shape[axis] - 1, -1)
    p.views[node.outputs[0]] = view


def expand(p: Program, node: Node) -> None:
    """Repeated along axes of length 1."""
    view = source(p, node)
    x, y = p.value(node.inputs[0]), p.value(node.outputs[0])
    strides: list[Size] = [0] * (len(y.shape) - len(x.shape))
    for dim, to, step in zip(x.shape, y.shape[len(strides) :], view.strides, strict=True):
        strides.append(0 if dim == 1 and to != 1 else step)
    p.views[y.name] = View(view.root, view.offset, tuple(strides))


def identity(p: Program, node: Node) -> None:
    """Another name for the same view."""
    p.views[node.outputs[0]] = source(p, node)


def reshape(p: Program, node: Node) -> None:
    """The same elements in the same order: another name for where they lie."""
    x, y = cast(str, node.inputs[0]), node.outputs[0]
    view, before, after = source(p, node), p.value(x).shape, p.value(y).shape
    in_order = view.strides == strides_of(before)
    strides = strides_of(after) if in_order else reshaped(before, view.strides, after)
    if strides is None:
        place = p.dense(x, node)
        assert isinstance(place, str), "what is not in order is copied to a temporary"
        p.alias(y, place)
    elif in_order and view.offset == 0 and view.root not in p.graph.constants:
        p.alias(y, view.root)
    else:
        p.views[y] = View(view.root, view.offset, strides)


def reshaped(shape: Shape, strides: tuple[Size, ...], to: Shape) -> tuple[Size, ...] | None:
    """Strides over the axes of another shape of as many elements; None if there are none such.

    From the end, the smallest groups of axes of both shapes that have as many elements are taken;
    a group's axes must lie in order.
    """
    made: list[Size] = []
    old = [(dim, step) for dim, step in zip(shape, strides, strict=True) if dim != 1]
    new = list(to)
    while new:
        group = [new.pop()]
        if group[0] == 1:
            made.append(0)
            continue
        if not old:
            return None
        first, stride = old.pop()
        mine, theirs = times(1, first), times(1, group[0])
        while mine != theirs:
            if _degree(mine) < _degree(theirs):
                if not old or old[-1][1] != times(mine, stride):
                    return None
                mine = times(mine, old.pop()[0])
            elif new:
                group.append(new.pop())
                theirs = times(theirs, group[-1])
            else:
                return None
        step = stride
        for dim in group:
            made.append(step)
            step = times(step, dim)
    return None if old else tuple(made[::-1])


def _degree(size: Size) -> tuple[int, int]:
    """What tells the larger of two products: how many symbols it has, and its number."""
    dims = _parts(size)
    number = dims[0] if isinstance(dims[0], int) else abs(dims[0].terms[0][1])
    return sum(isinstance(dim, Expr) for dim in dims), number


VIEWS: dict[str, Callable[[Program, Node], None]] = {
    "identity": identity,
    "reshape": reshape,
    "transpose": transpose,
    "slice": slice_,
    "split": split,
    "reverse": reverse,
    "expand": expand,
}
