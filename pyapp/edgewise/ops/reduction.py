"""Rows that fold axes: sums, extremes, arg max, and the running sum."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from ..dims import Dim
from ..dtypes import FLOATS, DType
from .base import EXACT, In, Op, Param, Tolerance, Type, Value, register
from .elementwise import ANY
from .shape import check_axes, check_axis, like

SUMMABLE = FLOATS | {DType.INT32, DType.UINT32, DType.INT64, DType.UINT64}


def _kept(x: Value, axes: tuple[int, ...], keep: bool) -> tuple[Dim, ...]:
    check_axes(x, axes)
    if keep:
        return tuple(1 if axis in axes else dim for axis, dim in enumerate(x.shape))
    return tuple(dim for axis, dim in enumerate(x.shape) if axis not in axes)


def _reduced(
    x: Value, *, axes: tuple[int, ...] | None = None, keepDimensions: bool = False
) -> list[Type]:
    every = tuple(range(len(x.shape)))
    return [(x.dtype, _kept(x, every if axes is None else axes, keepDimensions))]


def _folded(shape: tuple[int, ...], axes: tuple[int, ...] | None = None, **_attrs: object) -> int:
    return prod(shape if axes is None else [shape[axis] for axis in axes])


def _wide(x: Any) -> Any:
    # a half-precision sum is carried in single precision, as WGSL kernels do
    return x.astype("float32") if x.dtype == "float16" else x


def _reference(fold: Callable[..., Any]) -> Callable[..., Any]:
    def reduce(
        xp: Any, x: Any, axes: tuple[int, ...] | None = None, keepDimensions: bool = False
    ) -> Any:
        out = fold(xp, _wide(x), axis=axes, keepdims=keepDimensions)
        return xp.asarray(out).astype(x.dtype)

    return reduce


def _mean(xp: Any, x: Any, axis: tuple[int, ...] | None, keepdims: bool) -> Any:
    # not xp.mean, which warns of an empty axis, where the result is NaN
    return xp.sum(x, axis=axis, keepdims=keepdims) / x.dtype.type(_folded(x.shape, axis))


def _arg_max(
    x: Value, *, axis: int, keepDimensions: bool = False, outputDataType: DType = DType.INT32
) -> list[Type]:
    check_axis(x, axis)
    return [(outputDataType, _kept(x, (axis,), keepDimensions))]


def _cumulative(x: Value, *, axis: int, exclusive: bool = False, reversed: bool = False) -> Any:
    check_axis(x, axis)
    return like(x)


def _cumulative_reference(
    xp: Any, x: Any, axis: int, exclusive: bool = False, reversed: bool = False
) -> Any:
    ordered = xp.flip(x, axis) if reversed else x
    out = xp.cumsum(_wide(ordered), axis).astype(x.dtype)
    if exclusive:
        out = xp.roll(out, 1, axis)
        out[(slice(None),) * axis + (slice(0, 1),)] = 0
    return xp.flip(out, axis) if reversed else out


REDUCTIONS: dict[str, tuple[frozenset[DType], Callable[..., Any], Tolerance]] = {
    "reduceSum": (SUMMABLE, lambda xp, x, **how: xp.sum(x, dtype=x.dtype, **how),
                  Tolerance("ULP", 1, 1, _folded)),
    "reduceMean": (FLOATS, _mean,
                   Tolerance("ULP", 1, 1, lambda *x, **how: _folded(*x, **how) + 2)),
    "reduceMax": (ANY, lambda xp, x, **how: xp.max(x, **how), EXACT),
    "reduceMin": (ANY, lambda xp, x, **how: xp.min(x, **how), EXACT),
}  # fmt: skip

for _name, (_dtypes, _fold, _tolerance) in REDUCTIONS.items():
    register(Op(
        _name, (In("input", _dtypes),), _reduced,
        attrs=(Param("axes", "ints", None), Param("keepDimensions", "bool", False)),
        reference=_reference(_fold), tolerance=_tolerance, spec="#api-mlgraphbuilder-reduce",
    ))  # fmt: skip

register(Op(
    "argMax", (In("input", ANY),), _arg_max,
    attrs=(Param("axis", "int"), Param("keepDimensions", "bool", False),
           Param("outputDataType", "dtype", DType.INT32)),
    reference=lambda xp, x, axis, keepDimensions, outputDataType: xp.asarray(
        xp.argmax(x, axis=axis, keepdims=keepDimensions)).astype(outputDataType),
    tolerance=EXACT, spec="#api-mlgraphbuilder-argminmax",
))  # fmt: skip

register(Op(
    "cumulativeSum", (In("input", SUMMABLE),), _cumulative,
    attrs=(Param("axis", "int"), Param("exclusive", "bool", False),
           Param("reversed", "bool", False)),
    reference=_cumulative_reference,
    tolerance=Tolerance("ULP", 1, 1, lambda shape, axis, **how: shape[axis]),
    spec="#api-mlgraphbuilder-cumulativesum",
))  # fmt: skip
