"""The forms that a constant comes in, and a graph that moves."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
import pytest

from edgewise.errors import DTypeError, InputError, ShapeError
from edgewise.graph.text import parse_graph, print_graph
from edgewise.webnn import ML, MLContext, MLGraph, MLGraphBuilder, MLOperand

NUMBERS = np.array([[1, -2, 3]], np.int32)
RAW = NUMBERS.tobytes()


def value_of(context: MLContext, builder: MLGraphBuilder, operand: MLOperand) -> Any:
    graph = builder.build({"c": builder.identity(operand)})
    return context.compute(graph, {})["c"]


@pytest.mark.parametrize(
    "form",
    [
        lambda b: b.constant(NUMBERS),
        lambda b: b.constant(NUMBERS.T.copy().T),
        lambda b: b.constant([[1, -2, 3]]),
        lambda b: b.constant([1, -2, 3], [1, 3], "int32"),
        lambda b: b.constant(RAW, [1, 3], "int32"),
        lambda b: b.constant(array("i", [1, -2, 3]), [1, 3], "int32"),
        lambda b: b.constant({"dataType": "int32", "shape": [1, 3]}, NUMBERS),
        lambda b: b.constant(
            {"data_type": "int32", "shape": (1, 3)}, memoryview(NUMBERS.tobytes())
        ),
    ],
)
def test_forms(context: MLContext, form: Any) -> None:
    builder = context.create_graph_builder()
    operand = form(builder)
    assert (operand.data_type, operand.shape) == ("int32", [1, 3])
    made = value_of(context, builder, operand)
    assert made.dtype == np.int32
    np.testing.assert_array_equal(made, NUMBERS)


@pytest.mark.parametrize(("dtype", "numbers"), [("int4", [-8, 7, -1]), ("uint4", [15, 0, 9])])
def test_four_bits(context: MLContext, dtype: str, numbers: list[int]) -> None:
    stored = np.int8 if dtype == "int4" else np.uint8
    packed = bytes([numbers[0] & 15 | (numbers[1] & 15) << 4, numbers[2] & 15])
    for form in (np.array(numbers, stored), numbers, packed):
        builder = context.create_graph_builder()
        operand = builder.constant(form, [3], dtype)
        assert operand.data_type == dtype
        made = value_of(context, builder, operand)
        assert made.dtype == stored
        assert made.tolist() == numbers


def test_scalars_and_constant_tensors(context: MLContext) -> None:
    builder = context.create_graph_builder()
    scalar = builder.constant("float16", 1.5)
    assert (scalar.shape, scalar.data_type) == ([], "float16")
    tensor = context.create_constant_tensor({"data_type": "int32", "shape": [1, 3]}, NUMBERS)
    np.testing.assert_array_equal(value_of(context, builder, builder.constant(tensor)), NUMBERS)


@pytest.mark.parametrize(
    ("form", "error", "says"),
    [
        (lambda b: b.constant(np.zeros(2)), DTypeError, "float64"),
        (lambda b: b.constant(np.zeros(2, np.float32), [2], "int32"), DTypeError, "float32.*int32"),
        (lambda b: b.constant(np.zeros(2, np.float32), [3]), ShapeError, "8 bytes"),
        (lambda b: b.constant(bytes(8)), InputError, "shape and data_type"),
        (lambda b: b.constant(bytes(8), [3], "float32"), ShapeError, "8 bytes; need 12"),
        (lambda b: b.constant([[1], [1, 2]]), ShapeError, "rows"),
        (lambda b: b.constant([300], [1], "uint8"), DTypeError, "uint8"),
        (lambda b: b.constant([8], [1], "int4"), DTypeError, "-8 to 7"),
        (lambda b: b.constant("text", 1), DTypeError, "'text'"),
        (lambda b: b.constant(object()), InputError, "object"),
    ],
)
def test_refused(context: MLContext, form: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        form(context.create_graph_builder())


def handwritten(context: MLContext) -> MLGraph:
    """A small network with what graphs have: constants large and small, options, two outputs."""
    rng = np.random.default_rng(5)
    b = context.create_graph_builder()
    x = b.input("x", [1, 3, 8, 8], "float32")
    w = b.constant(rng.standard_normal((8, 3, 3, 3), np.float32))
    h = b.relu(b.conv2d(x, w, padding=[1, 1, 1, 1], strides=[2, 2], label="stem"))
    flat = b.reshape(h, [1, 128])
    dense = b.constant(rng.standard_normal((128, 10), np.float32))
    scores = b.gemm(flat, dense, {"c": b.constant("float32", 0.5), "alpha": 0.25})
    return b.build({"p": b.softmax(scores, 1), "best": b.arg_max(scores, 1)})


def test_a_handwritten_graph_moves(ml: ML, context: MLContext) -> None:
    graph = handwritten(context)
    text = graph.to_text()
    assert print_graph(parse_graph(text)) == text
    assert "stem" in text
    x = np.random.default_rng(6).standard_normal((1, 3, 8, 8), np.float32)
    want = context.compute(graph, {"x": x})
    other = ml.create_context(target="reference")
    again = other.compute(other.load_graph(text), {"x": x})
    for name in want:
        np.testing.assert_array_equal(again[name], want[name])


@pytest.mark.gpu
def test_a_handwritten_graph_on_a_gpu(ml: ML, context: MLContext) -> None:
    graph = handwritten(context)
    gpu = ml.create_context(target="webgpu")
    moved = gpu.load_graph(graph.to_text())
    x = np.random.default_rng(6).standard_normal((1, 3, 8, 8), np.float32)
    want, got = context.compute(graph, {"x": x}), gpu.compute(moved, {"x": x})
    np.testing.assert_allclose(got["p"], want["p"], rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(got["best"], want["best"])
    assert got["best"].dtype == np.int32
    report = moved.report
    assert (report.nbytes, report.peak_nbytes) == (report.plan.nbytes, report.plan.peak_nbytes)
