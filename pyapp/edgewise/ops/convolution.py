"""conv2d and convTranspose2d: the product of a window of the input with a filter, and its adjoint.

The references unfold windows to columns and multiply matrices, a bounded block of output rows at
a time, so that real networks run on them in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from ..dims import Dim, evaluate
from ..dtypes import FLOATS
from ..errors import ShapeError
from .base import In, Op, Param, Shape, Tolerance, Type, Value, register
from .shape import need
from .window import (
    LAYOUTS,
    arranged,
    canonical,
    check_choice,
    check_ints,
    check_rank,
    check_window,
    conv_sizes,
    extent,
    padded,
    permutation,
    wide,
)

CONV_FILTERS = ("oihw", "hwio", "ohwi", "ihwo")
TRANSPOSED_FILTERS = ("iohw", "hwoi", "ohwi")
BLOCK_ELEMENTS = 1 << 24  # of the unfolded windows: 64 MiB in float32

WINDOW = (
    Param("padding", "ints", (0, 0, 0, 0)),
    Param("strides", "ints", (1, 1)),
    Param("dilations", "ints", (1, 1)),
)


def _check_operands(
    x: Value, weight: Value, inputLayout: str, filterLayout: str, filters: Sequence[str],
    groups: int,
) -> tuple[Shape, Shape]:  # fmt: skip
    """The shapes of input and filter in canonical order."""
    check_rank("input", x, 4)
    check_rank("filter", weight, 4)
    check_choice("inputLayout", inputLayout, LAYOUTS)
    check_choice("filterLayout", filterLayout, filters)
    need(groups >= 1, "groups", groups, "at least 1")
    return canonical(x.shape, inputLayout), canonical(weight.shape, filterLayout)


def _check_bias(bias: Value | None, channels: Dim) -> None:
    if bias is not None:
        need(bias.shape == (channels,), "input 'bias'", bias, f"shape [{channels}]")


def _known(dim: Dim, what: str) -> int:
    if not isinstance(dim, int):
        raise ShapeError(what, got=str(dim), need="a number known in advance")
    return dim


def _conv2d(
    x: Value, weight: Value, bias: Value | None = None, *, padding: tuple[int, ...],
    strides: tuple[int, ...], dilations: tuple[int, ...], groups: int,
    inputLayout: str, filterLayout: str,
) -> list[Type]:  # fmt: skip
    check_window(padding, strides, dilations)
    shape, filters = _check_operands(x, weight, inputLayout, filterLayout, CONV_FILTERS, groups)
    (batches, given, *sizes), (made, taken, *window) = shape, filters
    channels, out = _known(given, "input channels"), _known(made, "output channels")
    need(channels % groups == 0, "groups", groups, f"a divisor of {channels} input channels")
    need(
        channels // groups == taken,
        "input 'filter'",
        weight,
        f"{channels // groups} input channels ({filterLayout}), for {groups} groups of {x}",
    )
    need(out % groups == 0, "groups", groups, f"a divisor of {out} output channels")
    _check_bias(bias, out)
    spatial = conv_sizes(sizes, window, padding, strides, dilations)
    return [(x.dtype, arranged((batches, out, *spatial), inputLayout))]


def _conv2d_reference(
    xp: Any, x: Any, weight: Any, bias: Any = None, *, padding: tuple[int, ...],
    strides: tuple[int, ...], dilations: tuple[int, ...], groups: int,
    inputLayout: str, filterLayout: str,
) -> Any:  # fmt: skip
    images = wide(xp, x).transpose(permutation(inputLayout, "nchw"))
    filters = wide(xp, weight).transpose(permutation(filterLayout, "oihw"))
    batches, _, *sizes = images.shape
    n_out, taken, *window = filters.shape
    out = [evaluate(size, {}) for size in conv_sizes(sizes, window, padding, strides, dilations)]
    images = padded(xp, images, (padding[:2], padding[2:]), 0)
    # [N, C, H', W', KH, KW] -> [N, G, C/G, KH, KW, H', W'], a view
    spans = tuple(extent(window[i], dilations[i]) for i in (0, 1))
    views = xp.lib.stride_tricks.sliding_window_view(images, spans, axis=(2, 3))
    views = views[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]
    views = views.transpose(0, 1, 4, 5, 2, 3)
    depth = taken * prod(window)
    matrix = filters.reshape(groups, n_out // groups, depth)
    result = xp.empty((batches, n_out, *out), images.dtype)
    rows = max(1, BLOCK_ELEMENTS // max(1, batches * groups * depth * out[1]))
    for start in range(0, out[0], rows):
        part = views[..., start : start + rows, :]
        columns = part.reshape(batches, groups, depth, part.shape[-2] * out[1])
        product = xp.matmul(matrix, columns)
        result[:, :, start : start + rows] = product.reshape(batches, n_out, part.shape[-2], out[1])
    return _finished(xp, result, bias, x.dtype, inputLayout)


def _finished(xp: Any, result: Any, bias: Any, dtype: Any, layout: str) -> Any:
    if bias is not None:
        result = result + wide(xp, bias).reshape(1, -1, 1, 1)
    return result.transpose(permutation("nchw", layout)).astype(dtype, copy=False)


def _transposed_size(
    size: Dim, window: Dim, padding: Sequence[int], stride: int, dilation: int
) -> Dim:
    return (size - 1) * stride + extent(window, dilation) - sum(padding)


def _transposed_sizes(
    sizes: Sequence[Dim], window: Sequence[Dim], padding: Sequence[int], strides: Sequence[int],
    dilations: Sequence[int], outputPadding: Sequence[int], outputSizes: Sequence[Dim] | None,
) -> list[Dim]:  # fmt: skip
    found: list[Dim] = []
    for i, axis in enumerate(("height", "width")):
        least = _transposed_size(
            sizes[i], window[i], padding[2 * i : 2 * i + 2], strides[i], dilations[i]
        )
        out = least + outputPadding[i] if outputSizes is None else outputSizes[i]
        more = out - least
        fits = isinstance(more, int) and 0 <= more < strides[i]
        need(fits, "outputSizes" if outputSizes else "outputPadding",
             f"{axis} {out}", f"from {least} to {least + strides[i] - 1}")  # fmt: skip
        if isinstance(out, int):
            need(out >= 1, f"{axis} of the output", out, "at least 1")
        found.append(out)
    return found


def _conv_transpose2d(
    x: Value, weight: Value, bias: Value | None = None, *, padding: tuple[int, ...],
    strides: tuple[int, ...], dilations: tuple[int, ...], outputPadding: tuple[int, ...],
    outputSizes: Shape | None = None, groups: int, inputLayout: str, filterLayout: str,
) -> list[Type]:  # fmt: skip
    check_window(padding, strides, dilations)
    check_ints("outputPadding", outputPadding, 2, 0)
    if outputSizes is not None:
        check_ints("outputSizes", outputSizes, 2, 1)
    shape, filters = _check_operands(
        x, weight, inputLayout, filterLayout, TRANSPOSED_FILTERS, groups
    )
    (batches, given, *sizes), (part, taken, *window) = shape, filters
    channels = _known(given, "input channels")
    need(channels == taken, "input 'filter'", weight,
         f"{channels} input channels in {filterLayout}, as {x}")  # fmt: skip
    # not a step of the specification, which leaves a remainder of channels without a group
    need(channels % groups == 0, "groups", groups, f"a divisor of {channels} input channels")
    out = _known(part, "output channels") * groups
    _check_bias(bias, out)
    spatial = _transposed_sizes(
        sizes, window, padding, strides, dilations, outputPadding, outputSizes
    )
    return [(x.dtype, arranged((batches, out, *spatial), inputLayout))]


def _conv_transpose2d_reference(
    xp: Any, x: Any, weight: Any, bias: Any = None, *, padding: tuple[int, ...],
    strides: tuple[int, ...], dilations: tuple[int, ...], outputPadding: tuple[int, ...],
    outputSizes: tuple[int, ...] | None = None, groups: int, inputLayout: str, filterLayout: str,
) -> Any:  # fmt: skip
    images = wide(xp, x).transpose(permutation(inputLayout, "nchw"))
    filters = wide(xp, weight).transpose(permutation(filterLayout, "iohw"))
    batches, channels, *sizes = images.shape
    part, window = filters.shape[1], filters.shape[2:]
    out = [evaluate(size, {}) for size in _transposed_sizes(
        sizes, window, padding, strides, dilations, outputPadding, outputSizes)]  # fmt: skip
    # every input element spreads to a window: [G, O/G·KH·KW, I/G] × [N, G, I/G, H·W]
    matrix = filters.reshape(groups, channels // groups, part * prod(window)).swapaxes(1, 2)
    columns = images.reshape(batches, groups, channels // groups, prod(sizes))
    spread = xp.matmul(matrix, columns).reshape(batches, groups * part, *window, *sizes)
    full = [
        max((sizes[i] - 1) * strides[i] + (window[i] - 1) * dilations[i] + 1,
            padding[2 * i] + out[i]) for i in (0, 1)
    ]  # fmt: skip
    result = xp.zeros((batches, groups * part, *full), images.dtype)
    for row in range(window[0]):
        for column in range(window[1]):
            at = [
                slice(tap * dilations[i], tap * dilations[i] + (sizes[i] - 1) * strides[i] + 1,
                      strides[i]) for i, tap in ((0, row), (1, column))
            ]  # fmt: skip
            result[:, :, at[0], at[1]] += spread[:, :, row, column]
    top, left = padding[0], padding[2]
    result = result[:, :, top : top + out[0], left : left + out[1]]
    return _finished(xp, result, bias, x.dtype, inputLayout)


def _taps(
    _x: Sequence[int], weight: Sequence[int], *_bias: object, filterLayout: str, **_attrs: object
) -> int:
    # of one output element: window times input channels of its group (WPT's formula)
    return prod(size for size, letter in zip(weight, filterLayout, strict=True) if letter != "o")


register(Op(
    "conv2d",
    (In("input", FLOATS), In("filter", FLOATS, like="input"),
     In("bias", FLOATS, optional=True, like="input")),
    _conv2d,
    attrs=(*WINDOW, Param("groups", "int", 1), Param("inputLayout", "str", "nchw"),
           Param("filterLayout", "str", "oihw")),
    reference=_conv2d_reference, tolerance=Tolerance("ULP", 2, 2, _taps),
    spec="#api-mlgraphbuilder-conv2d",
))  # fmt: skip

register(Op(
    "convTranspose2d",
    (In("input", FLOATS), In("filter", FLOATS, like="input"),
     In("bias", FLOATS, optional=True, like="input")),
    _conv_transpose2d,
    attrs=(*WINDOW, Param("outputPadding", "ints", (0, 0)), Param("outputSizes", "dims", None),
           Param("groups", "int", 1), Param("inputLayout", "str", "nchw"),
           Param("filterLayout", "str", "iohw")),
    reference=_conv_transpose2d_reference, tolerance=Tolerance("ULP", 2, 2, _taps),
    spec="#api-mlgraphbuilder-convtranspose2d",
))  # fmt: skip
