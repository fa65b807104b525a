"""Lowering of transposed convolutions.

One is a convolution for each phase of its strides, of the taps that reach that phase; where windows
do not overlap, it is a product of pixels whose results are put side by side (conv_spread.c).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

from ...dtypes import DType
from ...graph.graph import Node, Value
from ...ops.base import Shape
from ...ops.window import quotient
from .emit import Program, View
from .lower_conv import PLAIN, Image, Pair, Place, Window, bias_of, by_patches, image, output
from .lower_gemm import FLOPS, blocks
from .lower_view import copy, plus, times
from .rows import finish

COLUMNS = 32  # of an item of conv_spread.c
SPREAD_ROWS = 48  # that it makes at once
SPREAD_CHANNELS = 1024  # that it reads at once


def conv_transpose2d(p: Program, node: Node) -> None:
    """By blocks where windows do not overlap, else phase by phase."""
    attrs = node.attrs
    x = image(p, node, cast(str, node.inputs[0]), cast(str, attrs["inputLayout"]))
    groups, name = cast(int, attrs["groups"]), cast(str, node.inputs[1])
    layout = cast(str, attrs["filterLayout"])
    filters = image(p, node, name, layout.translate(str.maketrans("io", "nc")))
    y, to, made = output(p, node)
    bias = bias_of(p, node)
    window = cast(Pair, filters.shape[2:])
    if _spreads(node, window, filters.shape, x.shape, made.shape):
        _spread(p, node, x, filters, bias, y, groups)
    else:
        _by_phases(p, node, x, filters, bias, made, groups)
    finish(p, node, y, to)


def _spreads(node: Node, window: Pair, filters: Shape, x: Shape, y: Shape) -> bool:
    """Whether every element of the output comes from one of the input."""
    attrs = node.attrs
    apart = attrs["strides"] == window and attrs["dilations"] == (1, 1)
    sizes = all(y[axis] == times(x[axis], window[axis - 2]) for axis in (2, 3))
    small = window[1] <= SPREAD_ROWS and cast(int, filters[0]) <= SPREAD_CHANNELS
    return apart and sizes and small and not any(cast(tuple[int, ...], attrs["padding"]))


def _spread(
    p: Program, node: Node, x: Image, filters: Image, bias: Place | None, y: str, groups: int
) -> None:
    """One step of conv_spread.c."""
    batches, channels, height, width = x.shape
    _, rows, *window = cast(tuple[int, ...], filters.shape)
    depth = cast(int, channels) // groups
    by_depth, by_row, *by_tap = cast(tuple[int, ...], filters.view.strides)
    shape = (groups, rows, *window, depth)
    turned = p.temporary(node.outputs[0], shape, DType.FLOAT32)
    view = View(filters.view.root, filters.view.offset,
                (depth * by_depth, by_row, *by_tap, by_depth))  # fmt: skip
    copy(p, node, view, Value(turned, DType.FLOAT32, shape), turned)
    place = p.operand(x.view.root)
    work = 2 * COLUMNS * rows * window[0] * window[1] * depth
    p.emit(
        "conv_spread", node, [place, turned, place if bias is None else bias], [y],
        [batches, groups, depth, rows, height, width, *window, x.view.offset, *x.view.strides,
         bias is not None],
        items=blocks((batches, groups), height, width, 1, COLUMNS),
        grain=max(FLOPS // max(work, 1), 1),
    )  # fmt: skip


def _by_phases(
    p: Program, node: Node, x: Image, filters: Image, bias: Place | None, made: Image, groups: int
) -> None:
    """A convolution for each row and column of the strides."""
    attrs = node.attrs
    strides, padding = cast(Pair, attrs["strides"]), cast(tuple[int, ...], attrs["padding"])
    reached = [
        [
            _phase(first, cast(int, filters.shape[2 + axis]), strides[axis], dilation,
                   padding[2 * axis])
            for first in range(strides[axis])
        ]
        for axis, dilation in enumerate(cast(Pair, attrs["dilations"]))
    ]  # fmt: skip
    for row, rows in enumerate(reached[0]):
        for column, columns in enumerate(reached[1]):
            part = _every(made, strides, (row, column))
            size = (len(rows.taps), len(columns.taps))
            dilations = (rows.dilation, columns.dilation)
            window = Window(size, (1, 1), dilations, (rows.padding, columns.padding))
            if rows.taps and columns.taps:
                chosen = _chosen(p, node, filters, rows.taps, columns.taps, groups)
                by_patches(p, node, x, chosen, bias, part, window, groups)
            else:  # nothing but the bias
                nothing = replace(x, shape=(x.shape[0], 0, *x.shape[2:]))
                by_patches(p, node, nothing, p.operand(x.view.root), bias, part, PLAIN, groups)


@dataclass(frozen=True, slots=True)
class Phase:
    """The elements of a window that reach the places of one phase, in the order of the input."""

    taps: tuple[int, ...]
    dilation: int
    padding: int


def _phase(first: int, window: int, stride: int, dilation: int, padding: int) -> Phase:
    """Of places first, first + stride, ...; one, p, gets element k of (p + padding - k d) / s."""
    taps = tuple(k for k in reversed(range(window))
                 if (first + padding - k * dilation) % stride == 0)  # fmt: skip
    starts = [(first + padding - k * dilation) // stride for k in taps] or [0]
    return Phase(taps, starts[1] - starts[0] if len(taps) > 1 else 1, -starts[0])


def _every(y: Image, strides: Pair, first: Pair) -> Image:
    """Every so many rows and columns of an image."""
    sizes = [quotient(y.shape[2 + axis] - first[axis], strides[axis], True, "a phase")
             for axis in (0, 1)]  # fmt: skip
    *outer, by_row, by_column = y.view.strides
    offset = plus(times(first[0], by_row), times(first[1], by_column))
    assert offset is not None, f"{y=}"
    steps = (*outer, times(strides[0], by_row), times(strides[1], by_column))
    return Image(View(y.view.root, offset, steps), (*y.shape[:2], *sizes))


def _chosen(
    p: Program, node: Node, filters: Image, rows: tuple[int, ...], columns: tuple[int, ...],
    groups: int,
) -> str:  # fmt: skip
    """Some elements of filters [I, O / G, KH, KW] as [O, I / G, rows, columns]."""
    taken, made, *_ = cast(tuple[int, ...], filters.shape)
    steps = cast(tuple[int, ...], filters.view.strides)
    depth = taken // groups
    shape = (groups, made, depth, len(rows), len(columns))
    by_row, by_column = (
        (taps[1] - taps[0]) * step if len(taps) > 1 else 0
        for taps, step in ((rows, steps[2]), (columns, steps[3]))
    )
    offset = cast(int, filters.view.offset) + rows[0] * steps[2] + columns[0] * steps[3]
    strides = (depth * steps[0], steps[1], steps[0], by_row, by_column)
    place = p.temporary(node.outputs[0], shape, DType.FLOAT32)
    value = Value(place, DType.FLOAT32, shape)
    copy(p, node, View(filters.view.root, offset, strides), value, place)
    return place
