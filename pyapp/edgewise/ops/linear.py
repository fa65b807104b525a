"""dequantizeLinear and quantizeLinear: integers that stand for (integer - zeroPoint) · scale.

`scale` and `zeroPoint` have the input's rank; along each axis one of their elements serves a block
of the input's ("blockwise broadcasting"). Computed in float32 and rounded once.
"""

from __future__ import annotations

from typing import Any

from ..dims import Dim, product
from ..dtypes import FLOATS, DType
from .base import Builder, In, Op, Tolerance, Type, Value, register
from .precision import F32, as_type, limits, saturated, wide, widened
from .shape import need

#: The table has no 4-bit types; implementations and the conformance tests do.
QUANTIZED = frozenset({
    DType.UINT4, DType.INT4, DType.UINT8, DType.INT8, DType.UINT32, DType.INT32,
})  # fmt: skip


def _check(x: Value, scale: Value, zero: Value) -> None:
    need(len(scale.shape) == len(x.shape), "input 'scale'", scale, f"the rank of {x}")
    need(zero.shape == scale.shape, "input 'zeroPoint'", zero, f"the shape of scale {scale}")
    for axis, (part, whole) in enumerate(zip(scale.shape, x.shape, strict=True)):
        fits = part == whole or part == 1
        if isinstance(part, int) and isinstance(whole, int):
            fits = part == whole or (part > 0 and whole % part == 0)
        need(fits, "input 'scale'", scale, f"sizes that divide {x}, as {part} does {whole}"
             f" on axis {axis}")  # fmt: skip


def _dequantize(x: Value, scale: Value, zero: Value) -> list[Type]:
    _check(x, scale, zero)
    return [(scale.dtype, x.shape)]


def _quantize(x: Value, scale: Value, zero: Value) -> list[Type]:
    _check(x, scale, zero)
    return [(zero.dtype, x.shape)]


def _blocks(xp: Any, part: Any, shape: tuple[int, ...]) -> Any:
    """`part` with every element repeated over its block, in `shape`."""
    for axis, size in enumerate(shape):
        if part.shape[axis] != size:
            part = xp.repeat(part, size // part.shape[axis], axis)
    return part


def _dequantize_reference(xp: Any, x: Any, scale: Any, zero: Any) -> Any:
    steps = x.astype("int64") - _blocks(xp, zero.astype("int64"), x.shape)
    factor = wide(_blocks(xp, scale, x.shape))
    return (steps.astype(factor.dtype) * factor).astype(scale.dtype)


def _quantize_reference(xp: Any, x: Any, scale: Any, zero: Any, dtype: DType) -> Any:
    steps = xp.rint(wide(x) / wide(_blocks(xp, scale, x.shape)))
    # float64: a float32 does not hold every 32-bit zero point
    return saturated(xp, steps.astype("float64") + _blocks(xp, zero, x.shape), dtype)


def _spread(b: Builder, part: Value, x: Value) -> Value:
    """`part` so that it broadcasts to `x` as NumPy has it."""
    for axis, size in enumerate(x.shape):
        length = part.shape[axis]
        if length in (1, size):
            continue
        assert isinstance(size, int), f"{x=}"
        assert isinstance(length, int), f"{part=}"
        before, after = product(part.shape[:axis]), product(part.shape[axis + 1 :])
        each: tuple[Dim, ...] = (before, length, size // length, after)
        apart = b.expand(b.reshape(part, (before, length, 1, after)), each)
        part = b.reshape(apart, (*part.shape[:axis], size, *part.shape[axis + 1 :]))
    return part


def _dequantize_decomposed(b: Builder, x: Value, scale: Value, zero: Value) -> Value:
    steps = b.sub(b.cast(x, F32), _spread(b, b.cast(zero, F32), x))
    return as_type(b, b.mul(steps, _spread(b, widened(b, scale), x)), scale.dtype)


def _quantize_decomposed(b: Builder, x: Value, scale: Value, zero: Value) -> Value:
    steps = b.round_even(b.div(widened(b, x), _spread(b, widened(b, scale), x)))
    moved = b.add(steps, _spread(b, b.cast(zero, F32), x))
    low, high = limits(zero.dtype)
    if zero.dtype.bits == 32:
        high -= high >> 24  # the greatest float32 that is in range: 24 digits
    out: Value = b.cast(b.clamp(moved, min_value=low, max_value=high), zero.dtype)
    return out


register(Op(
    "dequantizeLinear",
    (In("input", QUANTIZED), In("scale", FLOATS), In("zeroPoint", QUANTIZED, like="input")),
    _dequantize, reference=_dequantize_reference, decompose=_dequantize_decomposed,
    tolerance=Tolerance("ULP", 1, 1), spec="#api-mlgraphbuilder-dequantizelinear",
))  # fmt: skip

register(Op(
    "quantizeLinear",
    (In("input", FLOATS), In("scale", FLOATS, like="input"), In("zeroPoint", QUANTIZED)),
    _quantize, reference=_quantize_reference, decompose=_quantize_decomposed, typed=True,
    # of integers: a quotient next to a half may be rounded either way
    tolerance=Tolerance("ULP", 1, 1), spec="#api-mlgraphbuilder-quantizelinear",
))  # fmt: skip
