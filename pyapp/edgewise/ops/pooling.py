"""averagePool2d, l2Pool2d and maxPool2d: a window of the input folded to one element.

Padding takes no part: it is not counted by the average, adds nothing to the norm and is never the
maximum. All three folds are separable, so the references fold the axes one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from ..dims import Expr, evaluate
from ..dtypes import FLOATS
from ..errors import ShapeError
from .base import EXACT, In, Op, Param, Shape, Tolerance, Type, Value, register
from .elementwise import ANY
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
    missing,
    padded,
    permutation,
    wide,
)


def _pool(
    x: Value, *, windowDimensions: tuple[int, ...] | None = None, padding: tuple[int, ...],
    strides: tuple[int, ...], dilations: tuple[int, ...], layout: str,
    outputShapeRounding: str, outputSizes: Shape | None = None,
) -> list[Type]:  # fmt: skip
    """As the specification, but that `padding` counts where `outputSizes` is given.

    The text at c515210 ignores it then, and wants sizes below the strides: published
    conformance tests and browsers do neither.
    """
    check_rank("input", x, 4)
    check_choice("layout", layout, LAYOUTS)
    check_choice("outputShapeRounding", outputShapeRounding, ("floor", "ceil"))
    check_window(padding, strides, dilations)
    batches, channels, *sizes = canonical(x.shape, layout)
    if windowDimensions is not None:
        check_ints("windowDimensions", windowDimensions, 2, 1)
    how = (sizes, windowDimensions or sizes, padding, strides, dilations)
    if outputSizes is None:
        spatial = conv_sizes(*how, outputShapeRounding == "ceil")
    else:
        check_ints("outputSizes", outputSizes, 2, 1)
        floor, ceil = conv_sizes(*how, False), conv_sizes(*how, True)
        need(outputSizes in (floor, ceil), "outputSizes", list(map(str, outputSizes)),
             f"{list(map(str, floor))} or {list(map(str, ceil))}")  # fmt: skip
        spatial = outputSizes
    return [(x.dtype, arranged((batches, channels, *spatial), layout))]


def _along(xp: Any, fold: Any, x: Any, axis: int, out: int, window: int, stride: int,
           dilation: int) -> Any:  # fmt: skip
    """`fold` over `out` windows along one axis of x [N, C, H, W]."""
    views = xp.lib.stride_tricks.sliding_window_view(x, extent(window, dilation), axis=axis)
    at = [slice(None)] * 4
    at[axis] = slice(0, (out - 1) * stride + 1, stride)
    return fold.reduce(views[(*at, slice(None, None, dilation))], axis=-1)


def _fold_reference(
    fold: str, before: Callable[..., Any], after: Callable[..., Any]
) -> Callable[..., Any]:
    """The reference of a pooling: `before` and `after` are applied to input and result."""

    def pool(
        xp: Any, x: Any, *, windowDimensions: tuple[int, ...] | None = None,
        padding: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...],
        layout: str, outputShapeRounding: str, outputSizes: tuple[int, ...] | None = None,
    ) -> Any:  # fmt: skip
        images = before(xp, wide(xp, x).transpose(permutation(layout, "nchw")))
        sizes = images.shape[2:]
        window = windowDimensions or sizes
        up = outputShapeRounding == "ceil"
        out = outputSizes or tuple(evaluate(size, {}) for size in conv_sizes(
            sizes, window, padding, strides, dilations, up))  # fmt: skip
        widths = [missing(sizes[i], padding[2 * i : 2 * i + 2], window[i], strides[i],
                          dilations[i], out[i]) for i in (0, 1)]  # fmt: skip
        folded = {"add": xp.add, "maximum": xp.maximum}[fold]
        filler = _least(xp, images.dtype) if fold == "maximum" else 0

        def folds(array: Any) -> Any:
            array = padded(xp, array, widths, filler)
            for i in (0, 1):
                array = _along(xp, folded, array, 2 + i, out[i], window[i], strides[i],
                               dilations[i])  # fmt: skip
            return array

        ones = xp.ones((1, 1, *sizes), images.dtype)
        result = after(xp, folds(images), lambda: folds(ones))
        return result.transpose(permutation("nchw", layout)).astype(x.dtype, copy=False)

    return pool


def _least(xp: Any, dtype: Any) -> Any:
    return -xp.inf if dtype.kind == "f" else xp.iinfo(dtype).min


def _same(xp: Any, x: Any, *_count: object) -> Any:
    return x


def _sum_squares_decomposed(
    b: Any, x: Value, *, windowDimensions: tuple[int, ...] | None = None,
    padding: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...],
    layout: str, outputShapeRounding: str, outputSizes: Shape | None = None,
) -> Value:  # fmt: skip
    """The root of a depthwise convolution of the squares with ones."""
    _, channels, *sizes = canonical(x.shape, layout)
    window = windowDimensions or sizes
    if isinstance(channels, Expr) or any(isinstance(size, Expr) for size in window):
        raise ShapeError("window and channels", got=str(x), need="numbers known in advance")
    [(_, shape)] = _pool(x, windowDimensions=windowDimensions, padding=padding, strides=strides,
                         dilations=dilations, layout=layout, outputSizes=outputSizes,
                         outputShapeRounding=outputShapeRounding)  # fmt: skip
    out = canonical(shape, layout)[2:]
    ends = [padding[1], padding[3]]
    for i in (0, 1):  # rounding up reads past the end
        more = (out[i] - 1) * strides[i] + extent(window[i], dilations[i]) - sizes[i]
        if isinstance(more, int):
            ends[i] = max(ends[i], more - padding[2 * i])
    ones = b.expand(b.scalar(x.dtype, 1), (channels, 1, *window))
    sums = b.conv2d(
        b.mul(x, x), ones, padding=(padding[0], ends[0], padding[2], ends[1]), strides=strides,
        dilations=dilations, groups=channels, input_layout=layout,
    )  # fmt: skip
    root: Value = b.sqrt(sums)
    return root


def _folded(
    x: Sequence[int], windowDimensions: Sequence[int] | None = None, layout: str = "nchw",
    **_attrs: object,
) -> int:  # fmt: skip
    window = windowDimensions or [x[layout.index(letter)] for letter in "hw"]
    return prod(window) + 2


POOLS: dict[str, tuple[Any, Callable[..., Any], Callable[..., Any] | None, Tolerance]] = {
    "averagePool2d": (
        FLOATS, _fold_reference("add", _same, lambda xp, sums, count: sums / count()), None,
        Tolerance("ULP", 1, 1, _folded)),
    "l2Pool2d": (
        FLOATS, _fold_reference("add", lambda xp, x: x * x, lambda xp, sums, _: xp.sqrt(sums)),
        _sum_squares_decomposed, Tolerance("ULP", 1, 1, _folded)),
    "maxPool2d": (ANY, _fold_reference("maximum", _same, _same), None, EXACT),
}  # fmt: skip

for _name, (_dtypes, _reference, _decompose, _tolerance) in POOLS.items():
    register(Op(
        _name, (In("input", _dtypes),), _pool,
        attrs=(Param("windowDimensions", "ints", None), Param("padding", "ints", (0, 0, 0, 0)),
               Param("strides", "ints", (1, 1)), Param("dilations", "ints", (1, 1)),
               Param("layout", "str", "nchw"), Param("outputShapeRounding", "str", "floor"),
               Param("outputSizes", "dims", None)),
        reference=_reference, decompose=_decompose, tolerance=_tolerance,
        spec="#api-mlgraphbuilder-pool2d",
    ))  # fmt: skip
