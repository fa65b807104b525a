"""Folding, pairs, and the formulas that exporters spell out: what fires, what declines and why."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np
import pytest

from edgewise.dtypes import DType
from edgewise.graph.builder import GraphBuilder
from edgewise.graph.graph import Graph
from edgewise.graph.text import parse_graph, print_graph
from edgewise.graph.verify import verify
from edgewise.passes import attention, fold, pairs, recognise
from edgewise.passes.base import Pass
from edgewise.targets.reference import Reference

F32, F16, I8, I32 = DType.FLOAT32, DType.FLOAT16, DType.INT8, DType.INT32
Make = Callable[[GraphBuilder], None]


def built(make: Make) -> Graph:
    b = GraphBuilder("pattern")
    make(b)
    return b.build()


def same(before: Graph, after: Graph, limit: float) -> None:
    """Both graphs give the same outputs on fresh inputs."""
    rng = np.random.default_rng(7)
    inputs = {}
    for name in before.inputs:
        value = before.values[name]
        shape = tuple(dim for dim in value.shape if isinstance(dim, int))
        whole = not value.dtype.is_float
        made = rng.integers(-100, 100, shape) if whole else rng.normal(size=shape) * 3
        inputs[name] = made.astype(value.dtype.value)

    def run(graph: Graph) -> dict[str, Any]:
        return Reference(graph, lambda constant: np.empty(0)).run(inputs, {}, {})[0]

    want, got = run(before), run(after)
    for name in want:
        np.testing.assert_allclose(got[name], want[name], rtol=limit, atol=limit)


def fires(apply: Pass, make: Make, ops: list[str], limit: float = 1e-5) -> None:
    """The pass leaves exactly these operators, keeps the values, and has nothing left to do."""
    before = built(make)
    result = apply(before)
    verify(result.graph)
    assert [node.op for node in result.graph.nodes] == ops
    assert result.changed
    assert any(note.text.startswith("did") for note in result.notes)
    again = apply(result.graph)
    assert not again.changed
    assert again.graph is result.graph
    assert parse_graph(print_graph(result.graph)) == result.graph
    same(before, result.graph, limit)


def declines(apply: Pass, make: Make, because: str) -> None:
    """The pass leaves the graph as it is, and says why."""
    before = built(make)
    result = apply(before)
    assert result.graph is before
    assert not result.changed
    reasons = [note.text for note in result.notes]
    assert any(because in text for text in reasons), f"{reasons=}"


# Folding ---------------------------------------------------------------------------------------


def test_formulas_of_constants_are_computed() -> None:
    def make(b: GraphBuilder) -> None:
        x = b.input("x", F32, (3,))
        b.output("y", b.mul(x, b.sqrt(b.add(b.vector(F32, [1, 2, 3]), b.scalar(F32, 1)))))

    fires(fold.fold, make, ["mul"])


def test_four_bit_constants_and_several_outputs_are_computed() -> None:
    def make(b: GraphBuilder) -> None:
        codes = b.constant(DType.UINT4, (4,), data=bytes([0x21, 0xF3]))
        scale, zero = b.vector(F32, [0.5]), b.constant(DType.UINT4, (1,), data=b"\x01")
        first, second = b.split(b.dequantize_linear(codes, scale, zero), 2)
        b.output("y", b.add(b.input("x", F32, (2,)), b.sub(first, second)))

    fires(fold.fold, make, ["add"])


def test_what_would_grow_is_left() -> None:
    def make(b: GraphBuilder) -> None:
        b.output("y", b.add(b.input("x", F32, (1,)), b.expand(b.scalar(F32, 1), (300, 300))))

    before = built(make)
    assert fold.fold(before).graph is before


# Formulas --------------------------------------------------------------------------------------


def norm(
    b: GraphBuilder, x: Any, axes: list[int], eps: float = 1e-5, *, square: str = "pow"
) -> Any:
    centred = b.sub(x, b.reduce_mean(x, axes=axes, keep_dimensions=True))
    two = b.scalar(F32, 2)
    squares = b.pow(centred, two) if square == "pow" else b.mul(centred, centred)
    variance = b.reduce_mean(squares, axes=axes, keep_dimensions=True)
    return b.div(centred, b.sqrt(b.add(variance, b.scalar(F32, 1e-5))))


@pytest.mark.parametrize("square", ["pow", "mul"])
@pytest.mark.parametrize("affine", [0, 1, 2])
def test_layer_normalization(square: str, affine: int) -> None:
    def make(b: GraphBuilder) -> None:
        y = norm(b, b.input("x", F32, (2, 3, 5)), [2], square=square)
        if affine > 0:
            y = b.mul(y, b.vector(F32, [1, 2, 3, 4, 5]))
        if affine > 1:
            y = b.add(b.vector(F32, [5, 4, 3, 2, 1]), y)
        b.output("y", y)

    fires(recognise.recognise, make, ["layerNormalization"])


def test_layer_normalization_of_two_axes_and_a_scale_of_another_shape() -> None:
    def make(b: GraphBuilder) -> None:
        y = norm(b, b.input("x", F32, (2, 3, 5)), [1, 2])
        b.output("y", b.mul(y, b.vector(F32, [1, 2, 3, 4, 5])))

    fires(recognise.recognise, make, ["layerNormalization", "mul"])


def test_layer_normalization_declines() -> None:
    def first_axis(b: GraphBuilder) -> None:
        b.output("y", norm(b, b.input("x", F32, (2, 3, 5)), [1]))

    def read_inside(b: GraphBuilder) -> None:
        x = b.input("x", F32, (2, 5))
        centred = b.sub(x, b.reduce_mean(x, axes=[1], keep_dimensions=True))
        variance = b.reduce_mean(b.mul(centred, centred), axes=[1], keep_dimensions=True)
        b.output("y", b.div(centred, b.sqrt(b.add(variance, b.scalar(F32, 1e-5)))))
        b.output("variance", variance)

    declines(recognise.recognise, first_axis, "last axes")
    declines(recognise.recognise, read_inside, "reads a value inside")


def rms(b: GraphBuilder, x: Any, axis: int = 1) -> Any:
    mean = b.reduce_mean(b.pow(x, b.scalar(F32, 2)), axes=[axis], keep_dimensions=True)
    return b.div(x, b.sqrt(b.add(mean, b.scalar(F32, 1e-6))))


def test_rms_norm() -> None:
    def make(b: GraphBuilder) -> None:
        y = rms(b, b.input("x", F32, (4, 3)))
        b.output("y", b.mul(b.vector(F32, [1, 2, 3]), y))

    fires(recognise.recognise, make, ["rmsNorm"])


def test_rms_norm_declines() -> None:
    declines(recognise.recognise, lambda b: b.output("y", rms(b, b.input("x", F32, (4, 3)))),
             "no weight")  # fmt: skip
    declines(recognise.recognise, lambda b: b.output("y", rms(b, b.input("x", F32, (4, 3)), 0)),
             "last axis")  # fmt: skip


@pytest.mark.parametrize("order", ["half last", "half first", "half then x"])
@pytest.mark.parametrize("inner", ["div", "mul"])
def test_gelu(order: str, inner: str) -> None:
    def make(b: GraphBuilder) -> None:
        x = b.input("x", F32, (4, 3))
        root = sqrt(2) if inner == "div" else sqrt(0.5)
        scaled = getattr(b, inner)(x, b.scalar(F32, root))
        one, half = b.add(b.erf(scaled), b.scalar(F32, 1)), b.scalar(F32, 0.5)
        made = {
            "half last": lambda: b.mul(b.mul(x, one), half),
            "half first": lambda: b.mul(b.mul(x, half), one),
            "half then x": lambda: b.mul(x, b.mul(one, half)),
        }[order]()
        b.output("y", made)

    fires(recognise.recognise, make, ["gelu"])


def test_gelu_declines_without_the_half() -> None:
    def make(b: GraphBuilder) -> None:
        x = b.input("x", F32, (4, 3))
        one = b.add(b.erf(b.div(x, b.scalar(F32, sqrt(2)))), b.scalar(F32, 1))
        b.output("y", b.mul(x, one))

    declines(recognise.recognise, make, "not multiplied")


# Attention -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("scale", ["mul", "div", "none"])
def test_attention(mask: bool, scale: str) -> None:
    def make(b: GraphBuilder) -> None:
        q, k, v = (b.input(n, F32, (2, 3, s, 4)) for n, s in (("q", 5), ("k", 6), ("v", 6)))
        scores = b.matmul(q, b.transpose(k, permutation=[0, 1, 3, 2]))
        if scale != "none":
            scores = getattr(b, scale)(scores, b.scalar(F32, 0.5))
        if mask:
            scores = b.add(scores, b.input("mask", F32, (2, 1, 1, 6)))
        b.output("y", b.matmul(b.softmax(scores, 3), v))

    fires(attention.attention, make, ["scaledDotProductAttention"])


def test_attention_whose_heads_and_keys_are_transposed_at_once() -> None:
    def make(b: GraphBuilder) -> None:
        q, v = b.input("q", F32, (2, 3, 5, 4)), b.input("v", F32, (2, 3, 6, 4))
        turned = b.transpose(b.input("k", F32, (2, 6, 3, 4)), permutation=[0, 2, 3, 1])
        b.output("y", b.matmul(b.softmax(b.matmul(q, turned), 3), v))

    fires(attention.attention, make, ["transpose", "scaledDotProductAttention"])


def test_attention_declines() -> None:
    def scores_of(b: GraphBuilder) -> Any:
        q, k = b.input("q", F32, (5, 4)), b.input("k", F32, (5, 4))
        return b.matmul(q, b.transpose(k, permutation=[1, 0]))

    def read_twice(b: GraphBuilder) -> None:
        scores = scores_of(b)
        b.output("scores", scores)
        b.output("y", b.matmul(b.softmax(scores, 1), b.input("v", F32, (5, 4))))

    def wrong_axis(b: GraphBuilder) -> None:
        b.output("y", b.matmul(b.softmax(scores_of(b), 0), b.input("v", F32, (5, 4))))

    def no_product(b: GraphBuilder) -> None:
        b.output("y", b.matmul(b.softmax(b.input("s", F32, (5, 5)), 1), b.input("v", F32, (5, 4))))

    declines(attention.attention, read_twice, "reads the scores")
    declines(attention.attention, wrong_axis, "not over the keys")
    declines(attention.attention, no_product, "not a matrix product")


# Pairs -----------------------------------------------------------------------------------------


def requantise(b: GraphBuilder, second: float) -> None:
    q, zero = b.input("q", I8, (7,)), b.constant(I8, (1,), data=b"\x03")
    wide = b.dequantize_linear(q, b.vector(F32, [0.3]), zero)
    again = b.quantize_linear(wide, b.vector(F32, [second]), zero)
    b.output("y", b.cast(again, I32))


def test_quantising_what_was_just_dequantised_is_nothing() -> None:
    fires(pairs.pairs, lambda b: requantise(b, 0.3), ["cast"])
    declines(pairs.pairs, lambda b: requantise(b, 0.4), "scale or zero point differ")


def test_a_cast_and_its_way_back_are_nothing() -> None:
    def there(b: GraphBuilder, wide: DType) -> None:
        x = b.input("x", F16, (5,))
        b.output("y", b.neg(b.cast(b.cast(x, wide), F16)))

    fires(pairs.pairs, lambda b: there(b, F32), ["neg"])
    declines(pairs.pairs, lambda b: there(b, I32), "does not hold")
