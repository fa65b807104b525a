"""An ONNX file as plain data: protobuf by the `onnx` package, weights by reference.

`parse` takes a whole file as one buffer, best a memory map: the pages that hold weights are not
touched. Everything is checked on the way (see also onnx_check.py), so that the importer may
trust counts, sizes and names. In Pyodide `onnx` needs a module `ml_dtypes`, of which reading
uses nothing: a stand-in is put there. Nothing here opens a file; must not import NumPy.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from math import prod
from types import ModuleType
from typing import Any

from ..errors import FormatError, UnsupportedError
from .onnx import (
    OnnxAttribute,
    OnnxDim,
    OnnxFunction,
    OnnxGraph,
    OnnxModel,
    OnnxNode,
    OnnxReference,
    OnnxTensor,
    OnnxValue,
)
from .onnx_check import BITS, check, check_location, describe, short, tensor_nbytes
from .onnx_wire import place, skeleton

# onnx.proto, TensorProto: which field holds elements of a type, and how they are stored.
_TYPED = {
    **dict.fromkeys(("FLOAT", "COMPLEX64"), ("float_data", "f")),
    **dict.fromkeys(("DOUBLE", "COMPLEX128"), ("double_data", "d")),
    **dict.fromkeys(("UINT64",), ("uint64_data", "Q")),
    **dict.fromkeys(("UINT32",), ("uint64_data", "I")),
    **dict.fromkeys(("INT64",), ("int64_data", "q")),
    **dict.fromkeys(("INT32",), ("int32_data", "i")),
    **dict.fromkeys(("INT16",), ("int32_data", "h")),
    **dict.fromkeys(("UINT16", "FLOAT16", "BFLOAT16"), ("int32_data", "H")),
    **dict.fromkeys(("INT8",), ("int32_data", "b")),
}  # what is not here: int32_data, one byte an element or packed into bytes
_BYTE_DATA = ("int32_data", "B")
_DATA_FIELDS = ("raw_data", "float_data", "double_data", "int32_data", "int64_data",
                "uint64_data", "string_data")  # fmt: skip


def parse(data: bytes | memoryview) -> OnnxModel:
    """The model that a whole .onnx file holds; tensors over 4 KiB by their place in it.

    Raises   FormatError for what breaks ONNX's rules; UnsupportedError for what is past a limit
             or holds what Edgewise has no use for (sparse tensors, types as attributes).
             `where` names the byte or the node and its operator.
    Cost     one pass over the structure; memory a few times the file without its large tensors.
    """
    small = skeleton(data)
    if "ml_dtypes" not in sys.modules and find_spec("ml_dtypes") is None:
        sys.modules["ml_dtypes"] = _StandIn("ml_dtypes")
    import onnx
    from google.protobuf.message import DecodeError

    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(small)
    except DecodeError as error:
        raise FormatError(
            "not a valid ONNX file", got=str(error), need="a protobuf of onnx.proto",
            fix="the file is cut short or damaged; fetch it again",
        ) from None  # fmt: skip
    model = _Reader(onnx).model(proto)
    check(model)
    return model


def read_function(proto: Any) -> OnnxFunction:
    """A FunctionProto as plain data."""
    import onnx

    return _Reader(onnx).function(proto)


class _StandIn(ModuleType):
    """Has every element type that onnx looks up when it is imported; none can be used."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class _Reader:
    def __init__(self, onnx: Any) -> None:
        self.dtypes: Mapping[int, str] = {
            number: name for name, number in onnx.TensorProto.DataType.items()
        }
        self.kinds: Mapping[int, str] = {
            number: name for name, number in onnx.AttributeProto.AttributeType.items()
        }

    def model(self, proto: Any) -> OnnxModel:
        if not proto.HasField("graph"):
            raise FormatError("not a valid ONNX file", got="no graph", need="a graph")
        return OnnxModel(
            proto.ir_version,
            _opsets(proto.opset_import),
            self.graph(proto.graph, "graph"),
            tuple(map(self.function, proto.functions)),
        )

    def graph(self, proto: Any, where: str) -> OnnxGraph:
        if proto.sparse_initializer:
            raise UnsupportedError("sparse initializer", where=where,
                                   fix="save the model with dense initializers")  # fmt: skip
        return OnnxGraph(
            _text(proto.name, where),
            self.values(proto.input, where),
            self.values(proto.output, where),
            self.nodes(proto.node, where),
            tuple(self.tensor(each, f"initializer {short(_text(each.name, where))} of {where}")
                  for each in proto.initializer),
            self.values(proto.value_info, where),
        )  # fmt: skip

    def function(self, proto: Any) -> OnnxFunction:
        where = f"function {short(_text(proto.name, 'functions'))}"
        attributes: dict[str, OnnxAttribute | None] = dict.fromkeys(_texts(proto.attribute, where))
        attributes |= self.attributes(proto.attribute_proto, where)
        return OnnxFunction(
            _domain(proto.domain), proto.name, _texts(proto.input, where),
            _texts(proto.output, where), attributes, self.nodes(proto.node, where),
            _opsets(proto.opset_import), _text(proto.overload, where),
        )  # fmt: skip

    def nodes(self, protos: Any, where: str) -> tuple[OnnxNode, ...]:
        return tuple(self.node(index, each, where) for index, each in enumerate(protos))

    def node(self, index: int, proto: Any, where: str) -> OnnxNode:
        _texts((proto.name, proto.op_type, proto.domain), f"{where}, node {index}")
        where = describe(index, proto, where)
        if not proto.op_type:
            raise FormatError("node", got="no operator", need="op_type", where=where)
        return OnnxNode(
            proto.op_type, _texts(proto.input, where), _texts(proto.output, where),
            _domain(proto.domain), self.attributes(proto.attribute, where), proto.name,
        )  # fmt: skip

    def attributes(self, protos: Any, where: str) -> dict[str, OnnxAttribute]:
        found: dict[str, OnnxAttribute] = {}
        for each in protos:
            if _text(each.name, where) in found:
                raise FormatError(f"attribute {short(each.name)}", got="two of them", need="one",
                                  where=where)  # fmt: skip
            found[each.name] = self.attribute(each, where)
        return found

    def attribute(self, proto: Any, where: str) -> OnnxAttribute:
        if proto.ref_attr_name:
            return OnnxReference(_text(proto.ref_attr_name, where))
        here = f"attribute {short(proto.name)} of {where}"
        read = _ATTRIBUTES.get(self.kinds.get(proto.type, "UNDEFINED"))
        if read is None:
            kind = self.kinds.get(proto.type, str(proto.type))
            error = FormatError if kind == "UNDEFINED" else UnsupportedError
            raise error(f"attribute {short(proto.name)}", got=f"type {kind}",
                        need="a number, string, tensor or graph", where=where)  # fmt: skip
        return read(self, proto, here)

    def values(self, protos: Any, where: str) -> tuple[OnnxValue, ...]:
        return tuple(self.value(each, where) for each in protos)

    def value(self, proto: Any, where: str) -> OnnxValue:
        name, kind = _text(proto.name, where), proto.type.WhichOneof("value")
        if kind is None:
            return OnnxValue(name)
        if kind != "tensor_type":
            return OnnxValue(name, kind.split("_")[0].upper())
        tensor = proto.type.tensor_type
        dtype = self.dtypes.get(tensor.elem_type) if tensor.elem_type else None
        if not tensor.HasField("shape"):
            return OnnxValue(name, dtype)
        return OnnxValue(name, dtype, tuple(_dim(each, where) for each in tensor.shape.dim))

    def tensor(self, proto: Any, where: str) -> OnnxTensor:
        dtype = self.dtypes.get(proto.data_type, "UNDEFINED")
        name, shape = _text(proto.name, where), tuple(proto.dims)
        if dtype != "STRING" and dtype not in BITS:
            raise UnsupportedError("element type", got=f"{dtype} ({proto.data_type})",
                                   need="one of " + ", ".join(BITS), where=where)  # fmt: skip
        nbytes = tensor_nbytes(dtype, shape, where)
        if proto.HasField("segment"):
            raise UnsupportedError("tensor in segments", where=where)
        if proto.data_location == proto.EXTERNAL:
            return self.external(proto, dtype, shape, nbytes, where)
        given = [field for field in _DATA_FIELDS if _has(proto, field)]
        spot = place(proto.doc_string)
        if len(given) + (spot is not None) > 1:
            raise FormatError("data of a tensor", got=" and ".join(given), need="one field of data",
                              where=where)  # fmt: skip
        if dtype == "STRING":
            if len(proto.string_data) != prod(shape) or spot or given not in ([], ["string_data"]):
                raise FormatError("data of a tensor", got=f"{len(proto.string_data)} strings",
                                  need=str(prod(shape)), where=where)  # fmt: skip
            return OnnxTensor(name, dtype, shape, b"", strings=tuple(proto.string_data))
        if spot is not None:
            field, offset, got = spot
            self.same_size(got, nbytes, dtype, shape, where)
            if field not in ("raw_data", _TYPED.get(dtype, _BYTE_DATA)[0]):
                raise FormatError("data of a tensor", got=f"{dtype} in {field}", where=where)
            return OnnxTensor(name, dtype, shape, location="", offset=offset, nbytes=nbytes)
        data = proto.raw_data if given == ["raw_data"] else _packed(proto, dtype, given, where)
        self.same_size(len(data), nbytes, dtype, shape, where)
        return OnnxTensor(name, dtype, shape, data, nbytes=nbytes)

    def external(
        self, proto: Any, dtype: str, shape: tuple[int, ...], nbytes: int, where: str
    ) -> OnnxTensor:
        entries = {_text(each.key, where): _text(each.value, where) for each in proto.external_data}
        location = check_location(entries.get("location", ""), where)
        if dtype == "STRING":
            raise FormatError("external data", got="STRING", need="numbers", where=where)
        offset = _decimal(entries.get("offset", "0"), "offset of external data", where)
        length = _decimal(entries.get("length", str(nbytes)), "length of external data", where)
        self.same_size(length, nbytes, dtype, shape, where)
        name = _text(proto.name, where)
        if nbytes == 0:
            return OnnxTensor(name, dtype, shape, b"")
        return OnnxTensor(name, dtype, shape, None, location, offset, nbytes)

    def same_size(
        self, got: int, nbytes: int, dtype: str, shape: tuple[int, ...], where: str
    ) -> None:
        if got != nbytes:
            raise FormatError("data of a tensor", got=f"{got} bytes",
                              need=f"{nbytes} for {dtype} {list(shape)}", where=where)  # fmt: skip


_ATTRIBUTES: dict[str, Callable[[_Reader, Any, str], OnnxAttribute]] = {
    "INT": lambda reader, proto, where: proto.i,
    "FLOAT": lambda reader, proto, where: proto.f,
    "STRING": lambda reader, proto, where: proto.s,
    "TENSOR": lambda reader, proto, where: reader.tensor(proto.t, where),
    "GRAPH": lambda reader, proto, where: reader.graph(proto.g, where),
    "INTS": lambda reader, proto, where: tuple(proto.ints),
    "FLOATS": lambda reader, proto, where: tuple(proto.floats),
    "STRINGS": lambda reader, proto, where: tuple(proto.strings),
    "TENSORS": lambda reader, proto, where: tuple(reader.tensor(t, where) for t in proto.tensors),
    "GRAPHS": lambda reader, proto, where: tuple(reader.graph(g, where) for g in proto.graphs),
}


def _has(proto: Any, name: str) -> bool:
    return proto.HasField(name) if name == "raw_data" else len(getattr(proto, name)) > 0


def _packed(proto: Any, dtype: str, given: list[str], where: str) -> bytes:
    """Little-endian bytes of elements in one of the typed fields."""
    field, code = _TYPED.get(dtype, _BYTE_DATA)
    if given not in ([], [field]):
        raise FormatError("data of a tensor", got=f"{dtype} in {given[0]}", need=field, where=where)
    numbers = getattr(proto, field)
    if dtype == "INT4" or dtype == "INT2":
        numbers = [number & 255 for number in numbers]
    try:
        packed = array(code, numbers)
    except (OverflowError, TypeError) as error:
        raise FormatError("data of a tensor", got=str(error), need=f"elements of {dtype}",
                          where=where) from None  # fmt: skip
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def _dim(proto: Any, where: str) -> OnnxDim:
    kind = proto.WhichOneof("value")
    if kind == "dim_param":
        return _text(proto.dim_param, where) or None
    # Some exporters write -1 for a size that they do not know.
    return proto.dim_value if kind == "dim_value" and proto.dim_value >= 0 else None


def _decimal(text: str, what: str, where: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise FormatError(what, got=short(text), need="a decimal number", where=where)
    return int(text)


def _text(text: str | bytes, where: str) -> str:
    """A name. protobuf gives bytes where they are not UTF-8."""
    if isinstance(text, bytes):
        raise FormatError("name", got=f"bytes {text[:20]!r}", need="UTF-8", where=where)
    return text


def _texts(texts: Iterable[str | bytes], where: str) -> tuple[str, ...]:
    return tuple(_text(each, where) for each in texts)


def _domain(text: str) -> str:
    return "" if text == "ai.onnx" else text


def _opsets(protos: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in protos:
        domain = _domain(_text(each.domain, "opset_import"))
        if found.setdefault(domain, each.version) != each.version:
            raise FormatError(f"opset of {domain or 'ai.onnx'}", got="two versions", need="one")
    return found
