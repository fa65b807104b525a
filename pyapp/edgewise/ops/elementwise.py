"""Element-wise rows: an output element depends on the inputs' elements at its own place.

The WGSL expressions are over the inputs' names, in f32 (also for half precision), i32 or u32;
uint8, WebNN's boolean, is computed as u32. Activation functions are in activation.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..dtypes import FLOATS, DType
from . import shape
from .base import EXACT, Builder, In, Op, Param, Tolerance, Type, Value, register
from .precision import limits, saturated

#: The specification has no 4-bit types: rows that move, cast or quantise take them as well.
ANY = frozenset(DType)
NUMBERS = ANY - {DType.INT4, DType.UINT4}
SIGNED = FLOATS | {DType.INT64, DType.INT32, DType.INT8}
BOOL = frozenset({DType.UINT8})
Reference = Callable[..., Any]


def ulp(float32: float, float16: float) -> Tolerance:
    """Steps between neighbouring numbers."""
    return Tolerance("ULP", float32, float16)


def atol(float32: float, float16: float) -> Tolerance:
    """Absolute differences."""
    return Tolerance("ATOL", float32, float16)


def _divide(xp: Any, a: Any, b: Any) -> Any:
    if a.dtype.kind == "f":
        return a / b
    quotient = xp.floor_divide(a, b)  # integers truncate towards zero; by zero is any value
    return quotient + ((quotient < 0) & (quotient * b != a)).astype(a.dtype)


def _power(xp: Any, a: Any, b: Any) -> Any:
    if a.dtype.kind != "i":
        return xp.power(a, b)
    # NumPy refuses negative exponents: 1 / a**-b, truncated
    alternating = xp.where(b & 1, a, a * a)
    inverse = xp.where(abs(a) == 1, alternating, xp.zeros_like(a))
    return xp.where(b < 0, inverse, xp.power(a, xp.maximum(b, 0)))


def _sign(xp: Any, x: Any) -> Any:
    return (x > 0).astype(x.dtype) - (x < 0).astype(x.dtype)  # NaN is 0, as the text has it


def mapped(function: Callable[[float], float]) -> Reference:
    """A function of Python's `math` that NumPy lacks, for every element."""

    def reference(xp: Any, x: Any) -> Any:
        made = xp.fromiter(map(function, x.ravel().tolist()), "float64", x.size)
        return made.reshape(x.shape).astype(x.dtype)

    return reference


def _cast(xp: Any, x: Any, dataType: str, dtype: DType) -> Any:
    if dtype.is_float:
        return x.astype(dataType)
    if x.dtype.kind == "f":
        return saturated(xp, x, dtype)  # out of range is implementation-defined: as WGSL has it
    made = x.astype(dataType)
    if dtype.bits == 4:  # the lowest bits
        low = limits(dtype)[0]
        made = ((made - made.dtype.type(low)) & 15) + made.dtype.type(low)
    return made


BINARY: dict[str, tuple[Reference, str, Tolerance]] = {
    "add": (lambda xp, a, b: a + b, "{a} + {b}", ulp(1, 1)),
    "sub": (lambda xp, a, b: a - b, "{a} - {b}", ulp(1, 1)),
    "mul": (lambda xp, a, b: a * b, "{a} * {b}", ulp(1, 1)),
    "div": (_divide, "{a} / {b}", ulp(2, 2)),
    "max": (lambda xp, a, b: xp.maximum(a, b), "max_{T}({a}, {b})", EXACT),
    "min": (lambda xp, a, b: xp.minimum(a, b), "min_{T}({a}, {b})", EXACT),
    "pow": (_power, "pow_{T}({a}, {b})", ulp(32, 2)),
}  # fmt: skip

UNARY: dict[str, tuple[frozenset[DType], Reference, str, Tolerance]] = {
    "abs": (SIGNED, lambda xp, x: xp.abs(x), "abs({input})", EXACT),
    "ceil": (FLOATS, lambda xp, x: xp.ceil(x), "ceil({input})", EXACT),
    "cos": (FLOATS, lambda xp, x: xp.cos(x), "cos_f32({input})", atol(2**-10, 2**-9)),
    "erf": (FLOATS, mapped(math.erf), "erf_f32({input})", atol(2**-10, 2**-9)),
    "exp": (FLOATS, lambda xp, x: xp.exp(x), "exp({input})", ulp(32, 1)),
    "floor": (FLOATS, lambda xp, x: xp.floor(x), "floor({input})", EXACT),
    "identity": (ANY, lambda xp, x: x, "{input}", EXACT),
    "log": (FLOATS, lambda xp, x: xp.log(x), "log_f32({input})", ulp(8, 8)),
    "neg": (SIGNED, lambda xp, x: -x, "-{input}", EXACT),
    "reciprocal": (FLOATS, lambda xp, x: x.dtype.type(1) / x, "1 / {input}", ulp(2, 2)),
    "roundEven": (FLOATS, lambda xp, x: xp.rint(x), "round({input})", EXACT),
    "sign": (SIGNED, _sign, "sign_{T}({input})", EXACT),
    "sin": (FLOATS, lambda xp, x: xp.sin(x), "sin_f32({input})", atol(2**-10, 2**-9)),
    "sqrt": (FLOATS, lambda xp, x: xp.sqrt(x), "sqrt({input})", ulp(1, 1)),
    "tan": (FLOATS, lambda xp, x: xp.tan(x), "tan_f32({input})", atol(2**-10, 2**-9)),
}

COMPARE: dict[str, tuple[Reference, str]] = {
    "equal": (lambda xp, a, b: a == b, "{a} == {b}"),
    # some drivers compute != so that it is false for NaN
    "notEqual": (lambda xp, a, b: a != b, "!({a} == {b})"),
    "greater": (lambda xp, a, b: a > b, "{a} > {b}"),
    "greaterOrEqual": (lambda xp, a, b: a >= b, "{a} >= {b}"),
    "lesser": (lambda xp, a, b: a < b, "{a} < {b}"),
    "lesserOrEqual": (lambda xp, a, b: a <= b, "{a} <= {b}"),
}

LOGICAL: dict[str, tuple[Reference, str]] = {
    "logicalAnd": (lambda xp, a, b: (a != 0) & (b != 0), "{a} != 0 && {b} != 0"),
    "logicalOr": (lambda xp, a, b: (a != 0) | (b != 0), "{a} != 0 || {b} != 0"),
    "logicalXor": (lambda xp, a, b: (a != 0) ^ (b != 0), "({a} != 0) != ({b} != 0)"),
}


def _boolean(reference: Reference) -> Reference:
    return lambda xp, *inputs: reference(xp, *inputs).astype(xp.uint8)


def _select(condition: str) -> str:
    return f"select(0u, 1u, {condition})"


def _is_infinite(b: Builder, a: Value) -> Value:
    out: Value = b.equal(b.abs(a), b.scalar(a.dtype, math.inf))
    return out


#: Not in the text, but a browser may lack these.
EMULATED: dict[str, Callable[..., Value]] = {
    "tan": lambda b, x: b.div(b.sin(x), b.cos(x)),
    "notEqual": lambda b, a, other: b.logical_not(b.equal(a, other)),
}

for _name, (_reference, _wgsl, _tolerance) in BINARY.items():
    register(Op(
        _name, (In("a", NUMBERS), In("b", NUMBERS, like="a")), shape.elementwise,
        reference=_reference, wgsl=_wgsl, tolerance=_tolerance,
        spec="#api-mlgraphbuilder-binary",
    ))  # fmt: skip

for _name, (_dtypes, _reference, _wgsl, _tolerance) in UNARY.items():
    register(Op(
        _name, (In("input", _dtypes),), shape.like, decompose=EMULATED.get(_name),
        reference=_reference, wgsl=_wgsl, tolerance=_tolerance, spec="#api-mlgraphbuilder-unary",
    ))  # fmt: skip

for _dtypes, _rows in ((NUMBERS, COMPARE), (BOOL, LOGICAL)):
    for _name, (_reference, _wgsl) in _rows.items():
        register(Op(
            _name, (In("a", _dtypes), In("b", _dtypes, like="a")), shape.comparison,
            decompose=EMULATED.get(_name),
            reference=_boolean(_reference), wgsl=_select(_wgsl), tolerance=EXACT,
            spec="#api-mlgraphbuilder-logical",
        ))  # fmt: skip

register(Op(
    "logicalNot", (In("a", BOOL),), shape.comparison,
    reference=_boolean(lambda xp, a: a == 0), wgsl=_select("{a} == 0"), tolerance=EXACT,
    spec="#api-mlgraphbuilder-logical",
))  # fmt: skip

register(Op(
    "isNaN", (In("a", FLOATS),), shape.comparison,
    reference=_boolean(lambda xp, a: xp.isnan(a)), wgsl=_select("is_nan_f32({a})"),
    decompose=lambda b, a: b.not_equal(a, a), tolerance=EXACT,
    spec="#api-mlgraphbuilder-logical",
))  # fmt: skip

register(Op(
    "isInfinite", (In("a", FLOATS),), shape.comparison,
    reference=_boolean(lambda xp, a: xp.isinf(a)), wgsl=_select("is_infinite_f32({a})"),
    decompose=_is_infinite, tolerance=EXACT, spec="#api-mlgraphbuilder-logical",
))  # fmt: skip

register(Op(
    "where",
    (In("condition", BOOL), In("trueValue", ANY), In("falseValue", ANY, like="trueValue")),
    shape.elementwise,
    reference=lambda xp, condition, a, b: xp.where(condition != 0, a, b),
    wgsl="select({falseValue}, {trueValue}, {condition} != 0)", tolerance=EXACT,
    spec="#api-mlgraphbuilder-where",
))  # fmt: skip


def _cast_type(x: Value, *, dataType: DType) -> list[Type]:
    return [(dataType, x.shape)]


register(Op(
    "cast", (In("input", ANY),), _cast_type, attrs=(Param("dataType", "dtype"),),
    reference=_cast, wgsl="{T}({input})", tolerance=EXACT, typed=True,
    spec="#api-mlgraphbuilder-cast",
))  # fmt: skip
