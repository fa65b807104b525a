"""Movement with steps: each part of the output is a view of an input, copied to its place."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import cast

from ...dims import Dim
from ...dtypes import DType
from ...graph.graph import Node, Value
from ...ops.precision import number
from ...plan.plan import Size, count
from ..program import elements
from .emit import Program, View, grain_of, strides_of
from .lower_view import GRAIN, move, negated, plus, times
from .opcodes import COMPUTED, bits_of


def _at(strides: Sequence[Size], starts: Sequence[Dim]) -> Size:
    """The offset of an element by its coordinates."""
    total: Size = 0
    for stride, start in zip(strides, starts, strict=True):
        made = plus(total, times(start, stride))
        assert made is not None, "coordinates are known but for the axis that varies"
        total = made
    return total


def concat(p: Program, node: Node) -> None:
    """Each input in its range of the axis."""
    y, axis = p.value(node.outputs[0]), cast(int, node.attrs["axis"])
    strides = strides_of(y.shape)
    before: Dim = 0
    for name in node.inputs:
        x = p.value(name)
        move(p, node, p.view(x.name), x, y.name, View("", times(before, strides[axis]), strides))
        before = before + x.shape[axis]


def tile(p: Program, node: Node) -> None:
    """Repeated along each axis: an axis of repetitions, of stride 0, before each."""
    x, y = p.value(node.inputs[0]), p.value(node.outputs[0])
    view = p.view(x.name)
    shape: list[Dim] = []
    strides: list[Size] = []
    times_each = cast(tuple[int, ...], node.attrs["repetitions"])
    for n, dim, stride in zip(times_each, x.shape, view.strides, strict=True):
        shape += [n, dim]
        strides += [0, stride]
    whole = View("", 0, strides_of(tuple(shape)))
    from_ = View(view.root, view.offset, tuple(strides))
    move(p, node, from_, Value(y.name, y.dtype, tuple(shape)), y.name, whole)


def triangular(p: Program, node: Node) -> None:
    """Zero below (upper) or above the diagonal of the last two axes."""
    y = p.value(node.outputs[0])
    rows, columns = y.shape[-2:]
    diagonal = max(min(cast(int, node.attrs.get("diagonal", 0)), 1 << 28), -(1 << 28))
    p.emit(
        "triangular", node, [p.dense(cast(str, node.inputs[0]), node)], [y.name],
        [max(y.dtype.bits // 8, 1), rows, columns, diagonal, bool(node.attrs.get("upper", True))],
        items=elements(y.shape[:-1]), grain=grain_of(columns, GRAIN),
    )  # fmt: skip


def pad(p: Program, node: Node) -> None:
    """A value, the nearest elements or the mirrored ones around the input.

    The last two are read from the output itself, axis by axis, so that corners come right.
    """
    x, y = p.value(node.inputs[0]), p.value(node.outputs[0])
    before = cast(tuple[int, ...], node.attrs["beginningPadding"])
    after = cast(tuple[int, ...], node.attrs["endingPadding"])
    mode = node.attrs.get("mode", "constant")
    strides = strides_of(y.shape)
    if mode == "constant" and any((*before, *after)):
        _fill(p, node, y, cast(float, node.attrs.get("value", 0)))
    move(p, node, p.view(x.name), x, y.name, View("", _at(strides, before), strides))
    if mode == "constant":
        return
    shape, starts = list(x.shape), list(before)  # what is there already
    for axis in range(len(shape)):
        low, high = starts[axis], starts[axis] + shape[axis]
        for n, first, of in ((before[axis], 0, low), (after[axis], high, high - 1)):
            slab = (*shape[:axis], n, *shape[axis + 1 :])
            _beside(p, node, Value(y.name, y.dtype, slab), starts, axis, first, of, mode == "edge")
        shape[axis], starts[axis] = y.shape[axis], 0


def _beside(
    p: Program, node: Node, slab: Value, starts: Sequence[int], axis: int, first: Dim, of: Dim,
    edge: bool,
) -> None:  # fmt: skip
    """Make a slab of the output, which begins at `first` on its axis, from what is beside it and
    has its end at `of`: this repeated, or what is behind it, mirrored."""
    strides = strides_of(p.value(slab.name).shape)
    n = cast(int, slab.shape[axis])
    if n == 0:
        return
    nearest = of if edge else of + n if first == 0 else of - 1
    to, reads = ([*starts[:axis], at, *starts[axis + 1 :]] for at in (first, nearest))
    back = 0 if edge else negated(strides[axis])
    view = View(slab.name, _at(strides, reads), (*strides[:axis], back, *strides[axis + 1 :]))
    move(p, node, view, slab, slab.name, View("", _at(strides, to), strides))


def _fill(p: Program, node: Node, y: Value, value: float) -> None:
    """Every element of `y` becomes a number."""
    given = number(value, y.dtype)
    size = max(y.dtype.bits // 8, 1)
    if y.dtype is DType.FLOAT16:
        bits = int.from_bytes(struct.pack("<e", given), "little")
    else:
        bits = bits_of(given, COMPUTED[y.dtype])
    n = elements(y.shape)
    p.emit("fill", node, [], [y.name], [size, n, bits & 0xFFFFFFFF, bits >> 32],
           items=count(n, 4096), grain=16)  # fmt: skip


MOVES: dict[str, Callable[[Program, Node], None]] = {
    "concat": concat,
    "tile": tile,
    "triangular": triangular,
    "pad": pad,
}
