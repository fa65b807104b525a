"""What is known when a graph is built vanishes from it; what is needed to know more is named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from onnx import AttributeProto, TensorProto, helper

from edgewise.errors import FormatError, UnsupportedError
from edgewise.formats.onnx_read import parse
from edgewise.importers.onnx import Imported, NeedsValues, import_onnx

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def build(
    nodes: list[Any],
    shapes: dict[str, tuple[int, ...]],
    *,
    types: Mapping[str, int] | None = None,
    values: dict[str, Any] | None = None,
    constants: dict[str, Any] | None = None,
    functions: list[Any] | None = None,
    opset: int = 21,
) -> Imported:
    """The graph of a model of `nodes` for inputs of `shapes`."""
    given = [helper.make_tensor_value_info(name, (types or {}).get(name, FLOAT), shape)
             for name, shape in shapes.items()]  # fmt: skip
    held = [helper.make_tensor(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape,
                               array.tobytes(), raw=True)
            for name, array in (constants or {}).items()]  # fmt: skip
    made = [helper.make_tensor_value_info("y", FLOAT, None)]
    graph = helper.make_graph(nodes, "test", given, made, held)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("mine", 1)]
    model = helper.make_model(graph, opset_imports=opsets, functions=functions or [], ir_version=10)
    return import_onnx(parse(model.SerializeToString()), shapes, values)


def ops(found: Imported) -> list[str]:
    """The operators of a graph, in order."""
    return [node.op for node in found.graph.nodes]


def test_shape_arithmetic_vanishes() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "first"], ["batch"], axis=0),
        helper.make_node("Concat", ["batch", "rest"], ["wanted"], axis=0),
        helper.make_node("Reshape", ["x", "wanted"], ["y"]),
    ]
    constants = {"first": np.array([0]), "rest": np.array([-1])}
    found = build(nodes, {"x": (2, 3, 4)}, constants=constants)
    assert ops(found) == ["reshape"]
    assert not found.graph.constants
    assert found.outputs[0].shape == (2, 12)


def test_an_input_that_gives_a_shape_is_asked_for() -> None:
    nodes = [
        helper.make_node("Add", ["s", "t"], ["wanted"]),
        helper.make_node("Reshape", ["x", "wanted"], ["y"]),
    ]
    shapes = {"x": (2, 6), "s": (2,), "t": (2,)}
    types = {"s": INT64, "t": INT64}
    with pytest.raises(NeedsValues) as missing:
        build(nodes, shapes, types=types)
    assert missing.value.names == {"s", "t"}
    values = {"s": np.array([1, 2]), "t": np.array([2, 2])}
    found = build(nodes, shapes, types=types, values=values)
    assert ops(found) == ["reshape"]
    assert found.outputs[0].shape == (3, 4)
    assert found.graph.inputs == ("x",)
    assert [port.name for port in found.inputs] == ["x"]


def test_a_stored_weight_is_viewed_and_not_read() -> None:
    weight = np.arange(6000, dtype=np.float32)
    nodes = [
        helper.make_node("Reshape", ["w", "wanted"], ["matrix"]),
        helper.make_node("MatMul", ["x", "matrix"], ["y"]),
    ]
    constants = {"w": weight, "wanted": np.array([60, 100])}
    found = build(nodes, {"x": (2, 60)}, constants=constants)
    assert ops(found) == ["matmul"]
    (constant,) = found.graph.constants.values()
    assert constant.value.shape == (60, 100)
    assert constant.source is not None
    place = found.tensors[constant.source.tensor]
    assert (place.type, place.nbytes, place.location) == ("F32", 24000, "")


def test_outputs_that_are_known_are_results_of_a_node() -> None:
    found = build([helper.make_node("Shape", ["x"], ["y"])], {"x": (2, 3)})
    assert ops(found) == ["identity"]
    found = build([helper.make_node("Identity", ["x"], ["y"])], {"x": (2, 3)})
    assert ops(found) == ["identity"]


def test_unsupported_operators_are_all_named_at_once() -> None:
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["noise"], name="noisy"),
        helper.make_node("Foo", ["noise"], ["z"], domain="mine", name="strange"),
        helper.make_node("Add", ["x", "z"], ["y"]),
    ]
    with pytest.raises(UnsupportedError) as refused:
        build(nodes, {"x": (2,)})
    text = str(refused.value)
    assert "ai.onnx.RandomNormalLike (opset 21: WebNN has no random numbers" in text
    assert "mine.Foo (opset 1) at strange" in text
    assert "noisy" in text
    assert "Add" not in text


def function(name: str, nodes: list[Any], inputs: list[str], **how: Any) -> Any:
    """A function of the domain `mine`."""
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("mine", 1)]
    return helper.make_function("mine", name, inputs, ["out"], nodes, opsets, **how)


def test_a_models_own_function_is_built_in_place() -> None:
    clip = helper.make_node("Clip", ["in", "low", "high"], ["clipped"])
    leak = helper.make_node("LeakyRelu", ["clipped"], ["out"])
    kind = AttributeProto.FLOAT
    leak.attribute.append(AttributeProto(name="alpha", ref_attr_name="slope", type=kind))
    body = function("Soft", [clip, leak], ["in", "low", "high"], attributes=["slope"])
    call = helper.make_node("Soft", ["x", "", "top"], ["y"], domain="mine", slope=0.25, name="soft")
    constants = {"top": np.array(2, np.float32)}
    found = build([call], {"x": (3,)}, constants=constants, functions=[body])
    assert ops(found) == ["clamp", "leakyRelu"]
    clamp, leaky = found.graph.nodes
    assert clamp.attrs == {"maxValue": 2.0}
    assert leaky.attrs == {"alpha": 0.25}
    assert leaky.origin.startswith("soft/")


def test_an_operator_without_a_row_gets_the_body_that_onnx_gives() -> None:
    """SwiGLU is younger than opset 21, so the model says that it knows a newer one."""
    found = build([helper.make_node("SwiGLU", ["x", "x"], ["y"])], {"x": (2, 6)}, opset=28)
    assert "sigmoid" in ops(found)
    assert found.outputs[0].shape == (2, 6)


@pytest.mark.parametrize(
    ("type", "dtype"),
    [(TensorProto.BOOL, "uint8"), (TensorProto.DOUBLE, "float32"), (TensorProto.INT16, "int32"),
     (TensorProto.UINT16, "uint32"), (TensorProto.BFLOAT16, "float32")],
)  # fmt: skip
def test_types_that_webnn_lacks_become_wider_ones(type: int, dtype: str) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    found = build([node], {"x": (3,)}, types={"x": type})
    (port,) = found.inputs
    assert port.type == TensorProto.DataType.Name(type)
    assert port.dtype == dtype
    assert found.graph.values["x"].dtype == dtype


def test_what_is_malformed_names_the_node() -> None:
    node = helper.make_node("Softmax", ["x"], ["y"], axis=5, name="soft")
    with pytest.raises(FormatError, match="axis") as refused:
        build([node], {"x": (3, 4)})
    assert "soft" in str(refused.value.where)
    assert "Softmax" in str(refused.value.where)
