"""The rules that any ONNX model must keep before the importer looks at it.

Names are assigned once a graph and before they are used (which excludes cycles), functions do
not call themselves, tensors have the bytes that their shapes ask for, external data stays in the
model's folder. Pure: says nothing about operators, and touches no file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from math import prod
from typing import Any, Protocol

from ..errors import FormatError, UnsupportedError
from .onnx import (
    OnnxAttribute,
    OnnxFunction,
    OnnxGraph,
    OnnxModel,
    OnnxNode,
    OnnxTensor,
)

BITS: Mapping[str, int] = {
    "FLOAT": 32, "FLOAT16": 16, "BFLOAT16": 16, "DOUBLE": 64, "COMPLEX64": 64, "COMPLEX128": 128,
    "INT64": 64, "UINT64": 64, "INT32": 32, "UINT32": 32, "INT16": 16, "UINT16": 16, "INT8": 8,
    "UINT8": 8, "BOOL": 8, "INT4": 4, "UINT4": 4, "INT2": 2, "UINT2": 2, "FLOAT4E2M1": 4,
    "FLOAT8E4M3FN": 8, "FLOAT8E4M3FNUZ": 8, "FLOAT8E5M2": 8, "FLOAT8E5M2FNUZ": 8, "FLOAT8E8M0": 8,
}  # fmt: skip
MAX_RANK = 64  # NumPy's
MAX_NBYTES = 2**53 - 1  # the last whole number that JavaScript keeps
MAX_DEPTH = 12  # graphs in attributes of nodes of graphs
MAX_EXPANDED_NODES = 1_000_000  # after every function call is replaced by the function's body


def check(model: OnnxModel) -> None:
    """Raise FormatError or UnsupportedError, naming node and operator, for a model that is bad."""
    if not model.opsets:
        raise FormatError("opset_import", got="none", need="the version of each operator set")
    _check_graph(model.graph, None, "graph", 0)
    for function in model.functions:
        where = f"function {short(function.name)}"
        scope = _Scope(_once(function.inputs, where, "input"))
        _check_nodes(function.nodes, scope, where, 0)
        _need_defined(function.outputs, scope, where)
    _check_functions(model)


def tensor_nbytes(dtype: str, shape: tuple[int, ...], where: str) -> int:
    """Bytes of a tensor. Raises FormatError for sizes that no tensor has."""
    if len(shape) > MAX_RANK or any(size < 0 for size in shape):
        raise FormatError("shape", got=short(str(list(shape))),
                          need=f"at most {MAX_RANK} sizes, none negative", where=where)  # fmt: skip
    nbytes = -(-prod(shape) * BITS.get(dtype, 8) // 8)
    if nbytes > MAX_NBYTES or max(shape, default=0) > MAX_NBYTES:
        raise FormatError("shape", got=f"{dtype} {list(shape)}", need=f"at most {MAX_NBYTES} bytes",
                          where=where)  # fmt: skip
    return nbytes


def check_location(location: str, where: str) -> str:
    """The normal form of a path of external data: relative, inside the folder, with `/`."""
    parts = [part for part in location.replace("\\", "/").split("/") if part not in ("", ".")]
    absolute = location.startswith(("/", "\\")) or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", location)
    if not parts or absolute or ".." in parts or any(ord(each) < 32 for each in location):
        raise FormatError("external data", got=f"location {short(location)}",
                          need="a path inside the model's folder", where=where)  # fmt: skip
    return "/".join(parts)


class _Named(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def domain(self) -> str: ...
    @property
    def op_type(self) -> str: ...


def describe(index: int, node: _Named, where: str) -> str:
    """`graph, node 3 'conv1' (Conv)`"""
    domain = f"{short(node.domain)[1:-1]}." if node.domain else ""
    return f"{where}, node {index} {short(node.name)} ({domain}{short(node.op_type)[1:-1]})"


def short(text: str) -> str:
    """Text of a file, quoted and cut for a message."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def graphs_of(node: OnnxNode) -> Iterator[tuple[str, OnnxGraph]]:
    """The graphs among a node's attributes, with the attributes' names."""
    for name, attribute in node.attributes.items():
        if isinstance(attribute, OnnxGraph):
            yield name, attribute
        elif isinstance(attribute, tuple):
            yield from ((name, each) for each in attribute if isinstance(each, OnnxGraph))


def tensors_of(model: OnnxModel) -> Iterator[OnnxTensor]:
    """Every tensor of a model, in the order of the file: initializers, and those in attributes."""
    yield from _graph_tensors(model.graph)
    for function in model.functions:
        yield from _node_tensors(function.nodes)


def _graph_tensors(graph: OnnxGraph) -> Iterator[OnnxTensor]:
    yield from graph.initializers
    yield from _node_tensors(graph.nodes)


def _node_tensors(nodes: Iterable[OnnxNode]) -> Iterator[OnnxTensor]:
    for node in nodes:
        for attribute in node.attributes.values():
            yield from _attribute_tensors(attribute)


def _attribute_tensors(attribute: OnnxAttribute) -> Iterator[OnnxTensor]:
    if isinstance(attribute, OnnxTensor):
        yield attribute
    elif isinstance(attribute, OnnxGraph):
        yield from _graph_tensors(attribute)
    elif isinstance(attribute, tuple):
        for each in attribute:
            if isinstance(each, OnnxTensor | OnnxGraph):
                yield from _attribute_tensors(each)


def with_tensors(model: OnnxModel, change: Callable[[OnnxTensor], OnnxTensor]) -> OnnxModel:
    """The model with `change` of every tensor in its place."""
    functions = tuple(replace(each, nodes=_changed(each.nodes, change)) for each in model.functions)
    return replace(model, graph=_changed_graph(model.graph, change), functions=functions)


def _changed_graph(graph: OnnxGraph, change: Callable[[OnnxTensor], OnnxTensor]) -> OnnxGraph:
    return replace(graph, initializers=tuple(map(change, graph.initializers)),
                   nodes=_changed(graph.nodes, change))  # fmt: skip


def _changed(
    nodes: tuple[OnnxNode, ...], change: Callable[[OnnxTensor], OnnxTensor]
) -> tuple[OnnxNode, ...]:
    def attribute(given: Any) -> Any:
        if isinstance(given, OnnxTensor):
            return change(given)
        if isinstance(given, OnnxGraph):
            return _changed_graph(given, change)
        return tuple(map(attribute, given)) if isinstance(given, tuple) else given

    return tuple(
        replace(node, attributes={name: attribute(each) for name, each in node.attributes.items()})
        for node in nodes
    )


class _Scope:
    """Names that have a value: those of a graph so far, and of the graphs around it."""

    def __init__(self, names: Iterable[str], outer: _Scope | None = None) -> None:
        self.names, self.outer = set(names), outer

    def __contains__(self, name: str) -> bool:
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.names:
                return True
            scope = scope.outer
        return False


def _check_graph(graph: OnnxGraph, outer: _Scope | None, where: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise UnsupportedError("graphs nested too deep", got=f"more than {MAX_DEPTH}",
                               need=f"at most {MAX_DEPTH}", where=where)  # fmt: skip
    names = _once((value.name for value in graph.inputs), where, "input")
    # Before IR version 4, an initializer is an input's default.
    names |= _once((tensor.name for tensor in graph.initializers), where, "initializer")
    scope = _Scope(names, outer)
    _check_nodes(graph.nodes, scope, where, depth)
    _need_defined((value.name for value in graph.outputs), scope, where)


def _check_nodes(nodes: tuple[OnnxNode, ...], scope: _Scope, where: str, depth: int) -> None:
    """Check nodes in their order, and add what they define to `scope`."""
    for index, node in enumerate(nodes):
        for name in node.inputs:
            if name and name not in scope:
                raise FormatError(
                    f"input {short(name)}", got="a name without a value so far",
                    need="a value from an earlier node: no cycle, nodes in order",
                    where=describe(index, node, where),
                )  # fmt: skip
        for name, graph in graphs_of(node):
            inner = f"{describe(index, node, where)} {short(name)[1:-1]}"
            _check_graph(graph, scope, inner, depth + 1)
        for name in filter(None, node.outputs):
            if name in scope.names:
                raise FormatError(f"output {short(name)}", got="a second definition", need="one",
                                  where=describe(index, node, where))  # fmt: skip
            scope.names.add(name)


def _once(names: Iterable[str], where: str, what: str) -> set[str]:
    seen: set[str] = set()
    for name in names:
        if name in seen or not name:
            raise FormatError(f"{what} {short(name)}", got="a second one" if name else "no name",
                              need="names that differ", where=where)  # fmt: skip
        seen.add(name)
    return seen


def _need_defined(names: Iterable[str], scope: _Scope, where: str) -> None:
    for name in names:
        if name not in scope:
            raise FormatError(f"output {short(name)}", got="a name without a value",
                              need="the name of a value", where=where)  # fmt: skip


def _check_functions(model: OnnxModel) -> None:
    """No function calls itself, and calls do not multiply beyond the limit."""
    bodies: dict[tuple[str, str], dict[str, OnnxFunction]] = {}
    for each in model.functions:
        overloads = bodies.setdefault((each.domain, each.name), {})
        if overloads.setdefault(each.overload, each) is not each:
            raise FormatError(f"function {short(each.name)}", got="a second one", need="one")
    sizes: dict[tuple[str, str], int | None] = {}  # None: being counted

    def size(key: tuple[str, str], depth: int) -> int:
        found = sizes.get(key, 0)
        if found is None or depth > MAX_DEPTH:
            raise UnsupportedError(
                f"function {short(key[1])}", got="a call of itself, or too many in each other",
                need=f"no recursion, calls at most {MAX_DEPTH} deep",
            )  # fmt: skip
        if found == 0:
            sizes[key] = None
            found = max(1, *(counted(body.nodes, depth) for body in bodies[key].values()))
            sizes[key] = found
        return found

    def counted(nodes: Iterable[OnnxNode], depth: int) -> int:
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type)
            total += size(key, depth + 1) if key in bodies else 1
            total += sum(counted(graph.nodes, depth) for _, graph in graphs_of(node))
            if total > MAX_EXPANDED_NODES:
                raise UnsupportedError(
                    "nodes with functions expanded", got=f"more than {MAX_EXPANDED_NODES}",
                    need=f"at most {MAX_EXPANDED_NODES}",
                )  # fmt: skip
        return total

    for key in bodies:
        size(key, 0)
    counted(model.graph.nodes, 0)
