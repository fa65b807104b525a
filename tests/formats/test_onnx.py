"""ONNX files as plain data: exact places, the same by JSON, and no hostile file gets through."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgewise.errors import FormatError, UnsupportedError
from edgewise.formats.onnx import OnnxGraph, OnnxModel, OnnxTensor
from edgewise.formats.onnx_check import tensors_of
from edgewise.formats.onnx_json import from_json, to_json
from edgewise.formats.onnx_read import parse
from edgewise.formats.onnx_wire import INLINE_NBYTES, skeleton

F = TensorProto.FLOAT
X = helper.make_tensor_value_info("x", F, ["n", 4])
Y = helper.make_tensor_value_info("y", F, None)


def model(nodes: list[onnx.NodeProto], initializers: list[TensorProto] | None = None,
          **more: object) -> onnx.ModelProto:  # fmt: skip
    graph = helper.make_graph(nodes, "g", [X], [Y], initializers or [])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], **more)


def small() -> onnx.ModelProto:
    """A large and a small weight, a constant in a branch, a name from outside it."""
    rng = np.random.default_rng(1)
    large = numpy_helper.from_array(rng.normal(size=(300, 4)).astype(np.float32), "large")
    bias = numpy_helper.from_array(np.arange(4, dtype=np.float32), "bias")
    held = numpy_helper.from_array(rng.integers(0, 9, (2000,)), "held")
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=held),
         helper.make_node("Add", ["x", "bias"], ["z"], name="inner")],
        "branch", [], [helper.make_tensor_value_info("z", F, None)])  # fmt: skip
    nodes = [
        helper.make_node("Gemm", ["x", "large"], ["m"], name="gemm", transB=1, alpha=0.5),
        helper.make_node("If", ["x"], ["w"], then_branch=branch, else_branch=branch),
        helper.make_node("Foo", ["m", ""], ["y"], domain="d", fs=[1.0, float("inf")], ss=["a", "é"],
                         axes=[1, -2]),
    ]  # fmt: skip
    return model(nodes, [large, bias])


def tensors(graph: onnx.GraphProto) -> list[TensorProto]:
    found = list(graph.initializer)
    for node in graph.node:
        for attribute in node.attribute:
            found += [attribute.t] if attribute.type == onnx.AttributeProto.TENSOR else []
            found += tensors(attribute.g) if attribute.type == onnx.AttributeProto.GRAPH else []
    return found


def held(tensor: OnnxTensor, file: bytes) -> bytes:
    if tensor.data is not None:
        return tensor.data
    assert tensor.location == ""
    return file[tensor.offset : tensor.offset + tensor.nbytes]


def test_every_tensor_lies_where_it_is_said_to() -> None:
    proto = small()
    file = proto.SerializeToString()
    found = list(tensors_of(parse(file)))
    for tensor, official in zip(found, tensors(proto.graph), strict=True):
        assert (tensor.name, tensor.shape) == (official.name, tuple(official.dims))
        assert held(tensor, file) == numpy_helper.to_array(official).tobytes()
    assert [tensor.data is None for tensor in found] == [True, False, True, True]


def test_structure_is_what_onnx_reads() -> None:
    read = parse(small().SerializeToString())
    assert (read.opsets, read.graph.inputs[0].shape) == ({"": 21}, ("n", 4))
    gemm, branching, foo = read.graph.nodes
    assert gemm.attributes == {"transB": 1, "alpha": 0.5}
    assert foo.attributes["fs"] == (1.0, float("inf"))
    assert foo.attributes["ss"] == (b"a", "é".encode())
    assert (foo.domain, foo.inputs) == ("d", ("m", ""))
    branch = branching.attributes["then_branch"]
    assert isinstance(branch, OnnxGraph)
    assert [node.op_type for node in branch.nodes] == ["Constant", "Add"]


@pytest.mark.parametrize("dtype", [
    "FLOAT", "DOUBLE", "FLOAT16", "INT64", "UINT64", "INT32", "UINT32", "INT16", "UINT16", "INT8",
    "UINT8", "BOOL", "COMPLEX64", "BFLOAT16", "INT4", "UINT4", "FLOAT8E4M3FN",
])  # fmt: skip
@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("count", [3, 5001])
def test_every_element_type_either_way(dtype: str, raw: bool, count: int) -> None:
    code = TensorProto.DataType.Value(dtype)
    values = np.random.default_rng(2).integers(0, 2, count)
    official = helper.make_tensor("t", code, (count,), values)
    data = numpy_helper.to_array(official)
    if raw:
        official = numpy_helper.from_array(data, "t")
    file = model([helper.make_node("Foo", ["x", "t"], ["y"])], [official]).SerializeToString()
    (tensor,) = tensors_of(parse(file))
    expected = numpy_helper.from_array(data, "t").raw_data
    assert (tensor.dtype, tensor.shape) == (dtype, (count,))
    assert held(tensor, file) == expected


def test_strings() -> None:
    official = TensorProto(name="t", data_type=TensorProto.STRING, dims=[2],
                           string_data=[b"a", b"\xff"])  # fmt: skip
    read = parse(model([helper.make_node("Foo", ["t"], ["y"])], [official]).SerializeToString())
    assert read.graph.initializers[0].strings == (b"a", b"\xff")
    assert from_json(to_json(read)) == read


def with_function() -> onnx.ModelProto:
    body = [helper.make_node("Elu", ["a"], ["b"])]
    body[0].attribute.append(onnx.AttributeProto(name="alpha", ref_attr_name="slope", type="FLOAT"))
    function = helper.make_function("d", "F", ["a"], ["b"], body, [helper.make_opsetid("", 21)],
                                    ["slope"])  # fmt: skip
    return model([helper.make_node("F", ["x"], ["y"], domain="d")], functions=[function])


@pytest.mark.parametrize("make", [small, with_function])
def test_json_round_trip(make: Callable[[], onnx.ModelProto]) -> None:
    read = parse(make().SerializeToString())
    text = to_json(read)
    assert from_json(text) == read
    assert to_json(from_json(text)) == text


def test_skeleton_is_small_and_a_file_cannot_forge_a_place() -> None:
    proto = small()
    proto.graph.initializer[1].doc_string = "raw_data+0+16"
    file = proto.SerializeToString()
    assert len(skeleton(file)) < len(file) - 300 * 16 - 2 * 2000 * 8 + 200
    assert parse(file).graph.initializers[1].data == np.arange(4, dtype=np.float32).tobytes()


def test_truncated_at_every_byte() -> None:
    file = small().SerializeToString()
    weights = [range(t.offset + 1, t.offset + t.nbytes - 1)
               for t in tensors_of(parse(file)) if t.location == ""]  # fmt: skip
    cuts = [at for at in range(len(file)) if not any(at in inside for inside in weights)]
    assert len(cuts) > 450
    for at in cuts:
        with pytest.raises((FormatError, UnsupportedError)):
            parse(file[:at])


SMALL = small().SerializeToString()


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), max_size=4))
def test_flipped_bytes(flips: list[tuple[int, int]]) -> None:
    file = bytearray(SMALL)
    for at, byte in flips:
        file[at] = byte
    try:
        read = parse(bytes(file))
    except (FormatError, UnsupportedError):
        return
    for tensor in tensors_of(read):
        assert tensor.dtype == "STRING" or len(held(tensor, bytes(file))) == tensor.nbytes
    assert from_json(to_json(read)) == read


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    with pytest.raises((FormatError, UnsupportedError)):
        parse(data)


JSON = to_json(parse(SMALL))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(JSON) - 1), st.sampled_from('0-"[]{},:x'))
def test_flipped_json(at: int, char: str) -> None:
    try:
        read = from_json(JSON[:at] + char + JSON[at + 1 :])
    except (FormatError, UnsupportedError):
        return
    assert isinstance(read, OnnxModel)


def bad_nodes(*nodes: onnx.NodeProto) -> Callable[[], onnx.ModelProto]:
    return lambda: model([*nodes, helper.make_node("Relu", ["x"], ["y"])])


def bad_tensor(change: Callable[[TensorProto], object], dtype: int = F) -> onnx.ModelProto:
    tensor = TensorProto(name="t", data_type=dtype, dims=[2])
    change(tensor)
    return model([helper.make_node("Relu", ["x"], ["y"], name="r")], [tensor])


def external(**entries: str) -> Callable[[], onnx.ModelProto]:
    def change(tensor: TensorProto) -> None:
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=value)

    return lambda: bad_tensor(change)


def data(nbytes: int, *dims: int) -> Callable[[], onnx.ModelProto]:
    def change(tensor: TensorProto) -> None:
        tensor.raw_data = bytes(nbytes)
        tensor.dims[:] = dims

    return lambda: bad_tensor(change)


def nested(depth: int) -> Callable[[], onnx.ModelProto]:
    def make() -> onnx.ModelProto:
        inner = helper.make_graph([helper.make_node("Relu", ["x"], ["z0"])], "g0", [],
                                  [helper.make_tensor_value_info("z0", F, None)])  # fmt: skip
        for level in range(1, depth + 1):
            node = helper.make_node("If", ["x"], [f"z{level}"], then_branch=inner)
            out = helper.make_tensor_value_info(f"z{level}", F, None)
            inner = helper.make_graph([node], "g", [], [out])
        return model([helper.make_node("If", ["x"], ["y"], then_branch=inner)])

    return make


def recursive(*calls: str) -> Callable[[], onnx.ModelProto]:
    """Functions that call each other, as in `a>b`, with two calls each."""

    def make() -> onnx.ModelProto:
        found = []
        for call in calls:
            name, called = call.split(">")
            nodes = [helper.make_node(called, ["a"], [f"b{i}"], domain="d") for i in range(2)]
            found.append(helper.make_function("d", name, ["a"], ["b1"], nodes,
                                              [helper.make_opsetid("d", 1)]))  # fmt: skip
        return model([helper.make_node("Relu", ["x"], ["y"])], functions=found)

    return make


def no_opset() -> onnx.ModelProto:
    proto = model([helper.make_node("Relu", ["x"], ["y"])])
    del proto.opset_import[:]
    return proto


HOSTILE: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "cycle": (bad_nodes(helper.make_node("Add", ["x", "b"], ["a"], name="first"),
                        helper.make_node("Relu", ["a"], ["b"])), "node 0 'first' (Add)"),
    "itself": (bad_nodes(helper.make_node("Relu", ["a"], ["a"], name="own")), "'own' (Relu)"),
    "undefined": (bad_nodes(helper.make_node("Relu", ["nowhere"], ["a"])), "input 'nowhere'"),
    "twice": (bad_nodes(helper.make_node("Relu", ["x"], ["y"], name="one")), "output 'y'"),
    "input again": (bad_nodes(helper.make_node("Relu", ["x"], ["x"], name="one")), "'one' (Relu)"),
    "no operator": (bad_nodes(helper.make_node("", ["x"], ["a"])), "op_type"),
    "no output": (lambda: model([helper.make_node("Relu", ["x"], ["a"])]), "output 'y'"),
    "no opset": (no_opset, "opset_import"),
    "bytes": (data(7, 2), "8 for FLOAT [2]"),
    "large bytes": (data(INLINE_NBYTES + 1, 1025), "4100 for FLOAT"),
    "negative": (data(8, -2), "none negative"),
    "overflow": (data(8, 2**40, 2**40), "at most"),
    "overflow to zero": (data(0, 2**62, 4, 0), "at most"),
    "rank": (data(8, *([1] * 65)), "at most 64"),
    "no data": (data(0, 2), "8 for FLOAT [2]"),
    "up": (external(location="../weights.bin"), "folder"),
    "up inside": (external(location="a/../../weights.bin"), "folder"),
    "absolute": (external(location="/etc/passwd"), "folder"),
    "windows": (external(location="..\\weights.bin"), "folder"),
    "drive": (external(location="C:/weights.bin"), "folder"),
    "scheme": (external(location="file:weights.bin"), "folder"),
    "zero byte": (external(location="a\0b"), "folder"),
    "no location": (external(), "folder"),
    "offset": (external(location="w", offset="-4"), "decimal"),
    "length": (external(location="w", length="4"), "8 for FLOAT [2]"),
    "type": (lambda: bad_tensor(lambda t: None, 99), "UNDEFINED (99)"),
    "field": (lambda: bad_tensor(lambda t: t.int32_data.extend([1, 2])), "float_data"),
    "range": (lambda: bad_tensor(lambda t: t.int32_data.extend([1, 300]), TensorProto.UINT8),
              "elements of UINT8"),
    "depth": (nested(13), "deep"),
    "more depth": (nested(25), "deep"),
    "recursion": (recursive("a>a"), "'a'"),
    "mutual recursion": (recursive("a>b", "b>a"), "recursion"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(name: str) -> None:
    make, named = HOSTILE[name]
    with pytest.raises((FormatError, UnsupportedError)) as caught:
        parse(make().SerializeToString())
    assert named in str(caught.value)


def test_calls_that_multiply() -> None:
    """Each of ten functions calls the next one eight times: a billion nodes."""
    functions = []
    for level in range(10):
        nodes = [helper.make_node(f"f{level + 1}", ["a"], [f"b{i}"], domain="d") for i in range(8)]
        functions.append(helper.make_function("d", f"f{level}", ["a"], ["b1"], nodes,
                                              [helper.make_opsetid("d", 1)]))  # fmt: skip
    proto = model([helper.make_node("Relu", ["x"], ["y"])], functions=functions)
    with pytest.raises(UnsupportedError, match="1000000"):
        parse(proto.SerializeToString())


def test_depth_that_is_allowed() -> None:
    assert parse(nested(5)().SerializeToString()).graph.nodes[0].op_type == "If"


def test_two_data_fields_of_which_one_is_large() -> None:
    tensor = TensorProto(name="t", data_type=F, dims=[2000], raw_data=bytes(8000))
    tensor.float_data.extend([1.0, 2.0])
    proto = model([helper.make_node("Relu", ["x"], ["y"])], [tensor])
    with pytest.raises(FormatError, match="one field"):
        parse(proto.SerializeToString())


def test_external_data_is_a_reference() -> None:
    read = parse(external(location="./sub//w.bin", offset="12", length="8")().SerializeToString())
    (tensor,) = read.graph.initializers
    assert (tensor.location, tensor.offset, tensor.nbytes) == ("sub/w.bin", 12, 8)
    assert from_json(to_json(read)) == read


@pytest.mark.parametrize("change", [
    lambda data: data.pop("opsets"),
    lambda data: data["graph"][3][0].__setitem__(0, 3),
    lambda data: data["graph"][4][0].__setitem__(3, "../w"),
    lambda data: data["graph"][4][0].__setitem__(2, [2**60, 2**60]),
    lambda data: data["graph"][4][1].__setitem__(3, "AAAA"),
    lambda data: data["graph"][3][0][4].__setitem__("alpha", ["*", ["i", 1], ["f", 2.0]]),
])  # fmt: skip
def test_json_that_someone_changed(change: Callable[[dict[str, object]], object]) -> None:
    data = json.loads(JSON)
    change(data)
    with pytest.raises(FormatError):
        from_json(json.dumps(data))
