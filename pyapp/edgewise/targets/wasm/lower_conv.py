"""Lowering of convolutions: products of filters and windows.

A window of one element is a plain matrix product (conv_1x1.c). For others conv.c copies the part
of the image that a block of the output needs, as large as stays in the second cache; winograd.c
does the most usual of them with fewer products.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from ...dims import bound
from ...dtypes import DType
from ...graph.graph import Node
from ...ops.base import Shape
from ...ops.window import canonical, permutation
from ...plan.plan import Binding, Size
from ..program import elements
from .emit import Number, Program, View, strides_of
from .lower_gemm import FLOPS, blocks
from .lower_view import times
from .rows import finish, floats, result

PACKED_FLOATS = 49152  # what conv_1x1.c packs at once
PATCH_FLOATS = 40960  # what conv.c copies at most
PATCH_AIM = 24576  # what it copies where it can choose
PLACES = 8192  # taps of conv.c at once
PIXELS = 32  # of an item of conv_1x1.c
TURNED_FLOATS = 40960  # what winograd.c turns at once
WIDEST = 256  # columns of a block of conv.c
ITEMS = 16  # that threads share evenly

Place = str | Binding
Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Image:
    """How [N, C, H, W] lies in float32."""

    view: View
    shape: Shape


@dataclass(frozen=True, slots=True)
class Window:
    """What moves over an image: along height and width."""

    size: Pair
    strides: Pair
    dilations: Pair
    padding: Pair  # above and left


PLAIN = Window((1, 1), (1, 1), (1, 1), (0, 0))


def conv2d(p: Program, node: Node) -> None:
    """As a product of pixels where the window is one, else with patches of the image."""
    attrs = node.attrs
    x = image(p, node, cast(str, node.inputs[0]), cast(str, attrs["inputLayout"]))
    layout = cast(str, attrs["filterLayout"])
    weight = cast(str, node.inputs[1])
    shape = canonical(p.value(weight).shape, layout)
    filters = floats(p, node, weight, permutation(layout, "oihw"))
    size, strides = cast(Pair, shape[2:]), cast(Pair, attrs["strides"])
    padding = cast(tuple[int, ...], attrs["padding"])
    window = Window(size, strides, cast(Pair, attrs["dilations"]), (padding[0], padding[2]))
    y, to, made = output(p, node)
    bias = bias_of(p, node)
    groups = cast(int, attrs["groups"])
    pixel = line_of_pixels(x)
    if size == strides == (1, 1) and padding == (0, 0, 0, 0) and pixel is not None:
        _by_pixels(p, node, x, pixel, filters, bias, y, made.shape, groups)
    elif _suits_winograd(window, x.shape, made.shape, groups):
        _by_tiles(p, node, x, filters, bias, made, window, groups)
    else:
        by_patches(p, node, x, filters, bias, made, window, groups)
    finish(p, node, y, to)


def image(p: Program, node: Node, name: str, layout: str) -> Image:
    """How to read a value of `layout` as [N, C, H, W] in float32."""
    value, view = p.value(name), p.view(name)
    if value.dtype is not DType.FLOAT32:
        view = View(cast(str, floats(p, node, name)), 0, strides_of(value.shape))
    strides = tuple(view.strides[axis] for axis in permutation(layout, "nchw"))
    return Image(View(view.root, view.offset, strides), canonical(value.shape, layout))


def output(p: Program, node: Node) -> tuple[str, str, Image]:
    """Where the result is made in float32, and where it goes from there; as [N, C, H, W]."""
    name, layout = node.outputs[0], cast(str, node.attrs["inputLayout"])
    y, to = result(p, name, permutation(layout, "nchw"))
    shape = canonical(p.value(name).shape, layout)
    return y, to, Image(View(y, 0, strides_of(shape)), shape)


def bias_of(p: Program, node: Node) -> Place | None:
    """Where the bias lies in float32, if there is one."""
    name = node.inputs[2]
    return None if name is None else floats(p, node, name)


def line_of_pixels(x: Image) -> Size | None:
    """The stride from any pixel of a channel to the next, if there is one."""
    height, width = x.shape[2:]
    by_row, by_column = x.view.strides[2:]
    if width == 1:
        return by_row
    return by_column if height == 1 or by_row == times(width, by_column) else None


def _by_pixels(
    p: Program, node: Node, x: Image, pixel: Size, filters: Place, bias: Place | None, y: str,
    made: Shape, groups: int,
) -> None:  # fmt: skip
    batches, channels, height, width = x.shape
    depth, rows = cast(int, channels) // groups, cast(int, made[1]) // groups
    pixels = elements((height, width))
    part = max(min(depth, PACKED_FLOATS // PIXELS), 1)
    work = 2 * rows * depth * PIXELS
    place = p.operand(x.view.root)
    p.emit(
        "conv_1x1", node, [place, filters, place if bias is None else bias], [y],
        [batches, groups, depth, rows, pixels, x.view.offset, *x.view.strides[:2], pixel,
         bias is not None, PIXELS, part],
        items=blocks((batches,), pixels, groups, PIXELS, 1), grain=max(FLOPS // max(work, 1), 1),
    )  # fmt: skip


def _suits_winograd(window: Window, x: Shape, y: Shape, groups: int) -> bool:
    """Whether products are most of the work, and a block's channels are not too many."""
    depth, rows = cast(int, x[1]) // groups, cast(int, y[1]) // groups
    plain = window.size == (3, 3) and window.strides == window.dilations == (1, 1)
    return plain and 16 <= depth <= TURNED_FLOATS // 128 and rows >= 12


def _by_tiles(
    p: Program, node: Node, x: Image, filters: Place, bias: Place | None, y: Image,
    window: Window, groups: int,
) -> None:  # fmt: skip
    """Two steps of winograd.c."""
    batches, channels, *sizes = x.shape
    depth, rows = cast(int, channels) // groups, cast(int, y.shape[1]) // groups
    turned = p.temporary(node.outputs[0], (16, groups * rows, depth), DType.FLOAT32)
    every = groups * rows * depth
    p.emit("winograd_filter", node, [filters], [turned], [every], items=every, grain=2048)
    tiles = 16 if 16 * 16 * depth <= TURNED_FLOATS else 8
    place = p.operand(x.view.root)
    p.emit(
        "winograd", node, [place, turned, place if bias is None else bias], [y.view.root],
        [groups, depth, rows, *sizes, *y.shape[2:], *window.padding, x.view.offset,
         *x.view.strides, bias is not None, tiles, batches],
        items=blocks((batches, groups), y.shape[2], y.shape[3], 2, 2 * tiles),
        grain=max(FLOPS // (32 * rows * depth * tiles), 1),
    )  # fmt: skip


def by_patches(
    p: Program, node: Node, x: Image, filters: Place, bias: Place | None, y: Image,
    window: Window, groups: int,
) -> None:  # fmt: skip
    """One step of conv.c."""
    batches, channels, *sizes = x.shape
    depth, rows = cast(int, channels) // groups, cast(int, y.shape[1]) // groups
    high, wide, part, lines = _block(y.shape, window, depth, groups)
    work = 2 * rows * depth * window.size[0] * window.size[1] * high * wide
    numbers: list[Number] = [
        groups, depth, rows, *sizes, *y.shape[2:], *window.size, *window.strides,
        *window.dilations, *window.padding, x.view.offset, *x.view.strides, y.view.offset,
        *y.view.strides, bias is not None, high, wide, part, lines, batches,
    ]  # fmt: skip
    place = p.operand(x.view.root)
    p.emit(
        "conv", node, [place, filters, place if bias is None else bias], [y.view.root], numbers,
        items=blocks((batches, groups), y.shape[2], y.shape[3], high, wide),
        grain=max(FLOPS // max(work, 1), 1),
    )  # fmt: skip


def _block(y: Shape, window: Window, depth: int, groups: int) -> tuple[int, int, int, int]:
    """Rows and columns of a block of y; channels and rows of the window that it takes at once."""
    batches, _, height, width = map(bound, y)
    high, part, lines = 1, max(depth, 1), window.size[0]
    wide = max(min(-(-width // 8) * 8, WIDEST), 8)
    while wide > 16 and _patch(window, high, wide, part, lines) > PATCH_AIM:
        wide = -(-wide // 16) * 8
    most = PLACES // (window.size[0] * window.size[1])
    one = _patch(window, high, wide, 1, lines)
    part = max(min(part, most, PATCH_FLOATS // one), 1)
    if part < 1 or one > PATCH_FLOATS or most < 1:
        part, lines, wide = 1, 1, 8
    across = batches * groups * -(-width // wide)
    while (
        part >= depth
        and high < height
        and _patch(window, high + 1, wide, part, lines) <= PATCH_AIM
        and across * -(-height // (high + 1)) >= ITEMS
    ):
        high += 1
    return high, wide, part, lines


def _patch(window: Window, high: int, wide: int, channels: int, lines: int) -> int:
    """Elements that conv.c copies for a block."""
    rows = (high - 1) * window.strides[0] + (lines - 1) * window.dilations[0] + 1
    columns = wide + (window.size[1] - 1) * window.dilations[1] // window.strides[1]
    return channels * rows * columns * window.strides[1]
