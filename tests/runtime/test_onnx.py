"""An ONNX session: ONNX's types in and out, a graph for each set of shapes, several files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgewise.errors import InputError, UnsupportedError
from edgewise.formats.onnx_read import parse
from edgewise.host.cpython import CPythonHost
from edgewise.runtime.onnx import KEPT, Files, OnnxSession

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def model(
    nodes: list[Any], inputs: dict[str, Any], outputs: Mapping[str, int], held: Any = ()
) -> Any:
    """A model; `inputs` by name: element type and shape."""
    given = [helper.make_tensor_value_info(name, *how) for name, how in inputs.items()]
    made = [helper.make_tensor_value_info(name, type, None) for name, type in outputs.items()]
    graph = helper.make_graph(nodes, "test", given, made, held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


class Opened:
    """A session and its host, where a test may wait."""

    def __init__(self, host: CPythonHost, proto: Any, beside: dict[str, bytes]) -> None:
        data = proto.SerializeToString()
        self.host = host
        opened = OnnxSession.open(host, parse(data), Files.joined({"": data, **beside}),
                                  target="reference")  # fmt: skip
        self.session = host.wait(opened, "")

    def run(self, **inputs: Any) -> dict[str, Any]:
        return self.host.wait(self.session.run(inputs), "")

    @property
    def n_loaded(self) -> int:
        return len(self.session._loaded)


@pytest.fixture
def open_model(tmp_path: Path) -> Iterator[Any]:
    host, opened = CPythonHost(tmp_path), []

    def open_one(proto: Any, **beside: bytes) -> Opened:
        opened.append(Opened(host, proto, {f"{name}.bin": data for name, data in beside.items()}))
        return opened[-1]

    yield open_one
    for each in opened:
        host.wait(each.session.close(), "")


def test_arrays_go_in_and_come_out_in_onnx_types(open_model: Any) -> None:
    nodes = [
        helper.make_node("Not", ["a"], ["b"]),
        helper.make_node("Neg", ["d"], ["e"]),
        helper.make_node("Abs", ["s"], ["t"]),
    ]
    inputs = {"a": (TensorProto.BOOL, [2]), "d": (TensorProto.DOUBLE, [2]),
              "s": (TensorProto.INT16, [2])}  # fmt: skip
    outputs = {"b": TensorProto.BOOL, "e": TensorProto.DOUBLE, "t": TensorProto.INT16}
    made = open_model(model(nodes, inputs, outputs)).run(
        a=np.array([True, False]), d=np.array([1.5, -2.0]), s=np.array([-3, 4], np.int16)
    )
    assert [array.dtype.name for array in made.values()] == ["bool", "float64", "int16"]
    assert [array.tolist() for array in made.values()] == [[False, True], [-1.5, 2.0], [3, 4]]


def test_other_shapes_get_another_graph_and_the_last_ones_are_kept(open_model: Any) -> None:
    node = helper.make_node("Add", ["x", "x"], ["y"])
    opened = open_model(model([node], {"x": (FLOAT, ["n"])}, {"y": FLOAT}))
    for count in [1, 2, 1, 2, 2]:
        x = np.arange(count, dtype=np.float32)
        np.testing.assert_array_equal(opened.run(x=x)["y"], x + x)
    assert opened.n_loaded == 2
    for count in range(1, 2 * KEPT):
        opened.run(x=np.zeros(count, np.float32))
    assert opened.n_loaded == KEPT


def test_values_that_give_a_shape_get_a_graph_of_their_own(open_model: Any) -> None:
    node = helper.make_node("Reshape", ["x", "s"], ["y"])
    inputs = {"x": (FLOAT, [6]), "s": (INT64, [2])}
    opened = open_model(model([node], inputs, {"y": FLOAT}))
    x = np.arange(6, dtype=np.float32)
    for shape in ([2, 3], [3, 2], [2, 3]):
        made = opened.run(x=x, s=np.array(shape))["y"]
        np.testing.assert_array_equal(made, x.reshape(shape))
    assert opened.n_loaded == 2


def test_stored_values_that_give_a_shape_are_read(open_model: Any) -> None:
    """A shape that lies in a file beside the model, larger than what is inline."""
    weight = np.arange(2048, dtype=np.float32)
    tensors = [external("w", FLOAT, [2048], 16, weight.nbytes)]
    nodes = [
        helper.make_node("NonZero", ["w"], ["places"]),
        helper.make_node("Shape", ["places"], ["s"]),
        helper.make_node("ConstantOfShape", ["s"], ["zeros"]),
        helper.make_node("Add", ["zeros", "x"], ["y"]),
    ]
    opened = open_model(model(nodes, {"x": (FLOAT, [1])}, {"y": FLOAT}, tensors),
                        data=bytes(16) + weight.tobytes())  # fmt: skip
    assert opened.run(x=np.ones(1, np.float32))["y"].shape == (1, 2047)


def external(name: str, type: int, dims: list[int], offset: int, nbytes: int) -> Any:
    """A tensor that lies in data.bin."""
    tensor = TensorProto(name=name, data_type=type, dims=dims,
                         data_location=TensorProto.EXTERNAL)  # fmt: skip
    for key, text in (("location", "data.bin"), ("offset", str(offset)), ("length", str(nbytes))):
        tensor.external_data.add(key=key, value=text)
    return tensor


def test_weights_beside_the_model(open_model: Any) -> None:
    weight = np.arange(4096, dtype=np.float32).reshape(64, 64)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    tensors = [external("w", FLOAT, [64, 64], 32, weight.nbytes)]
    opened = open_model(model([node], {"x": (FLOAT, [1, 64])}, {"y": FLOAT}, tensors),
                        data=bytes(32) + weight.tobytes())  # fmt: skip
    x = np.ones((1, 64), np.float32)
    np.testing.assert_allclose(opened.run(x=x)["y"], x @ weight, rtol=1e-6)


def test_wrong_arrays_are_refused(open_model: Any) -> None:
    node = helper.make_node("Neg", ["x"], ["y"])
    opened = open_model(model([node], {"x": (FLOAT, [2])}, {"y": FLOAT}))
    with pytest.raises(InputError, match="float64"):
        opened.run(x=np.zeros(2))
    with pytest.raises(InputError, match="inputs of 'test'"):
        opened.run(z=np.zeros(2, np.float32))


def test_unsupported_operators_are_said_when_a_model_is_opened(open_model: Any) -> None:
    node = helper.make_node("RandomNormalLike", ["x"], ["y"])
    with pytest.raises(UnsupportedError, match="RandomNormalLike"):
        open_model(model([node], {"x": (FLOAT, [2])}, {"y": FLOAT}))
