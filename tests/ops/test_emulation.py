"""Element-wise, reducing and quantising rows as the operators that the text emulates them with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from edgewise.ops import OPS
from tests.ops.decomposition import Array, check, expanded, graph_of, outputs

SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 3e38, -3e38, 1e-40, 1.0, -1.0, 0.5, 88.0, -88.0]
ACTIVATIONS: dict[str, dict[str, Any]] = {
    "elu": {"alpha": 0.75}, "gelu": {}, "hardSigmoid": {"alpha": 0.25, "beta": 0.5},
    "hardSwish": {}, "leakyRelu": {"alpha": 0.125}, "linear": {"alpha": -1.5, "beta": 0.25},
    "relu": {}, "sigmoid": {}, "softplus": {}, "softsign": {}, "tanh": {}, "tan": {},
    "clamp": {"minValue": -0.5, "maxValue": 1.25},
}  # fmt: skip
REDUCTIONS = [
    "reduceL1", "reduceL2", "reduceLogSum", "reduceLogSumExp", "reduceSumSquare",
]  # fmt: skip


def _random(shape: tuple[int, ...], seed: int, dtype: str = "float32") -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(("op", "attrs"), ACTIVATIONS.items())
def test_activations(op: str, attrs: dict[str, Any], dtype: str) -> None:
    for shape in ((), (0,), (7,), (2, 3, 5)):
        check(op, {"input": _random(shape, 1, dtype)}, **attrs)


@pytest.mark.parametrize(("op", "attrs"), ACTIVATIONS.items())
def test_activations_of_what_is_not_finite_or_large(op: str, attrs: dict[str, Any]) -> None:
    x = np.array(SPECIAL, np.float32)
    graph = graph_of(op, {"input": x}, **attrs)
    (got,), (want,) = outputs(expanded(graph, (op,)), {"input": x}), outputs(graph, {"input": x})
    finite = np.isfinite(want) & (np.abs(x) < 1e30)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_allclose(got[finite], want[finite], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("limits", [{"minValue": np.nan}, {"maxValue": -np.inf}, {}])
def test_clamp_with_limits_that_are_no_numbers(limits: dict[str, float]) -> None:
    check("clamp", {"input": _random((9,), 2)}, **limits)


@pytest.mark.parametrize("op", ["isNaN", "isInfinite"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_tests_of_numbers(op: str, dtype: str) -> None:
    with np.errstate(over="ignore"):
        x = np.array([np.nan, -np.nan, np.inf, -np.inf, 0, -0.0, 6e4, 1e-7], dtype)
    check(op, {"a": x})
    (got,) = outputs(graph_of(op, {"a": x}), {"a": x})
    assert got.tolist() == [1, 1, 0, 0] + [0] * 4 if op == "isNaN" else [0, 0, 1, 1] + [0] * 4


def test_not_equal() -> None:
    a, b = np.array([1, 2, np.nan], np.float32), np.array([1, 3, np.nan], np.float32)
    check("notEqual", {"a": a, "b": b})


@pytest.mark.parametrize("dtype", ["float32", "int32", "int8"])
def test_prelu_broadcasts(dtype: str) -> None:
    x = (_random((3, 1, 4), 3) * 9).astype(dtype)
    check("prelu", {"input": x, "slope": (_random((5, 1), 4) * 3).astype(dtype)})


@given(st.data())
def test_reductions(data: st.DataObject) -> None:
    op = data.draw(st.sampled_from(REDUCTIONS))
    shape = data.draw(array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    attrs: dict[str, Any] = {"keepDimensions": data.draw(st.booleans())}
    if data.draw(st.booleans()):
        axes = st.lists(st.integers(0, len(shape) - 1), unique=True) if shape else st.just([])
        attrs["axes"] = tuple(data.draw(axes))
    dtype = data.draw(st.sampled_from(["float32", "float16"]))
    x = _random(shape, data.draw(st.integers(0, 99)), dtype)
    check(op, {"input": np.abs(x) + x.dtype.type(0.25)}, **attrs)


@pytest.mark.parametrize("op", ["reduceL1", "reduceSumSquare"])
@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64", "uint64"])
def test_integer_reductions_are_exact_and_wrap(op: str, dtype: str) -> None:
    info = np.iinfo(dtype)
    x = np.array([[info.max, info.min, 3], [info.max - 1, 7, 1]], dtype)
    graph = graph_of(op, {"input": x}, axes=(1,))
    (got,) = outputs(graph, {"input": x})
    wide = x.astype(object)
    parts = np.abs(wide) if op == "reduceL1" else wide * wide
    modulus = 2**info.bits
    assert [int(each) % modulus for each in got] == [int(each) % modulus for each in parts.sum(1)]
    (split,) = outputs(expanded(graph, (op,)), {"input": x})
    np.testing.assert_array_equal(split, got)


def test_log_sum_exp_of_what_overflows() -> None:
    x = np.array([[1000, 1001], [-np.inf, -np.inf], [np.inf, 0], [-2000, -2001]], np.float32)
    graph = graph_of("reduceLogSumExp", {"input": x}, axes=(1,))
    for each in (graph, expanded(graph, ("reduceLogSumExp",))):
        (got,) = outputs(each, {"input": x})
        want = np.logaddexp(x[:, 0].astype(np.float64), x[:, 1])
        np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_softmax(axis: int, dtype: str) -> None:
    check("softmax", {"input": _random((2, 3, 5), 5, dtype) * np.array(40, dtype)}, axis=axis)


@given(st.data())
def test_gemm(data: st.DataObject) -> None:
    rows, inner, columns = (data.draw(st.integers(0, 4)) for _ in range(3))
    turned = data.draw(st.booleans()), data.draw(st.booleans())
    arrays = {
        "a": _random((inner, rows) if turned[0] else (rows, inner), 6),
        "b": _random((columns, inner) if turned[1] else (inner, columns), 7),
    }
    if data.draw(st.booleans()):
        shapes = [(), (1,), (columns,), (rows, 1), (1, columns), (rows, columns)]
        arrays["c"] = _random(data.draw(st.sampled_from(shapes)), 8)
    scalars = st.sampled_from([1.0, 0.0, -0.5])
    check("gemm", arrays, aTranspose=turned[0], bTranspose=turned[1], alpha=data.draw(scalars),
          beta=data.draw(scalars))  # fmt: skip


@given(st.data())
def test_quantisation(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), max_size=3))
    shape = tuple(count * block for count, block in sizes)
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    dtype = np.dtype(data.draw(st.sampled_from(["int8", "uint8", "int32", "uint32"])))
    x = (rng.normal(size=shape) * 50).astype(np.float32)
    scale = rng.uniform(0.25, 2, [count for count, _ in sizes]).astype(np.float32)
    zero = rng.integers(0, 9, scale.shape).astype(dtype)
    arrays: dict[str, Array] = {"input": x, "scale": scale, "zeroPoint": zero}
    graph = graph_of("quantizeLinear", arrays)
    (got,), (want,) = outputs(expanded(graph, ("quantizeLinear",)), arrays), outputs(graph, arrays)
    np.testing.assert_array_equal(got, want)
    check("dequantizeLinear", arrays | {"input": want})


def test_every_row_with_an_emulation_is_tried() -> None:
    tried = {*ACTIVATIONS, *REDUCTIONS, "isNaN", "isInfinite", "notEqual", "prelu", "softmax",
             "gemm", "quantizeLinear", "dequantizeLinear"}  # fmt: skip
    elsewhere = {"batchNormalization", "instanceNormalization", "layerNormalization", "l2Pool2d",
                 "gru", "gruCell", "lstm", "lstmCell"}  # fmt: skip
    emulated = {op.name for op in OPS.values() if op.spec and op.decompose}
    assert emulated - elsewhere == tried
