"""ONNX's backend interface, as anyone's tests use it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.backend.base import Backend, BackendRep

from edgewise import onnx_backend
from edgewise.errors import InputError, UnsupportedError

X = np.array([[1.0, -2.0]], np.float32)


def model(operator: str) -> onnx.ModelProto:
    """A model of one operator."""
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    node = helper.make_node(operator, ["x"], ["y"])
    graph = helper.make_graph([node], "test", [value], [result])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def test_it_is_a_backend() -> None:
    assert issubclass(onnx_backend.EdgewiseBackend, Backend)
    prepared = onnx_backend.prepare(model("Relu"))
    assert isinstance(prepared, BackendRep)


@pytest.mark.parametrize("inputs", [[X], {"x": X}, X])
def test_inputs_in_order_or_by_name(inputs: object) -> None:
    made = onnx_backend.run_model(model("Relu"), inputs, "REFERENCE")
    np.testing.assert_array_equal(made.y, [[1, 0]])  # type: ignore[attr-defined]
    np.testing.assert_array_equal(made[0], [[1, 0]])


def test_a_prepared_model_takes_other_shapes() -> None:
    prepared = onnx_backend.prepare(model("Relu"), "CPU")
    for rows in (1, 3):
        assert prepared.run([np.ones((rows, 2), np.float32)])[0].shape == (rows, 2)


def test_a_node() -> None:
    node = helper.make_node("Add", ["a", "b"], ["c"])
    made = onnx_backend.run_node(node, [X, X])
    np.testing.assert_array_equal(made[0], X + X)


def test_devices() -> None:
    assert onnx_backend.supports_device("CPU")
    assert onnx_backend.supports_device("reference:0")
    assert not onnx_backend.supports_device("TPU")
    with pytest.raises(InputError, match="TPU"):
        onnx_backend.prepare(model("Relu"), "TPU")


@pytest.mark.gpu
def test_webgpu() -> None:
    assert onnx_backend.supports_device("WEBGPU")
    made = onnx_backend.run_model(model("Relu"), [X], "WEBGPU")
    np.testing.assert_array_equal(made[0], [[1, 0]])


def test_wasm() -> None:
    assert onnx_backend.supports_device("WASM")
    made = onnx_backend.run_model(model("Transpose"), [X], "WASM")
    np.testing.assert_array_equal(made[0], X.T)


def test_what_cannot_be_done_is_said_when_prepared() -> None:
    with pytest.raises(UnsupportedError, match="RandomNormalLike"):
        onnx_backend.prepare(model("RandomNormalLike"))
    with pytest.raises(InputError, match="inputs"):
        onnx_backend.run_model(model("Relu"), [X, X])
