"""Composites that turn logits into the next token, on the device.

Thresholds (top-k, top-p) are found by bisection, which needs no sort: each step counts, or sums,
what lies above the middle.
"""

from __future__ import annotations

from collections.abc import Callable

from ..dims import bound
from ..dtypes import DType
from .base import EXACT, Builder, In, Op, Type, Value, register
from .llm import FLOAT32
from .precision import F32
from .shape import like, need

INT32 = frozenset({DType.INT32})
UINT32 = frozenset({DType.UINT32})
STEPS = 32
# exp(-128) is 0 in float32, so what lies further below the largest logit is never drawn
DEPTH = 128.0


def _mark_seen(seen: Value, ids: Value) -> list[Type]:
    need(len(seen.shape) == 1 and len(ids.shape) == 1, "inputs", f"{seen}, {ids}", "[V] and [S]")
    return like(seen)


def _mark_seen_decomposed(b: Builder, seen: Value, ids: Value) -> Value:
    ones = b.expand(b.scalar(DType.UINT32, 1), ids.shape)
    out: Value = b.scatter_elements(seen, ids, ones, axis=0)
    return out


def _sample(logits: Value, seen: Value, bias: Value, settings: Value) -> list[Type]:
    need(len(logits.shape) == 2 and logits.shape[0] == 1 and isinstance(logits.shape[1], int),
         "input 'logits'", logits, "[1, V] with an integer V")  # fmt: skip
    for name, value in (("seen", seen), ("bias", bias)):
        need(value.shape == logits.shape[1:], f"input {name!r}", value, f"[V] of {logits}")
    need(settings.shape == (5,), "input 'settings'", settings, "[5]")
    return [(DType.INT32, (1,))]


def _sample_decomposed(
    b: Builder, logits: Value, seen: Value, bias: Value, settings: Value
) -> Value:
    vocab = logits.shape[1]
    zero, one = b.scalar(F32, 0), b.scalar(F32, 1)
    temperature, top_k, top_p, penalty, uniform = b.split(settings, 5, 0)
    raw = b.reshape(logits, (vocab,))
    penalised = b.where(b.greater(raw, zero), b.div(raw, penalty), b.mul(raw, penalty))
    was_seen = b.greater(seen, b.scalar(DType.UINT32, 0))
    scores = b.add(b.where(was_seen, penalised, raw), bias)
    hot = b.greater(temperature, zero)

    below = b.sub(scores, b.reduce_max(scores, axes=(0,), keep_dimensions=True))
    scaled = b.div(below, b.where(hot, temperature, one))
    # top-k: the largest threshold that at least k scores reach
    least = _threshold(b, scaled, lambda kept: kept, top_k)
    kept = b.logical_or(b.lesser_or_equal(top_k, zero), b.greater_or_equal(scaled, least))
    weights = b.mul(b.exp(scaled), b.cast(kept, F32))
    mass = b.reduce_sum(weights, axes=(0,), keep_dimensions=True)
    # top-p: the largest threshold whose scores hold at least that share of the mass
    least = _threshold(b, scaled, lambda kept: b.mul(kept, weights), b.mul(top_p, mass))
    kept = b.logical_or(b.greater_or_equal(top_p, one), b.greater_or_equal(scaled, least))
    cumulated = b.cumulative_sum(b.mul(weights, b.cast(kept, F32)), 0)
    total = b.slice(cumulated, (bound(vocab) - 1,), (1,))
    # uniform is at most 1 - 2^-24, so the product rounds to less than `total` and one exceeds it
    reached = b.greater(cumulated, b.mul(uniform, total))
    drawn = b.arg_max(b.cast(reached, DType.INT32), 0, keep_dimensions=True)
    greedy = b.arg_max(scores, 0, keep_dimensions=True)
    out: Value = b.where(hot, drawn, greedy)
    return out


def _threshold(b: Builder, scores: Value, weigh: Callable[[Value], Value], enough: Value) -> Value:
    """The largest t in [-DEPTH, 0], up to DEPTH / 2**STEPS, whose scores >= t weigh `enough`."""
    low, high = b.vector(F32, [-DEPTH]), b.vector(F32, [0.0])
    half = b.scalar(F32, 0.5)
    for _ in range(STEPS):
        middle = b.mul(b.add(low, high), half)
        above = b.cast(b.greater_or_equal(scores, middle), F32)
        weight = b.reduce_sum(weigh(above), axes=(0,), keep_dimensions=True)
        fits = b.greater_or_equal(weight, enough)
        low, high = b.where(fits, middle, low), b.where(fits, high, middle)
    return low


register(Op(
    "markSeen", (In("seen", UINT32), In("ids", INT32)), _mark_seen,
    decompose=_mark_seen_decomposed, tolerance=EXACT, in_place={0: 0},
))  # fmt: skip

register(Op(
    "sample",
    (In("logits", FLOAT32), In("seen", UINT32), In("bias", FLOAT32), In("settings", FLOAT32)),
    _sample, decompose=_sample_decomposed, tolerance=EXACT,
))  # fmt: skip
