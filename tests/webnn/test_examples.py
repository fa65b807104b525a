"""The examples of pywebnn's documentation (docs/getting-started.md, examples.md, api-reference.md),
with `edgewise.webnn` for `webnn`; what its prose says of the results is asserted."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from edgewise import webnn

TARGETS = ["reference", pytest.param("webgpu", marks=pytest.mark.gpu)]


def rows(first: float, step: float) -> Any:
    return first + step * np.arange(6, dtype=np.float32).reshape(2, 3)


def test_quick_start() -> None:
    ml = webnn.ML()
    context = ml.create_context(device_type="cpu")
    builder = context.create_graph_builder()
    x = builder.input("x", [2, 3], "float32")
    y = builder.input("y", [2, 3], "float32")
    out = builder.relu(builder.add(x, y))
    graph = builder.build({"output": out})
    result = context.compute(graph, {"x": rows(1, 1) - 4, "y": rows(0.125, 0.125)})
    assert result["output"].dtype == np.float32
    np.testing.assert_array_equal(
        result["output"], np.maximum(rows(1, 1) - 4 + rows(0.125, 0.125), 0)
    )


@pytest.mark.parametrize("target", TARGETS)
def test_simple_addition(target: str) -> None:
    context = webnn.ML().create_context(target=target)
    builder = context.create_graph_builder()
    z = builder.add(builder.input("x", [2, 3], "float32"), builder.input("y", [2, 3], "float32"))
    graph = builder.build({"z": z})
    results = context.compute(graph, {"x": rows(1, 1), "y": rows(10, 10)})
    np.testing.assert_array_equal(results["z"], [[11, 22, 33], [44, 55, 66]])


@pytest.mark.parametrize("target", TARGETS)
def test_relu(target: str) -> None:
    context = webnn.ML().create_context(target=target)
    builder = context.create_graph_builder()
    graph = builder.build({"y": builder.relu(builder.input("x", [10], "float32"))})
    x = np.array([-5, -3, -1, 0, 1, 3, 5, 7, 9, 11], np.float32)
    np.testing.assert_array_equal(context.compute(graph, {"x": x})["y"], np.maximum(x, 0))


@pytest.mark.parametrize("target", TARGETS)
def test_multi_layer_network(target: str) -> None:
    rng = np.random.default_rng(3)
    context = webnn.ML().create_context(target=target)
    builder = context.create_graph_builder()
    h = builder.input("input", [1, 4], "float32")
    want = np.array([[1.0, 0.5, -0.5, 2.0]], np.float32)
    given = want
    for n, m in ((4, 8), (8, 4), (4, 2)):
        w = rng.standard_normal((n, m)).astype("float32")
        h = builder.add(builder.matmul(h, builder.constant(w)),
                        builder.constant(np.full(m, 0.5, dtype="float32")))  # fmt: skip
        want = want @ w + 0.5
        if m != 2:
            h = builder.relu(h)
            want = np.maximum(want, 0)
    graph = builder.build({"logits": h})
    assert graph.operation_count == 8
    assert graph.operand_count == 1 + 6 + 8
    np.testing.assert_allclose(context.compute(graph, {"input": given})["logits"], want, rtol=1e-5)


def test_multiple_outputs() -> None:
    context = webnn.ML().create_context(device_type="cpu")
    builder = context.create_graph_builder()
    x = builder.input("x", [1, 10], "float32")
    graph = builder.build(
        {"relu": builder.relu(x), "sigmoid": builder.sigmoid(x), "tanh": builder.tanh(x)}
    )
    assert graph.get_output_names() == ["relu", "sigmoid", "tanh"]
    assert graph.get_input_names() == ["x"]


def test_different_data_types() -> None:
    context = webnn.ML().create_context(device_type="cpu")
    builder = context.create_graph_builder()
    half = builder.relu(builder.input("half", [2, 2], "float16"))
    single = builder.relu(builder.input("single", [2, 2], "float32"))
    graph = builder.build({"half": half, "single": single})
    made = context.compute(
        graph, {"half": np.ones((2, 2), np.float16), "single": np.ones((2, 2), np.float32)}
    )
    assert (made["half"].dtype, made["single"].dtype) == (np.float16, np.float32)


def test_reshaping() -> None:
    context = webnn.ML().create_context(device_type="cpu")
    builder = context.create_graph_builder()
    image = builder.input("image", [1, 28, 28, 1], "float32")
    flattened = builder.reshape(image, [1, 784])
    assert flattened.shape == [1, 784]
    assert builder.reshape(flattened, [1, 28, 28, 1]).shape == [1, 28, 28, 1]


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"strides": [2, 2], "pads": [1, 1, 1, 1]}, [1, 64, 16, 16]),
        ({"dilations": [2, 2], "pads": [2, 2, 2, 2]}, [1, 64, 32, 32]),
    ],
)
def test_convolution(options: dict[str, Any], shape: list[int]) -> None:
    builder = webnn.ML().create_context(device_type="cpu").create_graph_builder()
    x = builder.input("input", [1, 3, 32, 32], "float32")
    w = builder.constant(np.zeros((64, 3, 3, 3), np.float32))
    assert builder.conv2d(x, w, **options).shape == shape


def test_pools_squeezes_and_other_words() -> None:
    context = webnn.ML().create_context(device_type="cpu")
    builder = context.create_graph_builder()
    x = builder.input("x", [1, 2, 4, 4], "float32")
    pooled = builder.max_pool2d(x, window_dimensions=[2, 2], strides=[2, 2], pads=[0, 0, 0, 0])
    assert pooled.shape == [1, 2, 2, 2]
    mean = builder.squeeze(builder.global_average_pool(x), axes=[2, 3])
    assert mean.shape == [1, 2]
    assert builder.squeeze(builder.global_max_pool(x)).shape == [2]
    assert builder.unsqueeze(mean, [0, -1]).shape == [1, 1, 2, 1]
    assert builder.cast(x, data_type="int32").data_type == "int32"
    assert builder.pad(x, [0, 0, 1, 1, 0, 0, 2, 2]).shape == [1, 2, 7, 7]
    assert builder.clamp(x, min_value=0.0, max_value=1.0).shape == x.shape
    graph = builder.build({"mean": mean})
    given = np.arange(32, dtype=np.float32).reshape(1, 2, 4, 4)
    np.testing.assert_array_equal(context.compute(graph, {"x": given})["mean"], [[7.5, 23.5]])


@pytest.mark.parametrize("target", TARGETS)
def test_tensors_and_dispatch(target: str) -> None:
    context = webnn.ML().create_context(target=target)
    builder = context.create_graph_builder()
    graph = builder.build({"output": builder.relu(builder.input("x", [2, 3], "float32"))})
    x, output = context.create_tensor([2, 3], "float32"), context.create_tensor([2, 3], "float32")
    context.write_tensor(x, rows(-3, 1))
    context.dispatch(graph, {"x": x}, {"output": output})
    np.testing.assert_array_equal(context.read_tensor(output), np.maximum(rows(-3, 1), 0))
    assert (output.shape, output.data_type, output.size) == ([2, 3], "float32", 6)


def test_key_value_loop() -> None:
    """examples/kv_cache_device_tensors.py: two tensors change places."""
    context = webnn.ML().create_context(device_type="cpu")
    builder = context.create_graph_builder()
    shape = [1, 4, 16, 8]
    step = builder.constant(np.full(shape, 0.25, np.float32))
    graph = builder.build({"present": builder.add(builder.input("past", shape, "float32"), step)})
    past, present = context.create_tensor(shape, "float32"), context.create_tensor(shape, "float32")
    for _ in range(5):
        context.dispatch(graph, {"past": past}, {"present": present})
        past, present = present, past
    np.testing.assert_array_equal(context.read_tensor(past), np.full(shape, 1.25, np.float32))


def test_the_async_context() -> None:
    async def go() -> Any:
        context = await webnn.ML().create_context_async(device_type="cpu")
        builder = context.create_graph_builder()
        graph = await builder.build_async({"y": builder.neg(builder.input("x", [2], "float32"))})
        waiting = webnn.AsyncMLContext(context)
        x, y = waiting.create_tensor([2], "float32"), waiting.create_tensor([2], "float32")
        await waiting.write_tensor_async(x, np.array([1, 2], np.float32))
        await waiting.dispatch(graph, {"x": x}, {"y": y})
        return await waiting.read_tensor_async(y)

    assert asyncio.run(go()).tolist() == [-1, -2]
