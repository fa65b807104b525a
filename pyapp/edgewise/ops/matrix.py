"""matmul, gemm and softmax."""

from __future__ import annotations

from typing import Any

from ..dtypes import FLOATS
from .base import Builder, In, Op, Param, Tolerance, Type, Value, register
from .precision import as_type, number, wide, widened
from .shape import broadcast, check_axis, like, need


def _matmul(a: Value, b: Value) -> list[Type]:
    need(min(len(a.shape), len(b.shape)) >= 2, "inputs", f"{a} and {b}", "rank 2 or more")
    need(a.shape[-1] == b.shape[-2], "inputs", f"{a} and {b}", "a.shape[-1] == b.shape[-2]")
    batch = broadcast(a.shape[:-2], b.shape[:-2])
    return [(a.dtype, (*batch, a.shape[-2], b.shape[-1]))]


def _matmul_reference(xp: Any, a: Any, b: Any) -> Any:
    return xp.matmul(wide(a), wide(b)).astype(a.dtype)


def _gemm(
    a: Value, b: Value, c: Value | None = None, *, alpha: float, beta: float, aTranspose: bool,
    bTranspose: bool,
) -> list[Type]:  # fmt: skip
    need(len(a.shape) == 2, "input 'a'", a, "rank 2")
    need(len(b.shape) == 2, "input 'b'", b, "rank 2")
    rows, inner = a.shape[::-1] if aTranspose else a.shape
    other, columns = b.shape[::-1] if bTranspose else b.shape
    need(inner == other, "inputs", f"{a} and {b}", f"as many columns as rows, not {inner}, {other}")
    out = (rows, columns)
    if c is not None:
        fits = len(c.shape) <= 2 and all(
            dim in (1, size) for dim, size in zip(c.shape[::-1], out[::-1], strict=False)
        )
        need(fits, "input 'c'", c, f"a shape that broadcasts to [{rows}, {columns}]")
    return [(a.dtype, out)]


def _gemm_reference(
    xp: Any, a: Any, b: Any, c: Any = None, *, alpha: float, beta: float, aTranspose: bool,
    bTranspose: bool,
) -> Any:  # fmt: skip
    left, right = (wide(x.T if turned else x) for x, turned in ((a, aTranspose), (b, bTranspose)))
    out = left.dtype.type(alpha) * xp.matmul(left, right)
    if c is not None:
        out = out + left.dtype.type(beta) * wide(c)
    return out.astype(a.dtype)


def _gemm_decomposed(
    b: Builder, left: Value, right: Value, c: Value | None = None, *, alpha: float, beta: float,
    aTranspose: bool, bTranspose: bool,
) -> Value:  # fmt: skip
    dtype = left.dtype
    left = b.transpose(left) if aTranspose else left
    right = b.transpose(right) if bTranspose else right
    if alpha != 1:
        left = b.mul(left, b.scalar(dtype, number(alpha, dtype)))
    out: Value = b.matmul(left, right)
    if c is None:
        return out
    shift = c if beta == 1 else b.mul(c, b.scalar(dtype, number(beta, dtype)))
    out = b.add(out, shift)
    return out


def _gemm_terms(
    a: tuple[int, ...], b: tuple[int, ...], c: tuple[int, ...] | None = None, *, alpha: float = 1,
    beta: float = 1, aTranspose: bool = False, bTranspose: bool = False,
) -> int:  # fmt: skip
    added = 0 if c is None or beta == 0 else 1 + (beta != 1)
    return 2 * (a[0] if aTranspose else a[1]) + (alpha != 1) + added


def _softmax(x: Value, *, axis: int) -> list[Type]:
    check_axis(x, axis)
    return like(x)


def _softmax_reference(xp: Any, x: Any, axis: int) -> Any:
    if x.size == 0:
        return x
    scores = wide(x)
    exps = xp.exp(scores - scores.max(axis=axis, keepdims=True))
    return (exps / exps.sum(axis=axis, keepdims=True)).astype(x.dtype)


def _softmax_decomposed(b: Builder, x: Value, *, axis: int) -> Value:
    scores = widened(b, x)
    exps = b.exp(b.sub(scores, b.reduce_max(scores, axes=(axis,), keep_dimensions=True)))
    total = b.reduce_sum(exps, axes=(axis,), keep_dimensions=True)
    return as_type(b, b.div(exps, total), x.dtype)


register(Op(
    "matmul", (In("a", FLOATS), In("b", FLOATS, like="a")), _matmul,
    reference=_matmul_reference, tolerance=Tolerance("ULP", 2, 2, lambda a, b: a[-1]),
    spec="#api-mlgraphbuilder-matmul",
))  # fmt: skip

register(Op(
    "gemm",
    (In("a", FLOATS), In("b", FLOATS, like="a"), In("c", FLOATS, optional=True, like="a")),
    _gemm,
    attrs=(Param("alpha", "float", 1.0), Param("beta", "float", 1.0),
           Param("aTranspose", "bool", False), Param("bTranspose", "bool", False)),
    reference=_gemm_reference, decompose=_gemm_decomposed,
    tolerance=Tolerance("ULP", 1, 1, _gemm_terms), spec="#api-mlgraphbuilder-gemm",
))  # fmt: skip

register(Op(
    "softmax", (In("input", FLOATS),), _softmax, attrs=(Param("axis", "int"),),
    reference=_softmax_reference, decompose=_softmax_decomposed,
    tolerance=Tolerance("ULP", 3, 3, lambda x, axis: x[axis] + 1),
    spec="#api-mlgraphbuilder-softmax-method",
))  # fmt: skip
