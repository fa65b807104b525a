"""Element-wise rows: an output element depends on the inputs' elements at its own place.

The WGSL expressions are over the inputs' names; uint8 (WebNN's boolean) is computed as u32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..dtypes import FLOATS, DType
from . import shape
from .base import EXACT, In, Op, Param, Tolerance, Type, Value, register

ANY = frozenset(DType)
SIGNED = FLOATS | {DType.INT64, DType.INT32, DType.INT8}
BOOL = frozenset({DType.UINT8})
Reference = Callable[..., Any]


def _ulp(float32: float, float16: float) -> Tolerance:
    return Tolerance("ULP", float32, float16)


def _atol(float32: float, float16: float) -> Tolerance:
    return Tolerance("ATOL", float32, float16)


def _divide(xp: Any, a: Any, b: Any) -> Any:
    if a.dtype.kind == "f":
        return a / b
    quotient = xp.floor_divide(a, b)  # integers truncate towards zero; by zero is any value
    return quotient + ((quotient < 0) & (quotient * b != a)).astype(a.dtype)


def _sigmoid(xp: Any, x: Any) -> Any:
    # from exp(-|x|), which cannot overflow
    small = xp.exp(-xp.abs(x))
    one = x.dtype.type(1)
    return xp.where(x >= 0, one / (one + small), small / (one + small))


def _cast(xp: Any, x: Any, type: str) -> Any:
    if x.dtype.kind == "f" and not type.startswith("float"):
        return xp.trunc(x).astype(xp.int64).astype(type)
    return x.astype(type)


BINARY: dict[str, tuple[Reference, str, Tolerance]] = {
    "add": (lambda xp, a, b: a + b, "{a} + {b}", _ulp(1, 1)),
    "sub": (lambda xp, a, b: a - b, "{a} - {b}", _ulp(1, 1)),
    "mul": (lambda xp, a, b: a * b, "{a} * {b}", _ulp(1, 1)),
    "div": (_divide, "{a} / {b}", _ulp(2, 2)),
    "max": (lambda xp, a, b: xp.maximum(a, b), "max({a}, {b})", EXACT),
    "min": (lambda xp, a, b: xp.minimum(a, b), "min({a}, {b})", EXACT),
    # WGSL's pow is undefined for a negative base: take the magnitude, negate for odd exponents
    "pow": (lambda xp, a, b: xp.power(a, b),
            "pow(abs({a}), {b}) * select({T}(1), {T}(-1), {a} < 0 && fract({b} * 0.5) != 0)",
            _ulp(32, 2)),
}  # fmt: skip

UNARY: dict[str, tuple[frozenset[DType], Reference, str, Tolerance]] = {
    "abs": (SIGNED, lambda xp, x: xp.abs(x), "abs({input})", EXACT),
    "neg": (SIGNED, lambda xp, x: -x, "-{input}", EXACT),
    "exp": (FLOATS, lambda xp, x: xp.exp(x), "exp({input})", _ulp(32, 1)),
    "log": (FLOATS, lambda xp, x: xp.log(x), "log({input})", _ulp(8, 8)),
    "sqrt": (FLOATS, lambda xp, x: xp.sqrt(x), "sqrt({input})", _ulp(1, 1)),
    "reciprocal": (FLOATS, lambda xp, x: x.dtype.type(1) / x, "1 / {input}", _ulp(2, 2)),
    "sin": (FLOATS, lambda xp, x: xp.sin(x), "sin({input})", _atol(2**-10, 2**-9)),
    "cos": (FLOATS, lambda xp, x: xp.cos(x), "cos({input})", _atol(2**-10, 2**-9)),
    "sigmoid": (FLOATS, _sigmoid, "1 / (1 + exp(-{input}))", _ulp(34, 10)),
    # some drivers make tanh from exp and overflow; tanh(15) is 1 in float32
    "tanh": (
        FLOATS,
        lambda xp, x: xp.tanh(x),
        "tanh(clamp({input}, -15, 15))",
        _atol(2**-10, 2**-9),
    ),
    "identity": (ANY, lambda xp, x: x, "{input}", EXACT),
}

COMPARE: dict[str, tuple[Reference, str]] = {
    "equal": (lambda xp, a, b: a == b, "{a} == {b}"),
    "greater": (lambda xp, a, b: a > b, "{a} > {b}"),
    "greaterOrEqual": (lambda xp, a, b: a >= b, "{a} >= {b}"),
    "lesser": (lambda xp, a, b: a < b, "{a} < {b}"),
    "lesserOrEqual": (lambda xp, a, b: a <= b, "{a} <= {b}"),
}

LOGICAL: dict[str, tuple[Reference, str]] = {
    "logicalAnd": (lambda xp, a, b: (a != 0) & (b != 0), "{a} != 0 && {b} != 0"),
    "logicalOr": (lambda xp, a, b: (a != 0) | (b != 0), "{a} != 0 || {b} != 0"),
}


def _boolean(reference: Reference) -> Reference:
    return lambda xp, *inputs: reference(xp, *inputs).astype(xp.uint8)


def _select(condition: str) -> str:
    return f"select(0u, 1u, {condition})"


for _name, (_reference, _wgsl, _tolerance) in BINARY.items():
    register(Op(
        _name, (In("a", ANY), In("b", ANY, like="a")), shape.elementwise,
        reference=_reference, wgsl=_wgsl, tolerance=_tolerance,
        spec="#api-mlgraphbuilder-binary",
    ))  # fmt: skip

for _name, (_dtypes, _reference, _wgsl, _tolerance) in UNARY.items():
    register(Op(
        _name, (In("input", _dtypes),), shape.like,
        reference=_reference, wgsl=_wgsl, tolerance=_tolerance, spec="#api-mlgraphbuilder-unary",
    ))  # fmt: skip

for _dtypes, _rows in ((ANY, COMPARE), (BOOL, LOGICAL)):
    for _name, (_reference, _wgsl) in _rows.items():
        register(Op(
            _name, (In("a", _dtypes), In("b", _dtypes, like="a")), shape.comparison,
            reference=_boolean(_reference), wgsl=_select(_wgsl), tolerance=EXACT,
            spec="#api-mlgraphbuilder-logical",
        ))  # fmt: skip

register(Op(
    "logicalNot", (In("a", BOOL),), shape.comparison,
    reference=_boolean(lambda xp, a: a == 0), wgsl=_select("{a} == 0"), tolerance=EXACT,
    spec="#api-mlgraphbuilder-logical",
))  # fmt: skip

register(Op(
    "where",
    (In("condition", BOOL), In("trueValue", ANY), In("falseValue", ANY, like="trueValue")),
    shape.elementwise,
    reference=lambda xp, condition, a, b: xp.where(condition != 0, a, b),
    wgsl="select({falseValue}, {trueValue}, {condition} != 0)", tolerance=EXACT,
    spec="#api-mlgraphbuilder-where",
))  # fmt: skip


def _cast_type(x: Value, *, type: DType) -> list[Type]:
    return [(type, x.shape)]


register(Op(
    "cast", (In("input", ANY),), _cast_type, attrs=(Param("type", "dtype"),),
    reference=_cast, wgsl="{T}({input})", tolerance=EXACT, spec="#api-mlgraphbuilder-cast",
))  # fmt: skip
