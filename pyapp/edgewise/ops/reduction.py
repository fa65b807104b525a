"""Rows that fold axes: sums, norms, extremes, their places, and the running sum.

No axes at all are folded where `axes` is empty, and each element is then folded by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from ..dims import Dim
from ..dtypes import FLOATS, DType
from ..errors import DTypeError
from .base import EXACT, Builder, In, Op, Param, Tolerance, Type, Value, register
from .elementwise import NUMBERS
from .precision import LOWEST, as_type, wide, widened
from .shape import check_axes, check_axis, like

SUMMABLE = FLOATS | {DType.INT32, DType.UINT32, DType.INT64, DType.UINT64}
PLACES = frozenset({DType.INT32, DType.INT64})


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


def _reference(fold: Callable[..., Any]) -> Callable[..., Any]:
    def reduce(
        xp: Any, x: Any, axes: tuple[int, ...] | None = None, keepDimensions: bool = False
    ) -> Any:
        out = fold(xp, wide(x), axis=axes, keepdims=keepDimensions)
        return xp.asarray(out).astype(x.dtype)

    return reduce


def _sum(xp: Any, x: Any, **how: Any) -> Any:
    return xp.sum(x, dtype=x.dtype, **how)  # NumPy would widen integers


def _mean(xp: Any, x: Any, axis: tuple[int, ...] | None, keepdims: bool) -> Any:
    # not xp.mean, which warns of an empty axis, where the result is NaN
    return xp.sum(x, axis=axis, keepdims=keepdims) / x.dtype.type(_folded(x.shape, axis))


def _log_sum_exp(xp: Any, x: Any, axis: tuple[int, ...] | None, keepdims: bool) -> Any:
    # the greatest is taken out, so that nothing overflows; a finite one, as inf - inf is NaN
    top = xp.max(x, axis=axis, keepdims=True, initial=-xp.inf)
    top = xp.clip(top, xp.finfo(x.dtype).min, xp.finfo(x.dtype).max)
    out = xp.log(xp.sum(xp.exp(x - top), axis=axis, keepdims=True)) + top
    return out if keepdims else out.reshape(xp.sum(x, axis=axis).shape)


def _least(xp: Any, x: Any) -> Any:
    return -xp.inf if x.dtype.kind == "f" else xp.iinfo(x.dtype).min


def _most(xp: Any, x: Any) -> Any:
    return xp.inf if x.dtype.kind == "f" else xp.iinfo(x.dtype).max


def _arg(x: Value, *, axis: int, keepDimensions: bool, outputDataType: DType) -> list[Type]:
    check_axis(x, axis)
    if outputDataType not in PLACES:
        raise DTypeError("outputDataType", got=str(outputDataType), need="int32 or int64")
    return [(outputDataType, _kept(x, (axis,), keepDimensions))]


def _arg_reference(find: str) -> Callable[..., Any]:
    def reference(xp: Any, x: Any, axis: int, keepDimensions: bool, outputDataType: str) -> Any:
        if x.shape[axis] == 0:  # nothing is found, at place 0
            return xp.zeros_like(xp.sum(x, axis=axis, keepdims=keepDimensions), outputDataType)
        out = getattr(xp, find)(x, axis=axis, keepdims=keepDimensions)
        return xp.asarray(out).astype(outputDataType)

    return reference


def _cumulative(x: Value, *, axis: int, exclusive: bool, reversed: bool) -> list[Type]:
    check_axis(x, axis)
    return like(x)


def _cumulative_reference(xp: Any, x: Any, axis: int, exclusive: bool, reversed: bool) -> Any:
    ordered = xp.flip(x, axis) if reversed else x
    out = xp.cumsum(wide(ordered), axis).astype(x.dtype)
    if exclusive:
        out = xp.roll(out, 1, axis)
        out[(slice(None),) * axis + (slice(0, 1),)] = 0
    return xp.flip(out, axis) if reversed else out


def _terms(factor: int, more: int) -> Callable[..., int]:
    return lambda shape, axes=None, **how: factor * _folded(shape, axes) + more


def _emulated(emulation: Callable[..., Value]) -> Callable[..., Value]:
    """An emulation in float32 of (builder, x, how), `how` being axes and keepDimensions."""

    def decompose(
        b: Builder, x: Value, axes: tuple[int, ...] | None = None, keepDimensions: bool = False
    ) -> Value:
        how = {"axes": axes, "keep_dimensions": keepDimensions}
        return as_type(b, emulation(b, widened(b, x) if x.dtype.is_float else x, how), x.dtype)

    return decompose


def _log_sum_exp_decomposed(b: Builder, x: Value, how: dict[str, Any]) -> Value:
    top = b.reduce_max(x, axes=how["axes"], keep_dimensions=True)
    top = b.clamp(top, min_value=LOWEST, max_value=-LOWEST)
    rest = b.log(b.reduce_sum(b.exp(b.sub(x, top)), **how))
    out: Value = b.add(rest, b.reshape(top, rest.shape))
    return out


def _l1_decomposed(b: Builder, x: Value, how: dict[str, Any]) -> Value:
    out: Value = b.reduce_sum(x if x.dtype.value.startswith("u") else b.abs(x), **how)
    return out


#: name -> data types, fold, tolerance in terms of n elements, emulation
REDUCTIONS: dict[
    str,
    tuple[frozenset[DType], Callable[..., Any], Tolerance, Callable[..., Value] | None],
] = {
    "reduceL1": (SUMMABLE, lambda xp, x, **how: _sum(xp, xp.abs(x), **how),
                 Tolerance("ULP", 1, 1, _folded), _emulated(_l1_decomposed)),
    "reduceL2": (FLOATS, lambda xp, x, **how: xp.sqrt(_sum(xp, x * x, **how)),
                 Tolerance("ULP", 1, 1, _terms(2, 1)),
                 _emulated(lambda b, x, how: b.sqrt(b.reduce_sum(b.mul(x, x), **how)))),
    "reduceLogSum": (FLOATS, lambda xp, x, **how: xp.log(_sum(xp, x, **how)),
                     Tolerance("ULP", 1, 1, _terms(1, 18)),
                     _emulated(lambda b, x, how: b.log(b.reduce_sum(x, **how)))),
    "reduceLogSumExp": (FLOATS, _log_sum_exp, Tolerance("ULP", 1, 1, _terms(2, 18)),
                        _emulated(_log_sum_exp_decomposed)),
    "reduceMax": (NUMBERS, lambda xp, x, **how: xp.max(x, initial=_least(xp, x), **how), EXACT,
                  None),
    "reduceMean": (FLOATS, _mean, Tolerance("ULP", 1, 1, _terms(1, 2)), None),
    "reduceMin": (NUMBERS, lambda xp, x, **how: xp.min(x, initial=_most(xp, x), **how), EXACT,
                  None),
    "reduceProduct": (SUMMABLE, lambda xp, x, **how: xp.prod(x, dtype=x.dtype, **how),
                      Tolerance("ULP", 1, 1, _folded), None),
    "reduceSum": (SUMMABLE, _sum, Tolerance("ULP", 1, 1, _folded), None),
    "reduceSumSquare": (SUMMABLE, lambda xp, x, **how: _sum(xp, x * x, **how),
                        Tolerance("ULP", 1, 1, _terms(2, 0)),
                        _emulated(lambda b, x, how: b.reduce_sum(b.mul(x, x), **how))),
}  # fmt: skip

for _name, (_dtypes, _fold, _tolerance, _emulation) in REDUCTIONS.items():
    register(Op(
        _name, (In("input", _dtypes),), _reduced,
        attrs=(Param("axes", "ints", None), Param("keepDimensions", "bool", False)),
        reference=_reference(_fold), decompose=_emulation, tolerance=_tolerance,
        spec="#api-mlgraphbuilder-reduce",
    ))  # fmt: skip

for _name in ("argMin", "argMax"):
    register(Op(
        _name, (In("input", NUMBERS),), _arg,
        attrs=(Param("axis", "int"), Param("keepDimensions", "bool", False),
               Param("outputDataType", "dtype", DType.INT32)),
        reference=_arg_reference(_name.lower()), tolerance=EXACT,
        spec="#api-mlgraphbuilder-argminmax",
    ))  # fmt: skip

register(Op(
    "cumulativeSum", (In("input", SUMMABLE),), _cumulative,
    attrs=(Param("axis", "int"), Param("exclusive", "bool", False),
           Param("reversed", "bool", False)),
    reference=_cumulative_reference,
    tolerance=Tolerance("ULP", 1, 1, lambda shape, axis, **how: shape[axis]),
    spec="#api-mlgraphbuilder-cumulativesum",
))  # fmt: skip
