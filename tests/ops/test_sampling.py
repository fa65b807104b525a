"""The decomposition of `sample`, which bisects, against an implementation that sorts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.dtypes import DType
from edgewise.graph.builder import GraphBuilder
from edgewise.targets.reference import Reference

Array = np.ndarray[Any, np.dtype[Any]]
F32 = DType.FLOAT32
_programs: dict[int, Reference] = {}


def _program(vocab: int) -> Reference:
    if vocab not in _programs:
        b = GraphBuilder("sample")
        logits = b.input("logits", F32, (1, vocab))
        seen = b.input("seen", DType.UINT32, (vocab,))
        bias, control = b.input("bias", F32, (vocab,)), b.input("settings", F32, (5,))
        b.output("token", b.sample(logits, seen, bias, control))
        _programs[vocab] = Reference(b.build(), lambda constant: np.zeros(0))
    return _programs[vocab]


def _token(logits: Array, seen: Array, bias: Array, control: list[float]) -> int:
    arrays = {"logits": logits[None], "seen": seen, "bias": bias,
              "settings": np.array(control, np.float32)}  # fmt: skip
    outputs, _ = _program(len(logits)).run(arrays, {}, {})
    assert outputs["token"].dtype == np.int32
    assert outputs["token"].shape == (1,)
    return int(outputs["token"][0])


def _sorted(
    logits: Array, seen: Array, bias: Array, control: list[float]
) -> tuple[Array, list[int]]:
    """Cumulated probability of what is kept, and the order of the kept by probability."""
    temperature, top_k, top_p, penalty, _ = control
    scores = logits.astype(np.float64)
    scores = np.where(seen > 0, np.where(scores > 0, scores / penalty, scores * penalty), scores)
    scores = (scores + bias) / temperature
    order = sorted(range(len(scores)), key=lambda index: -scores[index])
    if 0 < top_k < len(order):
        order = [index for index in order if scores[index] >= scores[order[int(top_k) - 1]]]
    weights = np.exp(scores - scores.max())
    mass, kept = 0.0, 0
    total = weights[order].sum()
    while kept < len(order) and (kept == 0 or mass < top_p * total):
        mass += weights[order[kept]]
        kept += 1
    order = order[:kept] if top_p < 1 else order
    chosen = np.zeros(len(scores))
    chosen[order] = weights[order]
    return np.cumsum(chosen) / chosen.sum(), order


# the same examples each time: on the border of top-p, sums in float32 and float64 may differ
@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    vocab=st.sampled_from([1, 2, 7, 64, 501]),
    temperature=st.sampled_from([0.1, 0.7, 1.0, 3.0]),
    top_k=st.sampled_from([0, 1, 2, 5, 40, 10_000]),
    top_p=st.sampled_from([0.0, 0.05, 0.5, 0.9, 0.99, 1.0]),
    penalty=st.sampled_from([1.0, 1.3]),
    uniform=st.floats(0, 1, exclude_max=True, width=32),
    masked=st.booleans(),
)
def test_it_draws_what_sorting_draws(
    seed: int, vocab: int, temperature: float, top_k: int, top_p: float, penalty: float,
    uniform: float, masked: bool,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    logits = (rng.standard_normal(vocab) * 5).astype(np.float32)
    seen = rng.integers(0, 2, vocab).astype(np.uint32)
    bias = np.zeros(vocab, np.float32)
    if masked and vocab > 2:
        bias[rng.permutation(vocab)[: vocab // 2]] = -np.inf
    control = [temperature, top_k, top_p, penalty, uniform]
    token = _token(logits, seen, bias, control)
    cumulated, order = _sorted(logits, seen, bias, control)
    # the draw may fall to the neighbour where float32 and float64 differ on the border
    low = cumulated[token - 1] if token else 0.0
    assert low - 1e-5 <= uniform <= cumulated[token] + 1e-5
    assert token in order
    assert bias[token] == 0


@pytest.mark.parametrize("seed", range(5))
def test_temperature_zero_takes_the_largest_after_penalty_and_bias(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = (rng.standard_normal(99) * 5).astype(np.float32)
    seen = rng.integers(0, 2, 99).astype(np.uint32)
    bias = rng.standard_normal(99).astype(np.float32)
    scores = np.where(seen > 0, np.where(logits > 0, logits / 1.5, logits * 1.5), logits) + bias
    assert _token(logits, seen, bias, [0, 3, 0.5, 1.5, 0.9]) == int(scores.argmax())


def test_ties_go_to_the_lowest_index_and_top_k_keeps_them_all() -> None:
    logits = np.array([1, 3, 3, 3, 2], np.float32)
    none, zero = np.zeros(5, np.uint32), np.zeros(5, np.float32)
    assert _token(logits, none, zero, [0, 0, 1, 1, 0]) == 1
    drawn = {_token(logits, none, zero, [1, 1, 1, 1, u]) for u in (0.1, 0.5, 0.9)}
    assert drawn == {1, 2, 3}


def test_the_largest_uniform_draws_a_kept_token() -> None:
    almost = float(np.nextafter(np.float32(1), np.float32(0)))
    logits = np.array([0, 5, 4.5, -3], np.float32)
    none, zero = np.zeros(4, np.uint32), np.zeros(4, np.float32)
    assert _token(logits, none, zero, [1, 2, 1, 1, almost]) == 2
    assert _token(logits, none, zero, [1, 2, 1, 1, 0]) == 1


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_frequencies_follow_the_softmax(temperature: float) -> None:
    logits = np.array([0.3, -1.0, 1.2, 0.0, 0.9, -0.4], np.float32)
    none, zero = np.zeros(6, np.uint32), np.zeros(6, np.float32)
    n = 60  # a grid of uniforms, so the count is known to 1
    tokens = [_token(logits, none, zero, [temperature, 0, 1, 1, (i + 0.5) / n]) for i in range(n)]
    want = np.exp(logits.astype(np.float64) / temperature)
    want /= want.sum()
    assert np.abs(np.bincount(tokens, minlength=6) - want * n).max() <= 1.01
