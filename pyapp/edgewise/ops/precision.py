"""Numbers and types: what rows share to compute in float32, and the specification's own casting.

Half precision is carried in single precision within an operator and rounded once, as kernels do.
"""

from __future__ import annotations

import math
import struct
from typing import Any

from ..dtypes import DType
from .base import Builder, Value

F32 = DType.FLOAT32
LOWEST = -3.4028234663852886e38  # of float32; not -inf, which WGSL cannot write


def widened(b: Builder, x: Value) -> Value:
    """`x` in float32."""
    return as_type(b, x, F32)


def as_type(b: Builder, x: Value, dtype: DType) -> Value:
    """`x` in `dtype`, without a node where it is that already."""
    out: Value = x if x.dtype is dtype else b.cast(x, dtype)
    return out


def wide(x: Any) -> Any:
    """An array of half precision in single precision; any other as it is."""
    return x.astype("float32") if x.dtype == "float16" else x


def limits(dtype: DType) -> tuple[int, int]:
    """The least and the greatest value of an integer type."""
    if dtype.value.startswith("u"):
        return 0, 2**dtype.bits - 1
    return -(2 ** (dtype.bits - 1)), 2 ** (dtype.bits - 1) - 1


def number(given: float, dtype: DType) -> int | float:
    """`given` as an element of `dtype`: rounded, half to even; integers clamped, NaN is 0 there.

    Source: WebNN, "cast a number" (#algorithms-casting). Its uint32 case says "signed": a slip.
    """
    if not dtype.is_float:
        low, high = limits(dtype)
        return 0 if given != given else round(min(max(given, low), high))
    try:
        form = "<f" if dtype is DType.FLOAT32 else "<e"
        rounded: float = struct.unpack(form, struct.pack(form, float(given)))[0]
    except OverflowError:
        return math.inf if given > 0 else -math.inf
    return rounded


def saturated(xp: Any, x: Any, dtype: DType) -> Any:
    """Floats as integers of `dtype`: truncated, clamped to its range; NaN is 0."""
    low, high = limits(dtype)
    x = xp.asarray(x, "float64")
    inside = (x > float(low)) & (x < float(high))
    made = xp.where(inside, x, 0).astype(stored(dtype))
    made = xp.where(x <= float(low), made.dtype.type(low), made)
    return xp.where(x >= float(high), made.dtype.type(high), made)


def stored(dtype: DType) -> str:
    """The NumPy type that holds elements of `dtype`: 4-bit ones lie in 8 bits."""
    return {DType.INT4: "int8", DType.UINT4: "uint8"}.get(dtype, dtype.value)
