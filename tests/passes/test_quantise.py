"""Products with weights of 8 bits: what becomes one operator, and what does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgewise.dtypes import DType
from edgewise.graph.builder import GraphBuilder
from edgewise.passes.quantise import quantise
from tests.passes.test_patterns import declines, fires

F32, I8 = DType.FLOAT32, DType.INT8
N, K = 33, 40
RNG = np.random.default_rng(5)
CODES = RNG.integers(-127, 128, (N, K)).astype("i1")
SCALE = RNG.uniform(0.01, 0.1, N).astype("f4")


def weight(b: GraphBuilder, *, zero: int = 0, shaped: bool = True, n: int = N) -> Any:
    codes = b.constant(I8, (n, K), data=CODES[:n].tobytes())
    scale = b.constant(F32, (n,) if shaped else (n, 1), data=SCALE[:n].tobytes())
    zeros = b.constant(I8, (n, 1), data=bytes([zero] * n))
    return b.dequantize_linear(codes, b.reshape(scale, (n, 1)) if shaped else scale, zeros)


def turned(b: GraphBuilder, **how: Any) -> Any:
    return b.transpose(weight(b, **how), permutation=(1, 0))


def bias(b: GraphBuilder) -> Any:
    return b.vector(F32, RNG.normal(size=N).tolist())


@pytest.mark.parametrize("shaped", [True, False])
def test_a_layer_is_one_operator(shaped: bool) -> None:
    def make(b: GraphBuilder) -> None:
        x = b.input("x", F32, (2, 3, K))
        b.output("y", b.gelu(b.add(bias(b), b.matmul(x, turned(b, shaped=shaped)))))

    fires(quantise, make, ["quantizedLinear"])


def test_gemm_with_its_bias() -> None:
    def make(b: GraphBuilder) -> None:
        x = b.input("x", F32, (3, K))
        b.output("y", b.gemm(x, weight(b), c=bias(b), b_transpose=True))
        b.output("z", b.relu(b.gemm(x, turned(b))))

    fires(quantise, make, ["quantizedLinear", "quantizedLinear"])


def test_two_products_share_a_weight() -> None:
    def make(b: GraphBuilder) -> None:
        w = turned(b)
        for name in "uv":
            b.output(f"{name}w", b.matmul(b.input(name, F32, (3, K)), w))

    fires(quantise, make, ["quantizedLinear", "quantizedLinear"])


def test_what_others_read_is_not_joined() -> None:
    def make(b: GraphBuilder) -> None:
        y = b.matmul(b.input("x", F32, (3, K)), turned(b))
        b.output("y", y)
        b.output("z", b.relu(y))

    fires(quantise, make, ["quantizedLinear", "relu"])


def _product(b: GraphBuilder, **how: Any) -> None:
    b.output("y", b.matmul(b.input("x", F32, (3, K)), turned(b, **how)))


def _scaled(b: GraphBuilder) -> None:
    b.output("y", b.gemm(b.input("x", F32, (3, K)), weight(b), alpha=2.0, b_transpose=True))


@pytest.mark.parametrize(
    ("make", "because"),
    [
        (lambda b: _product(b, zero=1), "zero points"),
        (lambda b: _product(b, n=8), "small"),
        (_scaled, "scaled"),
    ],
)
def test_declined(make: Callable[[GraphBuilder], None], because: str) -> None:
    declines(quantise, make, because)
