"""Activation functions: element-wise rows, most with attributes, and the text's emulations.

Half precision is computed in single precision and rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..dtypes import FLOATS, DType
from . import shape
from .base import EXACT, Builder, In, Op, Param, Tolerance, Type, Value, register
from .elementwise import NUMBERS, SIGNED, atol, mapped, ulp
from .precision import number, wide

Reference = Callable[..., Any]


def _clamp(x: Value, *, minValue: float | None = None, maxValue: float | None = None) -> list[Type]:
    low, high = _bounds(x.dtype, minValue, maxValue)
    fine = low is None or high is None or low <= high
    shape.need(fine, "minValue", f"{low} over maxValue {high}", "minValue <= maxValue")
    return shape.like(x)


def _bounds(
    dtype: DType, least: float | None, most: float | None
) -> tuple[float | None, float | None]:
    """The limits as elements of `dtype`; absent where they are NaN, which limits nothing."""
    given = [None if each is None else number(each, dtype) for each in (least, most)]
    low, high = (None if each is None or math.isnan(each) else each for each in given)
    return low, high


def _clamp_reference(
    xp: Any, x: Any, minValue: float | None = None, maxValue: float | None = None
) -> Any:
    # float64 is no type of a graph, but what oracles compute in
    dtype = DType.FLOAT32 if x.dtype == "float64" else DType(x.dtype.name)
    low, high = _bounds(dtype, minValue, maxValue)
    x = x if low is None else xp.maximum(x, x.dtype.type(low))
    return x if high is None else xp.minimum(x, x.dtype.type(high))


def _clamp_decomposed(
    b: Builder, x: Value, *, minValue: float | None = None, maxValue: float | None = None
) -> Value:
    low, high = _bounds(x.dtype, minValue, maxValue)
    out = x if low is None else b.max(x, b.scalar(x.dtype, low))
    out = out if high is None else b.min(out, b.scalar(x.dtype, high))
    return b.identity(x) if out is x else out


def _sigmoid(xp: Any, x: Any) -> Any:
    # from exp(-|x|), which cannot overflow
    small = xp.exp(-xp.abs(x))
    one = x.dtype.type(1)
    return xp.where(x >= 0, one / (one + small), small / (one + small))


def _gelu(xp: Any, x: Any) -> Any:
    # 1 + erf(x/√2) as erfc(-x/√2), which keeps its digits where erf is near -1
    return 0.5 * x * mapped(math.erfc)(xp, x * x.dtype.type(-math.sqrt(0.5)))


def _scaled(x: Any, given: float) -> Any:
    """An attribute as a number of x's type."""
    return x.dtype.type(given)


ONE: tuple[Param, ...] = (Param("alpha", "float", 1.0),)
SLOPE: tuple[Param, ...] = (Param("alpha", "float", 0.01),)
LINE: tuple[Param, ...] = (Param("alpha", "float", 1.0), Param("beta", "float", 0.0))
HARD: tuple[Param, ...] = (Param("alpha", "float", 0.2), Param("beta", "float", 0.5))

#: Where the specification's anchor is not the name in lower case.
ANCHORS = {
    "gelu": "gelu-method", "hardSigmoid": "hard-sigmoid", "hardSwish": "hard-swish",
    "sigmoid": "sigmoid-method", "softplus": "softplus-method", "softsign": "softsign-method",
    "tanh": "tanh-method",
}  # fmt: skip
#: name -> attributes, reference, WGSL, tolerance (float32, float16), emulation
ROWS: dict[str, tuple[tuple[Param, ...], Reference, str, Tolerance, Callable[..., Any]]] = {
    "elu": (
        ONE,
        lambda xp, x, alpha: xp.where(x < 0, _scaled(x, alpha) * xp.expm1(xp.minimum(x, 0)), x),
        "select({input}, {alpha} * expm1_f32({input}), is_negative_f32({input}))",
        ulp(18, 18),
        lambda b, x, alpha: b.add(
            b.max(x, _zero(b, x)),
            b.mul(b.scalar(x.dtype, number(alpha, x.dtype)),
                  b.sub(b.exp(b.min(x, _zero(b, x))), b.scalar(x.dtype, 1)))),
    ),
    "gelu": (
        (), _gelu,
        "0.5 * {input} * erfc_f32({input} * -0.7071067811865476)",
        ulp(18, 18),
        lambda b, x: b.mul(
            b.mul(x, b.scalar(x.dtype, 0.5)),
            b.add(b.erf(b.div(x, b.sqrt(b.scalar(x.dtype, 2)))), b.scalar(x.dtype, 1))),
    ),
    "hardSigmoid": (
        HARD,
        lambda xp, x, alpha, beta: xp.clip(_scaled(x, alpha) * x + _scaled(x, beta), 0, 1),
        "clamp_f32({alpha} * {input} + {beta}, 0.0, 1.0)",
        ulp(2, 2),
        lambda b, x, alpha, beta: b.clamp(
            b.linear(x, alpha=alpha, beta=beta), min_value=0, max_value=1),
    ),
    "hardSwish": (
        (), lambda xp, x: x * (xp.clip(x + 3, 0, 6) / 6),  # in this order nothing overflows
        "{input} * (clamp_f32({input} + 3.0, 0.0, 6.0) / 6.0)",
        ulp(4, 4),
        lambda b, x: b.mul(x, b.div(
            b.clamp(b.add(x, b.scalar(x.dtype, 3)), min_value=0, max_value=6),
            b.scalar(x.dtype, 6))),
    ),
    "leakyRelu": (
        SLOPE, lambda xp, x, alpha: xp.where(x < 0, _scaled(x, alpha) * x, x),
        "select({input}, {alpha} * {input}, is_negative_f32({input}))",
        ulp(1, 2),
        lambda b, x, alpha: b.prelu(x, b.scalar(x.dtype, number(alpha, x.dtype))),
    ),
    "linear": (
        LINE, lambda xp, x, alpha, beta: _scaled(x, alpha) * x + _scaled(x, beta),
        "{alpha} * {input} + {beta}",
        ulp(2, 2),
        lambda b, x, alpha, beta: b.add(
            b.mul(x, b.scalar(x.dtype, number(alpha, x.dtype))),
            b.scalar(x.dtype, number(beta, x.dtype))),
    ),
    "sigmoid": (
        (), _sigmoid,
        "sigmoid_f32({input})",
        ulp(34, 10),
        lambda b, x: b.reciprocal(b.add(b.exp(b.neg(x)), b.scalar(x.dtype, 1))),
    ),
    "softplus": (
        (), lambda xp, x: xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x))),
        "softplus_f32({input})",
        ulp(18, 18),
        # not log(exp(x) + 1), which overflows
        lambda b, x: b.add(
            b.max(x, _zero(b, x)),
            b.log(b.add(b.exp(b.neg(b.abs(x))), b.scalar(x.dtype, 1)))),
    ),
    "softsign": (
        (), lambda xp, x: x / (1 + xp.abs(x)),
        "{input} / (1.0 + abs({input}))",
        ulp(3, 3),
        lambda b, x: b.div(x, b.add(b.abs(x), b.scalar(x.dtype, 1))),
    ),
    "tanh": (
        (), lambda xp, x: xp.tanh(x),
        "tanh_f32({input})",
        atol(2**-10, 2**-9),
        # 2·sigmoid(2x) - 1; the text's (exp(2x) - 1) / (exp(2x) + 1) overflows
        lambda b, x: b.linear(b.sigmoid(b.add(x, x)), alpha=2.0, beta=-1.0),
    ),
}  # fmt: skip


def _zero(b: Builder, x: Value) -> Value:
    return b.scalar(x.dtype, 0)


def _rounded(reference: Reference) -> Reference:
    return lambda xp, x, **how: reference(xp, wide(x), **how).astype(x.dtype)


for _name, (_attrs, _reference, _wgsl, _tolerance, _emulation) in ROWS.items():
    register(Op(
        _name, (In("input", FLOATS),), shape.like, attrs=_attrs, reference=_rounded(_reference),
        decompose=_emulation, wgsl=_wgsl, tolerance=_tolerance,
        spec=f"#api-mlgraphbuilder-{ANCHORS.get(_name, _name.lower())}",
    ))  # fmt: skip

register(Op(
    "clamp", (In("input", NUMBERS),), _clamp,
    attrs=(Param("minValue", "number", None), Param("maxValue", "number", None)),
    reference=_clamp_reference, decompose=_clamp_decomposed, tolerance=EXACT,
    spec="#api-mlgraphbuilder-clamp",
))  # fmt: skip

register(Op(
    "relu", (In("input", SIGNED),), shape.like, reference=lambda xp, x: xp.maximum(x, 0),
    decompose=lambda b, x: b.max(x, _zero(b, x)),
    wgsl="select({input}, {T}(0), is_negative_{T}({input}))", tolerance=EXACT,
    spec="#api-mlgraphbuilder-relu-method",
))  # fmt: skip

register(Op(
    "prelu", (In("input", SIGNED), In("slope", SIGNED, like="input")), shape.elementwise,
    reference=lambda xp, x, slope: xp.where(x < 0, slope * x, x),
    decompose=lambda b, x, slope: b.add(
        b.max(x, _zero(b, x)), b.mul(slope, b.min(x, _zero(b, x)))),
    wgsl="select({input}, {slope} * {input}, is_negative_{T}({input}))", tolerance=ulp(1, 1),
    spec="#api-mlgraphbuilder-prelu",
))  # fmt: skip
