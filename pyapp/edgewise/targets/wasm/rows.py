"""What kernels of rows share: a tensor as [outer, n, inner], and float16 around float32 kernels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from ...dims import Dim
from ...dtypes import DType
from ...graph.graph import Node, Value
from ...plan.plan import Binding, Size
from ..program import elements
from .emit import Program, View, grain_of, strides_of
from .lower_view import copy

WORK = 1 << 15  # elements that are worth the while of a thread
LANES = 16  # columns that a kernel does at once


@dataclass(frozen=True, slots=True)
class Rows:
    """A tensor whose rows run along n: [outer, n, inner], at `place`.

    order  its axes in the order in which they lie there
    """

    place: str | Binding
    outer: Size
    n: Size
    inner: Size
    order: tuple[int, ...]

    @property
    def items(self) -> Size:
        """How many rows there are."""
        return elements((*_dims(self.outer), *_dims(self.inner)))

    @property
    def grain(self) -> int:
        """Rows that are worth the while of a thread."""
        return grain_of(self.n, WORK) if self.inner == 1 else max(grain_of(self.n, WORK), LANES)


def _dims(size: Size) -> tuple[Dim, ...]:
    return size if isinstance(size, tuple) else (size,)


def rows_of(p: Program, node: Node, name: str, axes: Iterable[int]) -> Rows:
    """A value with rows over `axes`, as it lies if these are neighbours, else in another order.

    float16 comes as float32.
    """
    shape, over = p.value(name).shape, frozenset(axes)
    every = range(len(shape))
    sides = [side for side, _ in groupby(axis in over for axis in every if shape[axis] != 1)]
    if sides.count(True) > 1:
        order = (*(axis for axis in every if axis not in over), *sorted(over))
    else:
        order = tuple(every)
    first = next((at for at, axis in enumerate(order) if axis in over and shape[axis] != 1), 0)
    kept = [(at >= first, shape[axis]) for at, axis in enumerate(order) if axis not in over]
    return Rows(
        place=floats(p, node, name, order),
        outer=elements(dim for after, dim in kept if not after),
        n=elements(shape[axis] for axis in order if axis in over),
        inner=elements(dim for after, dim in kept if after),
        order=order,
    )


def floats(
    p: Program, node: Node, name: str, order: tuple[int, ...] | None = None
) -> str | Binding:
    """Where a value lies with its axes in `order`, float16 as float32; else in its own type."""
    root, value = p.root(name), p.value(name)
    if order is None or order == tuple(range(len(order))):
        if (root, "float32") in p.made:
            return p.made[root, "float32"]
        made = _widened(p, node, p.dense(name, node), value)
        if isinstance(made, str) and value.dtype is DType.FLOAT16 and root not in p.states:
            p.made[root, "float32"] = made
        return made
    shape = tuple(value.shape[axis] for axis in order)
    view = p.view(name)
    place = p.temporary(name, shape, value.dtype)
    ordered = View(view.root, view.offset, tuple(view.strides[axis] for axis in order))
    copy(p, node, ordered, Value(place, value.dtype, shape), place)
    return _widened(p, node, place, value)


def _widened(p: Program, node: Node, place: str | Binding, value: Value) -> str | Binding:
    if value.dtype is not DType.FLOAT16:
        return place
    wide = p.temporary(value.name, value.shape, DType.FLOAT32)
    p.emit("widen", node, [place], [wide], items=elements(value.shape), grain=WORK)
    return wide


def result(p: Program, name: str, order: Sequence[int] = ()) -> tuple[str, str]:
    """Where a kernel that makes float32 writes `name`, and where it has to be in the end.

    Its axes may come in `order`: then the value is a view of that.
    """
    value, to = p.value(name), name
    if tuple(order) != tuple(range(len(order))):
        shape = tuple(value.shape[axis] for axis in order)
        to = p.temporary(name, shape, value.dtype)
        strides = strides_of(shape)
        ordered = tuple(strides[order.index(axis)] for axis in range(len(order)))
        p.views[name] = View(to, 0, ordered)
    if value.dtype is not DType.FLOAT16:
        return to, to
    return p.temporary(name, value.shape, DType.FLOAT32), to


def finish(p: Program, node: Node, made: str, to: str, name: str | None = None) -> None:
    """Round what a kernel made in float32 to where `result` wants it.

    name  the value, unless it is the node's first output
    """
    if made != to:
        items = elements(p.value(name or node.outputs[0]).shape)
        p.emit("narrow", node, [made], [to], items=items, grain=WORK)
