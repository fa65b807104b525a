"""Normalisations against onnxruntime, a formula and their own emulations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.dtypes import DType
from edgewise.errors import DTypeError, EdgewiseError, GraphError, ShapeError
from edgewise.graph.builder import GraphBuilder
from tests.ops import onnx_oracle
from tests.ops.decomposition import Array, check, run

F32 = DType.FLOAT32
TYPES = pytest.mark.parametrize("dtype", ["float32", "float16"])
EPSILONS = st.sampled_from([2**-17, 2**-10, 0.5])  # the same numbers in every type


def _arrays(
    data: st.DataObject, dtype: str, rank: int | None = None, least: int = 0
) -> tuple[np.random.Generator, dict[str, Array]]:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    rank = data.draw(st.integers(1, 5)) if rank is None else rank
    shape = [data.draw(st.integers(least, 4)) for _ in range(rank)]
    return rng, {"input": rng.standard_normal(shape).astype(dtype)}


def _options(
    data: st.DataObject, rng: np.random.Generator, arrays: dict[str, Array], shape: Any
) -> None:
    for name in ("scale", "bias"):
        if data.draw(st.booleans()):
            arrays[name] = rng.standard_normal(shape).astype(arrays["input"].dtype)


@TYPES
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_batch_normalization(dtype: str, data: st.DataObject) -> None:
    rng, arrays = _arrays(data, dtype)
    x = arrays["input"]
    axis = data.draw(st.integers(0, x.ndim - 1))
    width = x.shape[axis]
    arrays["mean"] = rng.standard_normal(width).astype(dtype)
    arrays["variance"] = (rng.random(width) + 0.1).astype(dtype)
    _options(data, rng, arrays, width)
    epsilon = data.draw(EPSILONS)
    check("batchNormalization", arrays, axis=axis, epsilon=epsilon)
    if dtype == "float32" and x.size:
        first = np.moveaxis(x, axis, 0)[None]
        scale = arrays.get("scale", np.ones(width, np.float32))
        bias = arrays.get("bias", np.zeros(width, np.float32))
        [want] = onnx_oracle.run(
            "BatchNormalization", [first, scale, bias, arrays["mean"], arrays["variance"]],
            epsilon=epsilon,
        )  # fmt: skip
        [got] = run("batchNormalization", arrays, axis=axis, epsilon=epsilon)
        np.testing.assert_allclose(np.moveaxis(got, axis, 0)[None], want, rtol=1e-5, atol=1e-5)


@TYPES
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_instance_normalization(dtype: str, data: st.DataObject) -> None:
    rng, arrays = _arrays(data, dtype, 4)
    x = arrays["input"]
    layout = data.draw(st.sampled_from(["nchw", "nhwc"]))
    width = x.shape[layout.index("c")]
    _options(data, rng, arrays, width)
    epsilon = data.draw(EPSILONS)
    check("instanceNormalization", arrays, layout=layout, epsilon=epsilon)
    if dtype == "float32" and x.size:
        scale = arrays.get("scale", np.ones(width, np.float32))
        bias = arrays.get("bias", np.zeros(width, np.float32))
        first = np.moveaxis(x, layout.index("c"), 1)
        [want] = onnx_oracle.run("InstanceNormalization", [first, scale, bias], epsilon=epsilon)
        [got] = run("instanceNormalization", arrays, layout=layout, epsilon=epsilon)
        got = np.moveaxis(got, layout.index("c"), 1)
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@TYPES
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_layer_normalization(dtype: str, data: st.DataObject) -> None:
    rank = data.draw(st.integers(0, 5))
    rng, arrays = _arrays(data, dtype, rank)
    x = arrays["input"]
    axes = tuple(data.draw(st.permutations(range(rank)))[: data.draw(st.integers(0, rank))])
    attrs: dict[str, Any] = {"epsilon": data.draw(EPSILONS)}
    if data.draw(st.booleans()):
        attrs["axes"] = axes
    else:
        axes = tuple(range(1, rank))
    _options(data, rng, arrays, [x.shape[axis] for axis in axes])
    check("layerNormalization", arrays, **attrs)
    wide = x.astype(float)
    if x.size:
        wide = wide - wide.mean(axes, keepdims=True)
        wide = wide / np.sqrt((wide**2).mean(axes, keepdims=True) + attrs["epsilon"])
    rest = [axis for axis in range(rank) if axis not in axes]
    last = wide.transpose([*rest, *axes])  # so that scale and bias broadcast as they are
    last = last * arrays.get("scale", 1) + arrays.get("bias", 0)
    [got] = run("layerNormalization", arrays, precise=True, **attrs)
    np.testing.assert_allclose(got, last.transpose(np.argsort([*rest, *axes])), rtol=1e-9,
                               atol=1e-9)  # fmt: skip


def test_layer_normalization_is_onnxruntime_s() -> None:
    rng = np.random.default_rng(0)
    x, scale, bias = (rng.standard_normal(shape).astype(np.float32)
                      for shape in ((3, 4, 5), (5,), (5,)))  # fmt: skip
    [want] = onnx_oracle.run("LayerNormalization", [x, scale, bias], axis=2, epsilon=1e-3)
    [got] = run("layerNormalization", {"input": x, "scale": scale, "bias": bias}, axes=(2,),
                epsilon=1e-3)  # fmt: skip
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_nothing_to_normalise() -> None:
    """No axes: every element is its own mean, and what is left is the bias."""
    for shape in ((), (3,), (2, 3)):
        x = np.ones(shape, np.float32)
        bias = np.full((), 7, np.float32)
        [got] = run("layerNormalization", {"input": x, "bias": bias}, axes=())
        np.testing.assert_array_equal(got, np.full(shape, 7, np.float32))


def test_symbolic_dimensions_pass() -> None:
    b = GraphBuilder("symbols")
    batch, seq = b.symbol("batch", 4), b.symbol("seq", 9)
    x = b.input("x", F32, (batch, seq, 6))
    six = b.input("six", F32, (6,))
    assert b.layer_normalization(x, scale=six, axes=[2]).shape == x.shape
    assert b.batch_normalization(x, six, six, axis=2).shape == x.shape
    whole = b.input("whole", F32, (seq, 6))
    assert b.layer_normalization(x, bias=whole).shape == x.shape


@pytest.mark.parametrize(
    ("error", "says", "op", "shapes", "options"),
    [
        (ShapeError, "axis: got 4; need an axis of float32[2, 3, 4, 5]", "batch_normalization",
         {"mean": (3,), "variance": (3,)}, {"axis": 4}),
        (ShapeError, "axis: got -1", "batch_normalization", {"mean": (3,), "variance": (3,)},
         {"axis": -1}),
        (ShapeError, "input 'mean': got float32[4]; need shape [3]", "batch_normalization",
         {"mean": (4,), "variance": (3,)}, {}),
        (ShapeError, "input 'variance': got float32[1, 3]; need shape [3]", "batch_normalization",
         {"mean": (3,), "variance": (1, 3)}, {}),
        (ShapeError, "input 'scale': got float32[3]; need shape [5]", "batch_normalization",
         {"mean": (5,), "variance": (5,), "scale": (3,)}, {"axis": 3}),
        (ShapeError, "input 'bias': got float32[]; need shape [3]", "batch_normalization",
         {"mean": (3,), "variance": (3,), "bias": ()}, {}),
        (ShapeError, "input 'scale': got float32[3]; need shape [5]", "instance_normalization",
         {"scale": (3,)}, {"layout": "nhwc"}),
        (ShapeError, "input 'bias': got float32[5]; need shape [3]", "instance_normalization",
         {"bias": (5,)}, {}),
        (GraphError, "attribute 'layout': got 'nc'", "instance_normalization", {},
         {"layout": "nc"}),
        (ShapeError, "axes: got [1, 1]; need different axes", "layer_normalization", {},
         {"axes": (1, 1)}),
        (ShapeError, "axes: got [4]", "layer_normalization", {}, {"axes": (4,)}),
        (ShapeError, "input 'scale': got float32[3]; need shape [3, 4, 5]", "layer_normalization",
         {"scale": (3,)}, {}),
        (ShapeError, "input 'bias': got float32[3, 5]; need shape [5, 3]", "layer_normalization",
         {"bias": (3, 5)}, {"axes": (3, 1)}),
    ],
)  # fmt: skip
def test_what_is_refused(
    error: type[EdgewiseError], says: str, op: str, shapes: dict[str, tuple[int, ...]],
    options: dict[str, Any],
) -> None:  # fmt: skip
    b = GraphBuilder("bad")
    x = b.input("x", F32, (2, 3, 4, 5))
    values = {name: b.input(name, F32, shape) for name, shape in shapes.items()}
    with pytest.raises(error) as caught:
        getattr(b, op)(x, **values, **options)
    assert says in str(caught.value)


def test_ranks_and_types_that_are_refused() -> None:
    b = GraphBuilder("bad")
    with pytest.raises(ShapeError, match="need rank 4"):
        b.instance_normalization(b.input("x", F32, (2, 3, 4)))
    whole = b.input("i", DType.INT32, (2, 3, 4, 5))
    for op in (b.instance_normalization, b.layer_normalization):
        with pytest.raises(DTypeError, match="one of float16, float32"):
            op(whole)
    image, half = b.input("image", F32, (2, 3, 4, 5)), b.input("half", DType.FLOAT16, (3,))
    with pytest.raises(DTypeError, match="float32 as input"):
        b.batch_normalization(image, half, half)
    with pytest.raises(DTypeError, match="float32 as input"):
        b.instance_normalization(image, bias=half)
