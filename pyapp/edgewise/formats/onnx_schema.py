"""The bodies that ONNX itself gives for operators, in terms of others: its functions.

They come from the `onnx` package's schemas; where the package is not there, there are none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .onnx import OnnxFunction, OnnxNode
from .onnx_read import read_function


def has_body(domain: str, name: str, opset: int) -> bool:
    """Whether ONNX gives a body for an operator."""
    schema = _schema(domain, name, opset)
    return schema is not None and bool(schema.has_function or schema.has_context_dependent_function)


def body(
    node: OnnxNode, opset: int, types: Sequence[tuple[str, tuple[int, ...]] | None]
) -> OnnxFunction | None:
    """The body for one call, whose inputs are of `types`: ONNX's element type and shape."""
    schema = _schema(node.domain, node.op_type, opset)
    if schema is None:
        return None
    import onnx

    if schema.has_function:
        proto: Any = schema.function_body
    elif schema.has_context_dependent_function:
        call = _call(onnx, node)
        if call is None:
            return None
        given = [_type(onnx, each).SerializeToString() for each in types]
        text = schema.get_context_dependent_function(call.SerializeToString(), given)
        proto = onnx.FunctionProto()
        proto.ParseFromString(text)
    else:
        return None
    found = read_function(proto)
    return OnnxFunction(
        found.domain, found.name, found.inputs, found.outputs, _defaults(onnx, schema),
        found.nodes, {"": opset, **found.opsets},
    )  # fmt: skip


def _schema(domain: str, name: str, opset: int) -> Any:
    try:
        import onnx
    except ImportError:
        return None
    try:
        return onnx.defs.get_schema(name, opset, domain)
    except onnx.defs.SchemaError:
        return None


def _defaults(onnx: Any, schema: Any) -> dict[str, Any]:
    """The attributes that a call need not give."""
    found = {}
    for name, attribute in schema.attributes.items():
        default = attribute.default_value
        if default.name:
            value = onnx.helper.get_attribute_value(default)
            found[name] = tuple(value) if isinstance(value, list) else value
    return found


def _call(onnx: Any, node: OnnxNode) -> Any:
    """The node as a protobuf, or None where an attribute is more than numbers and strings."""
    for attribute in node.attributes.values():
        parts = attribute if isinstance(attribute, tuple) else (attribute,)
        if not all(isinstance(part, int | float | bytes | str) for part in parts):
            return None
    return onnx.helper.make_node(
        node.op_type, list(node.inputs), list(node.outputs), domain=node.domain,
        **dict(node.attributes),
    )  # fmt: skip


def _type(onnx: Any, given: tuple[str, tuple[int, ...]] | None) -> Any:
    if given is None:
        return onnx.TypeProto()
    code = onnx.TensorProto.DataType.Value(given[0])
    return onnx.helper.make_tensor_type_proto(code, given[1])
