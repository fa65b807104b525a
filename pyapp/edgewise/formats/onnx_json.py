"""An ONNX model's structure as JSON: what a packed model carries, so that a page needs no `onnx`.

Short lists in the order of the classes' fields; an attribute is a list of its kind and its value.
Bytes are text, one character a byte, where they are strings, and base64 where they are tensors.
Reading trusts nothing: the same checks as for a file are made.
"""

from __future__ import annotations

import json
import math
from base64 import b64decode, b64encode
from typing import Any

from ..errors import FormatError
from .onnx import (
    OnnxAttribute,
    OnnxFunction,
    OnnxGraph,
    OnnxModel,
    OnnxNode,
    OnnxReference,
    OnnxTensor,
    OnnxValue,
)
from .onnx_check import BITS, check, check_location, tensor_nbytes

FORMAT = "edgewise-onnx/1"


def to_json(model: OnnxModel) -> str:
    """The same model, the same text."""
    data = {
        "format": FORMAT,
        "ir": model.ir_version,
        "opsets": dict(model.opsets),
        "graph": _graph(model.graph),
        "functions": [_function(each) for each in model.functions],
    }
    return json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def from_json(text: str) -> OnnxModel:
    """What `to_json` wrote. Raises FormatError, or UnsupportedError for what is past a limit."""
    try:
        data = json.loads(text)
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise FormatError("not the structure of an ONNX model", need=f"format {FORMAT!r}",
                              fix="write it again with `edgewise pack`")  # fmt: skip
        model = OnnxModel(
            _int(data["ir"]),
            {_str(domain): _int(version) for domain, version in data["opsets"].items()},
            _read_graph(data["graph"]),
            tuple(map(_read_function, _list(data["functions"]))),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FormatError("not the structure of an ONNX model", got=f"{error!r}"[:80],
                          need="what `edgewise pack` writes",
                          fix="write it again with `edgewise pack`") from None  # fmt: skip
    check(model)
    return model


def _graph(graph: OnnxGraph) -> list[Any]:
    return [
        graph.name, [_value(each) for each in graph.inputs],
        [_value(each) for each in graph.outputs], [_node(each) for each in graph.nodes],
        [_tensor(each) for each in graph.initializers], [_value(each) for each in graph.value_info],
    ]  # fmt: skip


def _read_graph(data: Any) -> OnnxGraph:
    name, inputs, outputs, nodes, initializers, info = _list(data)
    return OnnxGraph(
        _str(name), _read_values(inputs), _read_values(outputs),
        tuple(map(_read_node, _list(nodes))), tuple(map(_read_tensor, _list(initializers))),
        _read_values(info),
    )  # fmt: skip


def _function(function: OnnxFunction) -> list[Any]:
    attributes = {
        name: None if each is None else _attribute(each)
        for name, each in function.attributes.items()
    }
    return [
        function.domain, function.name, list(function.inputs), list(function.outputs), attributes,
        [_node(each) for each in function.nodes], dict(function.opsets), function.overload,
    ]  # fmt: skip


def _read_function(data: Any) -> OnnxFunction:
    domain, name, inputs, outputs, attributes, nodes, opsets, overload = _list(data)
    return OnnxFunction(
        _str(domain), _str(name), _strs(inputs), _strs(outputs),
        {key: None if each is None else _read_attribute(each) for key, each in attributes.items()},
        tuple(map(_read_node, _list(nodes))),
        {_str(key): _int(version) for key, version in opsets.items()}, _str(overload),
    )  # fmt: skip


def _value(value: OnnxValue) -> list[Any]:
    return [value.name, value.dtype, None if value.shape is None else list(value.shape)]


def _read_values(data: Any) -> tuple[OnnxValue, ...]:
    found = []
    for name, dtype, shape in _list(data):
        for size in shape or ():
            if size is not None and not isinstance(size, str) and _int(size) < 0:
                raise ValueError(f"size {size}")
        sizes = None if shape is None else tuple(_list(shape))
        found.append(OnnxValue(_str(name), None if dtype is None else _str(dtype), sizes))
    return tuple(found)


def _node(node: OnnxNode) -> list[Any]:
    attributes = {name: _attribute(each) for name, each in node.attributes.items()}
    inputs, outputs = list(node.inputs), list(node.outputs)
    return [node.op_type, inputs, outputs, node.domain, attributes, node.name]


def _read_node(data: Any) -> OnnxNode:
    op_type, inputs, outputs, domain, attributes, name = _list(data)
    found = {key: _read_attribute(each) for key, each in attributes.items()}
    return OnnxNode(_str(op_type), _strs(inputs), _strs(outputs), _str(domain), found, _str(name))


def _tensor(tensor: OnnxTensor) -> list[Any]:
    head = [tensor.name, tensor.dtype, list(tensor.shape)]
    if tensor.dtype == "STRING":
        return [*head, [each.decode("latin-1") for each in tensor.strings]]
    if tensor.data is not None:
        return [*head, b64encode(tensor.data).decode()]
    return [*head, tensor.location, tensor.offset]


def _read_tensor(data: Any) -> OnnxTensor:
    name, dtype, sizes, *rest = _list(data)
    shape = tuple(map(_int, _list(sizes)))
    nbytes = tensor_nbytes(dtype, shape, f"initializer {name!r}")
    if dtype == "STRING":
        strings = tuple(each.encode("latin-1") for each in _strs(rest[0]))
        if len(strings) != math.prod(shape):
            raise ValueError(f"{len(strings)} strings")
        return OnnxTensor(_str(name), dtype, shape, b"", strings=strings)
    if dtype not in BITS:
        raise ValueError(f"element type {dtype!r}")
    if len(rest) == 1:
        held = b64decode(_str(rest[0]), validate=True)
        if len(held) != nbytes:
            raise ValueError(f"{len(held)} bytes")
        return OnnxTensor(_str(name), dtype, shape, held, nbytes=nbytes)
    location, offset = _str(rest[0]), _int(rest[1])
    if location:
        location = check_location(location, f"initializer {name!r}")
    if not 0 <= offset <= 2**53 - 1:
        raise ValueError(f"offset {offset}")
    return OnnxTensor(_str(name), dtype, shape, None, location, offset, nbytes)


def _attribute(attribute: OnnxAttribute) -> list[Any]:
    if isinstance(attribute, tuple):
        return ["*", *map(_attribute, attribute)]
    if isinstance(attribute, float):
        # JSON has no NaN and no infinity.
        return ["f", attribute if math.isfinite(attribute) else str(attribute)]
    if isinstance(attribute, int):
        return ["i", attribute]
    if isinstance(attribute, bytes):
        return ["s", attribute.decode("latin-1")]
    if isinstance(attribute, OnnxTensor):
        return ["t", _tensor(attribute)]
    if isinstance(attribute, OnnxGraph):
        return ["g", _graph(attribute)]
    return ["r", attribute.name]


def _read_attribute(data: Any) -> OnnxAttribute:
    kind, *rest = _list(data)
    if kind == "*":
        found = [_read_attribute(each) for each in rest]
        if any(isinstance(each, tuple | OnnxReference) or type(each) is not type(found[0])
               for each in found):  # fmt: skip
            raise ValueError("a list of several kinds")
        return tuple(found)  # type: ignore[return-value]
    (value,) = rest
    if kind == "f":
        return value if isinstance(value, float) else float(_str(value))
    if kind == "i":
        return _int(value)
    if kind == "s":
        return _str(value).encode("latin-1")
    if kind == "r":
        return OnnxReference(_str(value))
    if kind not in ("t", "g"):
        raise ValueError(f"attribute {kind!r}")
    return _read_tensor(value) if kind == "t" else _read_graph(value)


def _list(data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise TypeError(f"{data!r} is no list")
    return data


def _int(data: Any) -> int:
    if type(data) is not int:
        raise TypeError(f"{data!r} is no whole number")
    return data


def _str(data: Any) -> str:
    if not isinstance(data, str):
        raise TypeError(f"{data!r} is no text")
    return data


def _strs(data: Any) -> tuple[str, ...]:
    return tuple(map(_str, _list(data)))
