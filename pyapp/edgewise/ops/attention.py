"""Attention without a cache, as encoders have it: one composite instead of five operators."""

from __future__ import annotations

from ..dtypes import FLOATS
from .base import Builder, In, Op, Param, Type, Value, register
from .shape import broadcast, need


def _shape(q: Value, k: Value, v: Value, mask: Value | None, *, scale: float) -> list[Type]:
    rank = len(q.shape)
    need(rank >= 2 and len(k.shape) == len(v.shape) == rank, "inputs", f"{q}, {k} and {v}",
         "one rank, 2 or more")  # fmt: skip
    need(q.shape[-1] == k.shape[-1], "input 'k'", k, f"the last dimension of {q}")
    need(k.shape[-2] == v.shape[-2], "input 'v'", v, f"a row for each of {k}")
    batch = broadcast(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    scores = (*batch, q.shape[-2], k.shape[-2])
    if mask is not None:
        need(broadcast(scores, mask.shape) == scores, "input 'mask'", mask,
             f"what broadcasts to {scores}")  # fmt: skip
    return [(q.dtype, (*batch, q.shape[-2], v.shape[-1]))]


def _decompose(
    b: Builder, q: Value, k: Value, v: Value, mask: Value | None, *, scale: float
) -> Value:
    rank = len(k.shape)
    turned = b.transpose(k, permutation=(*range(rank - 2), rank - 1, rank - 2))
    scores = b.mul(b.matmul(q, turned), b.scalar(q.dtype, scale))
    if mask is not None:
        scores = b.add(scores, mask)
    mixed: Value = b.matmul(b.softmax(scores, axis=len(scores.shape) - 1), v)
    return mixed


register(Op(
    "scaledDotProductAttention",
    (In("q", FLOATS), In("k", FLOATS, like="q"), In("v", FLOATS, like="q"),
     In("mask", FLOATS, like="q", optional=True)),
    _shape, attrs=(Param("scale", "float"),), decompose=_decompose,
))  # fmt: skip
