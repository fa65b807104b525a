"""If, Loop and Scan against onnxruntime, and what cannot be unrolled said by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgewise.errors import UnsupportedError
from edgewise.formats.onnx_read import parse
from edgewise.importers.onnx import import_onnx
from tests.importers.onnx.oracle import check, model, node

F, B, I64 = TensorProto.FLOAT, TensorProto.BOOL, TensorProto.INT64
RNG = np.random.default_rng(5)
X = RNG.normal(size=(3, 4)).astype(np.float32)


def value(name: str, dtype: int = F, shape: list[int] | None = None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def graph(nodes: list[onnx.NodeProto], inputs: list[onnx.ValueInfoProto],
          outputs: list[onnx.ValueInfoProto]) -> onnx.GraphProto:  # fmt: skip
    return helper.make_graph(nodes, "body", inputs, outputs)


def branching(unequal: bool = False) -> onnx.NodeProto:
    yes = graph([node("Add", "x x", "a")], [], [value("a")])
    other = node("ReduceMean", "x", "b", keepdims=0) if unequal else node("Neg", "x", "b")
    no = graph([other], [], [value("b")])
    return node("If", "c", "y", then_branch=yes, else_branch=no)


@pytest.mark.parametrize("chosen", [True, False])
@pytest.mark.parametrize("unequal", [True, False])
def test_if_with_a_condition_that_is_an_input(chosen: bool, unequal: bool) -> None:
    inputs = {"x": X, "c": np.array(chosen)}
    check(model([branching(unequal)], inputs, ["y"]), inputs, atol=1e-6)


def test_if_on_a_shape_folds() -> None:
    nodes = [
        node("Shape", "x", "s", end=1),
        node("Greater", "s two", "c0"),
        node("Squeeze", "c0", "c"),
        branching(unequal=True),
    ]
    proto = model(nodes, {"x": X}, ["y"], {"two": np.array([2])})
    check(proto, {"x": X}, atol=1e-6)
    built = import_onnx(parse(proto.SerializeToString()), {"x": X.shape}).graph
    assert [each.op for each in built.nodes] == ["add"]


@pytest.mark.parametrize("sign", [1, -1])
def test_if_on_data_selects(sign: int) -> None:
    data = np.abs(RNG.normal(size=(30, 4))).astype(np.float32) * sign
    nodes = [
        node("ReduceSum", "x", "s", keepdims=0),
        node("Greater", "s zero", "c"),
        branching(),
    ]
    proto = model(nodes, {"x": data}, ["y"], {"zero": np.zeros((), np.float32)})
    check(proto, {"x": data}, atol=1e-6)
    built = import_onnx(parse(proto.SerializeToString()), {"x": data.shape}).graph
    assert "where" in {each.op for each in built.nodes}


def test_if_on_data_of_other_shapes_is_refused() -> None:
    data = RNG.normal(size=(30, 4)).astype(np.float32)
    nodes = [
        node("ReduceSum", "x", "s", keepdims=0),
        node("Greater", "s zero", "c"),
        branching(unequal=True),
    ]
    proto = model(nodes, {"x": data}, ["y"], {"zero": np.zeros((), np.float32)})
    with pytest.raises(UnsupportedError, match="other shapes"):
        import_onnx(parse(proto.SerializeToString()), {"x": data.shape})


def loop_body(limit: int | None = None) -> onnx.GraphProto:
    """state * 2 + a name from outside; ends when the count reaches `limit`; gives each state."""
    nodes = [
        node("Mul", "state two", "twice"),
        node("Add", "twice x", "next"),
        node("Identity", "next", "row"),
    ]
    if limit is None:
        nodes.append(node("Identity", "going", "on"))
    else:
        nodes.append(node("Constant", "", "last", value_int=limit))
        nodes.append(node("Less", "i last", "on"))
    given = [value("i", I64, []), value("going", B, []), value("state", F, [3, 4])]
    made = [value("on", B, []), value("next", F, [3, 4]), value("row", F, [3, 4])]
    return graph(nodes, given, made)


CONSTANTS = {"two": np.array(2, np.float32), "n": np.array(4), "yes": np.array(True)}


@pytest.mark.parametrize(("names", "limit"), [
    ("n yes x", None), ("n - x", None), ("- yes x", 3), ("n yes x", 1), ("n yes x", 9),
])  # fmt: skip
def test_loop(names: str, limit: int | None) -> None:
    proto = model([node("Loop", names, "y rows", body=loop_body(limit))], {"x": X},
                  ["y", "rows"], CONSTANTS)  # fmt: skip
    check(proto, {"x": X}, atol=1e-6)


@pytest.mark.parametrize("trips", [0, 1, 5])
def test_loop_as_often_as_an_input_says(trips: int) -> None:
    inputs = {"x": X, "m": np.array(trips)}
    proto = model([node("Loop", "m - x", "y rows", body=loop_body())], inputs, ["y", "rows"],
                  CONSTANTS)  # fmt: skip
    check(proto, inputs, atol=1e-6)


@pytest.mark.parametrize("names", ["big - x", "- yes x"])
def test_loops_that_are_too_long(names: str) -> None:
    proto = model([node("Loop", names, "y rows", body=loop_body(), name="forever")], {"x": X},
                  ["y", "rows"], CONSTANTS | {"big": np.array(10**12)})  # fmt: skip
    with pytest.raises(UnsupportedError, match="forever"):
        import_onnx(parse(proto.SerializeToString()), {"x": X.shape})


def test_loop_in_a_loop_is_bounded_together() -> None:
    inner = node("Loop", "many going state", "next rows", body=loop_body())
    outer = graph([inner, node("Identity", "going", "on")],
                  [value("i", I64, []), value("going", B, []), value("state", F, [3, 4])],
                  [value("on", B, []), value("next", F, [3, 4])])  # fmt: skip
    proto = model([node("Loop", "many yes x", "y", body=outer)], {"x": X}, ["y"],
                  CONSTANTS | {"many": np.array(1000)})  # fmt: skip
    with pytest.raises(UnsupportedError, match="4096"):
        import_onnx(parse(proto.SerializeToString()), {"x": X.shape})


@pytest.mark.parametrize("attrs", [
    {}, {"scan_input_directions": [1]}, {"scan_output_directions": [1]},
    {"scan_input_axes": [1], "scan_output_axes": [-1]},
])  # fmt: skip
def test_scan(attrs: dict[str, Any]) -> None:
    size = 3 if attrs.get("scan_input_axes") else 4
    nodes = [node("Add", "sum row", "next"), node("Mul", "next row", "out")]
    body = graph(nodes, [value("sum", F, [size]), value("row", F, [size])],
                 [value("next", F, [size]), value("out", F, [size])])  # fmt: skip
    inputs = {"x": X, "start": RNG.normal(size=size).astype(np.float32)}
    proto = model([node("Scan", "start x", "y rows", body=body, num_scan_inputs=1, **attrs)],
                  inputs, ["y", "rows"])  # fmt: skip
    check(proto, inputs, atol=1e-6)


def test_types_of_a_body_stay() -> None:
    """A boolean that leaves a branch is one still: its negation is no bitwise one."""
    yes = graph([node("Greater", "x zero", "a")], [], [value("a", B)])
    no = graph([node("Less", "x zero", "b")], [], [value("b", B)])
    nodes = [node("If", "c", "z", then_branch=yes, else_branch=no), node("Not", "z", "y")]
    inputs = {"x": X, "c": np.array(True)}
    check(model(nodes, inputs, ["y"], {"zero": np.zeros((), np.float32)}), inputs, atol=0)
