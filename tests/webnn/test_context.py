"""Contexts, builders and tensors: what they refuse, and the order of queued work."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from edgewise.dtypes import DType
from edgewise.errors import (
    DTypeError,
    EdgewiseError,
    GraphError,
    HostError,
    InputError,
    NoDeviceError,
    ShapeError,
)
from edgewise.webnn import ML, MLContext, MLGraph, MLTensor
from edgewise.webnn.operand import MLOperandDescriptor


def doubled(context: MLContext, dtype: str = "float32") -> MLGraph:
    builder = context.create_graph_builder()
    x = builder.input("x", [2], dtype)
    return builder.build({"y": builder.add(x, x)})


def tensors(context: MLContext) -> tuple[MLTensor, MLTensor]:
    return context.create_tensor([2], "float32"), context.create_tensor([2], "float32")


ONE_TWO = np.array([1, 2], np.float32)


def test_targets_and_hints(ml: ML) -> None:
    assert ml.create_context(target="reference").target == "reference"
    cpu = ml.create_context(device_type="cpu", power_preference="low-power")
    assert (cpu.target, cpu.accelerated, cpu.power_preference) == ("reference", False, "low-power")
    assert ml.create_context(accelerated=False).target == "reference"
    with pytest.raises(NoDeviceError, match="CPython"):
        ml.create_context(target="webnn")
    with pytest.raises(InputError, match=r"'tpu'.*one of"):
        ml.create_context(device_type="tpu")


@pytest.mark.parametrize("target", ["reference", pytest.param("webgpu", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int32", "uint32", "int64", "uint64",
                                   "int8", "uint8"])  # fmt: skip
def test_results_have_the_operands_own_type(ml: ML, target: str, dtype: str) -> None:
    context = ml.create_context(target=target)
    builder = context.create_graph_builder()
    x = builder.input("x", [3], dtype)
    graph = builder.build({"y": builder.identity(x)})
    given = np.array([0, 7, 100], dtype)
    y = context.compute(graph, {"x": given})["y"]
    assert y.dtype == given.dtype
    np.testing.assert_array_equal(y, given)
    context.destroy()


def test_a_context_on_wasm(ml: ML) -> None:
    context = ml.create_context(target="wasm")
    assert (context.target, context.accelerated) == ("wasm", False)
    builder = context.create_graph_builder()
    graph = builder.build({"y": builder.transpose(builder.input("x", [2, 3], "int8"))})
    x = np.array([[1, -2, 3], [4, 5, -128]], np.int8)
    np.testing.assert_array_equal(context.compute(graph, {"x": x})["y"], x.T)
    context.destroy()


def test_symbolic_sizes(context: MLContext) -> None:
    builder = context.create_graph_builder()
    operand = builder.input("x", [builder.symbol("batch", 4), 2], "float32")
    graph = builder.build({"y": builder.neg(operand)})
    for batch in (4, 1):
        assert context.compute(graph, {"x": np.ones((batch, 2), np.float32)})["y"].shape == (
            batch,
            2,
        )


def test_outputs_given_ahead(context: MLContext) -> None:
    into = np.zeros(2, np.float32)
    context.compute(doubled(context), {"x": ONE_TWO}, {"y": into})
    assert into.tolist() == [2, 4]


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda b, x: b.matmul(x, x), ShapeError, "matmul"),
        (lambda b, x: b.logical_not(x), DTypeError, "logicalNot input"),
        (lambda b, x: b.softmax(x, axis=2), EdgewiseError, "softmax"),
        (lambda b, x: b.conv2d(x), GraphError, "conv2d"),
        (lambda b, x: b.relu(x, alpha=1.0), GraphError, "relu arguments"),
        (lambda b, x: b.cast(x, "float64"), DTypeError, "cast.*'float64'"),
        (lambda b, x: b.gemm(x, x, label="layer 3"), ShapeError, "layer 3"),
        (lambda b, x: b.input("x", [1]), GraphError, "'x'"),
        (lambda b, x: b.input("z", [-1]), ShapeError, "input 'z'"),
        (lambda b, x: b.input("z", [2, 0]), ShapeError, r"input 'z'.*\[2, 0\].*no empty tensors"),
        (lambda b, x: b.input("z", [2**31]), ShapeError, "input 'z'.*2147483647"),
        (lambda b, x: b.input("z", [2**16, 2**16]), ShapeError, "input 'z'.*as many elements"),
        (lambda b, x: b.input("z", [b.symbol("n", 4), 0]), ShapeError, r"input 'z'.*\[n, 0\]"),
        (lambda b, x: b.input("z", MLOperandDescriptor(DType.INT8, (0,))), ShapeError, "'z'"),
        (lambda b, x: b.constant(np.zeros((0, 2), np.float32)), ShapeError, "constant.*no empty"),
        (lambda b, x: b.slice(x, [1], [0]), ShapeError, r"slice output.*\[0\].*no empty"),
        (lambda b, x: b.split(x, [2, 0]), ShapeError, r"split output.*\[0\].*no empty"),
        (lambda b, x: b.input("z", [1], "string"), DTypeError, "input 'z'"),
        (lambda b, x: b.input("z", {"shape": [1]}), InputError, "data_type"),
        (lambda b, x: b.build({}), GraphError, "at least one"),
        (lambda b, x: b.build({"y": x}), GraphError, "output 'y'"),
        (lambda b, x: b.build({"y": b.constant([1.0])}), GraphError, "output 'y'"),
        (lambda b, x: b.build({"y": 3}), GraphError, "output 'y'"),
    ],
)
def test_a_builder_refuses(
    context: MLContext, call: Any, error: type[Exception], says: str
) -> None:
    builder = context.create_graph_builder()
    x = builder.input("x", [2], "float32")
    with pytest.raises(error, match=says):
        call(builder, x)


def test_operands_and_builders_are_used_once(ml: ML, context: MLContext) -> None:
    builder, other = context.create_graph_builder(), context.create_graph_builder()
    x = builder.input("x", [2], "float32")
    with pytest.raises(GraphError, match="another builder"):
        other.relu(x)
    builder.build({"y": builder.relu(x)})
    with pytest.raises(GraphError, match="built already"):
        builder.relu(x)


def test_compute_refuses(ml: ML, context: MLContext) -> None:
    graph = doubled(context)
    with pytest.raises(InputError, match="no x"):
        context.compute(graph, {})
    with pytest.raises(InputError, match="unknown z"):
        context.compute(graph, {"x": ONE_TWO, "z": ONE_TWO})
    with pytest.raises(ShapeError, match=r"'x'.*shape \[3\]"):
        context.compute(graph, {"x": np.zeros(3, np.float32)})
    with pytest.raises(DTypeError, match=r"'x'.*float64"):
        context.compute(graph, {"x": np.zeros(2)})
    with pytest.raises(InputError, match="another context"):
        ml.create_context(target="reference").compute(graph, {"x": ONE_TWO})
    graph.destroy()
    with pytest.raises(InputError, match="destroyed graph"):
        context.compute(graph, {"x": ONE_TWO})
    context.destroy()
    with pytest.raises(HostError, match="destroyed"):
        context.create_graph_builder()


def test_tensors_refuse(ml: ML, context: MLContext) -> None:
    graph = doubled(context)
    x, y = tensors(context)
    foreign = ml.create_context(target="reference").create_tensor([2], "float32")
    for inputs, outputs, says in [
        ({"x": x}, {}, "no y"),
        ({"x": x}, {"y": x}, "one that is an input too"),
        ({"x": foreign}, {"y": y}, "input 'x': got a tensor of another context"),
        ({"x": context.create_tensor([2], "int32")}, {"y": y}, "input 'x': got a tensor of int32"),
        ({"x": x}, {"y": context.create_tensor([3], "float32")}, "output 'y'"),
    ]:
        with pytest.raises((InputError, ShapeError), match=says):
            context.dispatch(graph, inputs, outputs)
    with pytest.raises(ShapeError, match=r"create_tensor.*no empty tensors"):
        context.create_tensor([2, 0], "float32")
    with pytest.raises(ShapeError, match=r"create_constant_tensor.*no empty tensors"):
        context.create_constant_tensor({"data_type": "int8", "shape": [0]}, b"")
    with pytest.raises(ShapeError, match="write_tensor"):
        context.write_tensor(x, np.zeros(3, np.float32))
    with pytest.raises(InputError, match="made writable"):
        context.write_tensor(context.create_tensor([2], "float32", writable=False), ONE_TWO)
    with pytest.raises(InputError, match="made readable"):
        context.read_tensor(context.create_tensor([2], "float32", readable=False))
    x.destroy()
    with pytest.raises(InputError, match="destroyed tensor"):
        context.dispatch(graph, {"x": x}, {"y": y})


def test_the_queue_keeps_its_order(ml: ML) -> None:
    """Inside an event loop plain calls are queued; what is written later is seen later."""

    async def go() -> list[list[float]]:
        context = await ml.create_context_async(target="reference")
        builder = context.create_graph_builder()
        x = builder.input("x", [2], "float32")
        graph = await builder.build_async({"y": builder.add(x, x)})
        (x_, y), (_, z) = tensors(context), tensors(context)
        context.write_tensor(x_, ONE_TWO)
        context.dispatch(graph, {"x": x_}, {"y": y})
        context.write_tensor(x_, 10 * ONE_TWO)
        context.dispatch(graph, {"x": y}, {"y": z})
        seen = [await context.read_tensor_async(t) for t in (x_, y, z)]
        with pytest.raises(HostError, match=r"await read_tensor_async\(...\)"):
            context.read_tensor(z)
        return [each.tolist() for each in seen]

    assert asyncio.run(go()) == [[10, 20], [2, 4], [4, 8]]


def test_what_fails_in_the_queue_is_raised_once(ml: ML) -> None:
    async def go() -> None:
        context = await ml.create_context_async(target="reference")
        builder = context.create_graph_builder()
        x = builder.input("x", [2], "float32")
        graph = await builder.build_async({"y": builder.add(x, x)})
        x_, y = tensors(context)
        context.dispatch(graph, {"x": x_}, {"y": y})
        x_.destroy()
        with pytest.raises(InputError, match="input 'x': got a destroyed tensor"):
            await context.read_tensor_async(y)
        assert (await context.read_tensor_async(y)).tolist() == [0, 0]

    asyncio.run(go())
