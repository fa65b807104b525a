"""Matrix product and softmax."""

from __future__ import annotations

from typing import Any

from ..dtypes import FLOATS
from .base import In, Op, Param, Tolerance, Type, Value, register
from .shape import broadcast, check_axis, like, need


def _matmul(a: Value, b: Value) -> list[Type]:
    need(min(len(a.shape), len(b.shape)) >= 2, "inputs", f"{a} and {b}", "rank 2 or more")
    need(a.shape[-1] == b.shape[-2], "inputs", f"{a} and {b}", "a.shape[-1] == b.shape[-2]")
    batch = broadcast(a.shape[:-2], b.shape[:-2])
    return [(a.dtype, (*batch, a.shape[-2], b.shape[-1]))]


def _matmul_reference(xp: Any, a: Any, b: Any) -> Any:
    if a.dtype == "float16":
        return xp.matmul(a.astype("float32"), b.astype("float32")).astype("float16")
    return xp.matmul(a, b)


def _softmax(x: Value, *, axis: int) -> list[Type]:
    check_axis(x, axis)
    return like(x)


def _softmax_reference(xp: Any, x: Any, axis: int) -> Any:
    wide = x.astype("float32") if x.dtype == "float16" else x
    exps = xp.exp(wide - wide.max(axis=axis, keepdims=True))
    return (exps / exps.sum(axis=axis, keepdims=True)).astype(x.dtype)


register(Op(
    "matmul", (In("a", FLOATS), In("b", FLOATS, like="a")), _matmul,
    reference=_matmul_reference, tolerance=Tolerance("ULP", 2, 2, lambda a, b: a[-1]),
    spec="#api-mlgraphbuilder-matmul",
))  # fmt: skip

register(Op(
    "softmax", (In("input", FLOATS),), _softmax, attrs=(Param("axis", "int"),),
    reference=_softmax_reference,
    tolerance=Tolerance("ULP", 3, 3, lambda x, axis: x[axis] + 1),
    spec="#api-mlgraphbuilder-softmax-method",
))  # fmt: skip
