"""resample2d: two axes stretched or shrunk, each on its own."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import floor
from typing import Any

from ..dims import Dim, Expr
from ..dtypes import FLOATS, DType
from ..errors import ShapeError
from .base import In, Op, Param, Shape, Tolerance, Type, Value, register
from .shape import check_axes, need
from .window import check_choice, check_ints, check_rank, wide

MODES = ("nearest-neighbor", "linear")


def _scaled(size: Dim, scale: float) -> Dim:
    """floor(size * scale), where that is affine."""
    if isinstance(size, int):
        return floor(size * scale)
    exact = Fraction(scale)
    if any((factor * exact).denominator != 1 for _, factor in size.terms):
        raise ShapeError("scales", got=f"{size} scaled by {scale}",
                         need="a size known in advance, or a whole multiple of it")  # fmt: skip
    terms = tuple((name, int(factor * exact)) for name, factor in size.terms)
    return Expr(terms, floor(size.constant * exact), size.bounds)


def _resample2d(
    x: Value, *, mode: str, scales: tuple[float, ...], sizes: Shape | None = None,
    axes: tuple[int, ...],
) -> list[Type]:  # fmt: skip
    check_rank("input", x, 4)
    check_choice("mode", mode, MODES)
    good = len(scales) == 2 and all(scale > 0 for scale in scales)
    need(good, "scales", list(scales), "2 numbers greater than 0")
    if sizes is not None:
        check_ints("sizes", sizes, 2, 1)
    need(len(axes) == 2, "axes", list(axes), "2 axes")
    check_axes(x, axes)
    out = list(x.shape)
    for index, axis in enumerate(axes):
        size = _scaled(x.shape[axis], scales[index]) if sizes is None else sizes[index]
        if isinstance(size, int):
            need(size >= 1, f"size of axis {axis}", f"{x.shape[axis]} scaled to {size}",
                 "at least 1")  # fmt: skip
        out[axis] = size
    return [(x.dtype, tuple(out))]


def _nearest(size: int, out: int) -> list[int]:
    """ceil(coordinate - 0.5), in integers: halves go to the lower index, exactly."""
    found = (-((2 * out - (2 * at + 1) * size) // (2 * out)) for at in range(out))
    return [min(max(index, 0), size - 1) for index in found]


def _linear(size: int, out: int) -> tuple[list[int], list[int], list[float]]:
    """For each output coordinate its lower and upper index, and how far it is between them."""
    lower, upper, between = [], [], []
    for at in range(out):
        exact = min(max(((2 * at + 1) * size - out) / (2 * out), 0), size - 1)
        lower.append(floor(exact))
        upper.append(min(floor(exact) + 1, size - 1))
        between.append(exact - floor(exact))
    return lower, upper, between


def _blend(xp: Any, x: Any, axis: int, out: int) -> Any:
    lower, upper, between = _linear(x.shape[axis], out)
    share = xp.asarray(between, x.dtype).reshape([-1 if at == axis else 1 for at in range(4)])
    low, high = (xp.take(x, indices, axis) for indices in (lower, upper))
    return low * (1 - share) + high * share


def _resample2d_reference(
    xp: Any, x: Any, *, mode: str, scales: tuple[float, ...],
    sizes: tuple[int, ...] | None = None, axes: tuple[int, ...],
) -> Any:  # fmt: skip
    out = sizes or [floor(x.shape[axis] * scale) for axis, scale in zip(axes, scales, strict=True)]
    if mode == "nearest-neighbor":
        for axis, size in zip(axes, out, strict=True):
            x = xp.take(x, _nearest(x.shape[axis], size), axis)
        return x
    wider = wide(xp, x) if x.dtype.kind == "f" else x.astype(xp.float32)
    # columns first, as the specification's formula has it
    for axis, size in sorted(zip(axes, out, strict=True), reverse=True):
        wider = _blend(xp, wider, axis, size)
    return (wider if x.dtype.kind == "f" else xp.rint(wider)).astype(x.dtype, copy=False)


def _steps(_x: Sequence[int], mode: str = MODES[0], **_attrs: object) -> int:
    return int(mode == "linear")


register(Op(
    "resample2d", (In("input", FLOATS | {DType.UINT8, DType.INT8}),), _resample2d,
    attrs=(Param("mode", "str", "nearest-neighbor"), Param("scales", "floats", (1.0, 1.0)),
           Param("sizes", "dims", None), Param("axes", "ints", (2, 3))),
    # WPT's metric for interpolation, exact for nearest
    reference=_resample2d_reference, tolerance=Tolerance("ULP", 84, 10, _steps),
    spec="#api-mlgraphbuilder-resample2d-method",
))  # fmt: skip
