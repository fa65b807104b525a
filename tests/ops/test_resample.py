"""Resampling against the specification's formula, element by element in fractions."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.dtypes import DType
from edgewise.errors import DTypeError, EdgewiseError, GraphError, ShapeError
from edgewise.graph.builder import GraphBuilder
from tests.ops import onnx_oracle
from tests.ops.decomposition import Array, run

F32 = DType.FLOAT32
HALF = Fraction(1, 2)


def _coordinate(at: int, size: int, out: int) -> Fraction:
    scale = Fraction(out, size)
    return min(max((at + HALF) / scale - HALF, Fraction(0)), Fraction(size - 1))


def _expected(x: Array, mode: str, sizes: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    for axis, out in zip(axes, sizes, strict=True):
        size = x.shape[axis]
        at = [_coordinate(index, size, out) for index in range(out)]
        if mode == "nearest-neighbor":
            x = x.take([ceil(each - HALF) for each in at], axis)
            continue
        shape = [-1 if each == axis else 1 for each in range(4)]
        share = np.array([float(each - floor(each)) for each in at]).reshape(shape)
        low, high = ([rounded(each) for each in at] for rounded in (floor, ceil))
        x = x.take(low, axis) * (1 - share) + x.take(high, axis) * share
    return x


@pytest.mark.parametrize("mode", ["nearest-neighbor", "linear"])
@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_the_formula(mode: str, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    shape = [data.draw(st.integers(1, 5)) for _ in range(4)]
    x = rng.standard_normal(shape).astype(np.float32)
    axes = tuple(data.draw(st.permutations(range(4)))[:2])
    sizes = tuple(data.draw(st.integers(1, 12)) for _ in range(2))
    want = _expected(x.astype(float), mode, sizes, axes)
    [got] = run("resample2d", {"input": x}, mode=mode, sizes=sizes, axes=axes, precise=True)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)
    [got] = run("resample2d", {"input": x}, mode=mode, sizes=sizes, axes=axes)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    scales = tuple(out / shape[axis] for axis, out in zip(axes, sizes, strict=True))
    if [floor(shape[axis] * scale) for axis, scale in zip(axes, scales, strict=True)] == [*sizes]:
        [scaled] = run("resample2d", {"input": x}, mode=mode, scales=scales, axes=axes)
        np.testing.assert_array_equal(scaled, got)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_linear_is_onnxruntime_s(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    x = rng.standard_normal([data.draw(st.integers(1, 5)) for _ in range(4)]).astype(np.float32)
    sizes = tuple(data.draw(st.integers(1, 9)) for _ in range(2))
    [got] = run("resample2d", {"input": x}, mode="linear", sizes=sizes)
    [want] = onnx_oracle.run(
        "Resize", [x, None, None, np.array([*x.shape[:2], *sizes], np.int64)], mode="linear"
    )
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_integers_are_rounded(dtype: str) -> None:
    x = np.array([[[[0, 1], [100, 127]]]], dtype)
    [near] = run("resample2d", {"input": x}, scales=(2.0, 2.0))
    np.testing.assert_array_equal(near, x.repeat(2, 2).repeat(2, 3))
    [got] = run("resample2d", {"input": x}, mode="linear", sizes=(3, 3))
    want = _expected(x.astype(float), "linear", (3, 3), (2, 3))
    np.testing.assert_array_equal(got, np.rint(want).astype(dtype))


def test_float16_is_computed_in_single_precision() -> None:
    x = np.random.default_rng(0).standard_normal((1, 2, 5, 7)).astype(np.float16)
    [got] = run("resample2d", {"input": x}, mode="linear", sizes=(11, 13))
    [want] = run("resample2d", {"input": x.astype(np.float32)}, mode="linear", sizes=(11, 13))
    np.testing.assert_array_equal(got, want.astype(np.float16))


def test_symbolic_sizes() -> None:
    b = GraphBuilder("symbols")
    batch, h = b.symbol("batch", 4), b.symbol("h", 20)
    x = b.input("x", F32, (batch, 3, 2 * h + 1, 8))
    assert b.resample2d(x, scales=(2.0, 0.5)).shape == (batch, 3, 4 * h + 2, 4)
    assert b.resample2d(x, sizes=(6 * h, 5)).shape == (batch, 3, 6 * h, 5)
    assert b.resample2d(x, scales=(1.5, 1.0)).shape == (batch, 3, 3 * h + 1, 8)
    with pytest.raises(ShapeError, match="known in advance"):
        b.resample2d(x, scales=(1.25, 1.0))


@pytest.mark.parametrize(
    ("error", "says", "shape", "options"),
    [
        (ShapeError, "input 'input': got float32[3, 4]; need rank 4", (3, 4), {}),
        (ShapeError, "scales: got [1.0]; need 2 numbers greater than 0", (1, 1, 3, 4),
         {"scales": (1.0,)}),
        (ShapeError, "scales: got [0.0, 1.0]", (1, 1, 3, 4), {"scales": (0.0, 1.0)}),
        (ShapeError, "scales: got [1.0, -1.0]", (1, 1, 3, 4), {"scales": (1.0, -1.0)}),
        (ShapeError, "sizes: got ['3']; need 2", (1, 1, 3, 4), {"sizes": (3,)}),
        (ShapeError, "sizes: got ['3', '0']", (1, 1, 3, 4), {"sizes": (3, 0)}),
        (ShapeError, "axes: got [1]; need 2 axes", (1, 1, 3, 4), {"axes": (1,)}),
        (ShapeError, "axes: got [2, 2]; need different axes", (1, 1, 3, 4), {"axes": (2, 2)}),
        (ShapeError, "axes: got [2, 4]", (1, 1, 3, 4), {"axes": (2, 4)}),
        (ShapeError, "size of axis 2: got 3 scaled to 0; need at least 1", (1, 1, 3, 4),
         {"scales": (0.3, 1.0)}),
        (GraphError, "attribute 'mode': got 'cubic'; need one of ['nearest-neighbor', 'linear']",
         (1, 1, 3, 4), {"mode": "cubic"}),
    ],
)  # fmt: skip
def test_what_is_refused(
    error: type[EdgewiseError], says: str, shape: tuple[int, ...], options: dict[str, Any]
) -> None:
    b = GraphBuilder("bad")
    with pytest.raises(error) as caught:
        b.resample2d(b.input("x", F32, shape), **options)
    assert says in str(caught.value)
    with pytest.raises(DTypeError, match="one of float16, float32, int8, uint8"):
        b.resample2d(b.input("i", DType.INT32, (1, 1, 3, 4)))
