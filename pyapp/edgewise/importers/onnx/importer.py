"""ONNX -> graph, for given input shapes.

Every node's function (registry.py) adds WebNN operators to a builder that folds constants
(fold.py). A model's own functions are built in place; so is the body that ONNX itself gives for an
operator that the table lacks. Nothing reads a weight: what a shape depends on raises NeedsValues.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...arrays import encode
from ...dtypes import DType
from ...errors import EdgewiseError, FormatError, UnsupportedError
from ...formats.onnx import (
    OnnxAttribute,
    OnnxFunction,
    OnnxGraph,
    OnnxModel,
    OnnxNode,
    OnnxReference,
    OnnxTensor,
)
from ...formats.onnx_schema import body, has_body
from ...graph.graph import Graph, Source, Value
from .absent import cause
from .arrays import NAMES, SOURCES, dtype_of, read
from .fold import FoldingBuilder, NeedsValues, ints
from .registry import Call, find

if TYPE_CHECKING:
    from .arrays import Array

MAX_DEPTH = 32  # of functions that call functions
#: An inline tensor of up to this many bytes takes part in folding.
SMALL_NBYTES = 1 << 16
#: What an operator's function runs into with inputs and attributes that no such operator has.
MISFITS = (ArithmeticError, AttributeError, LookupError, MemoryError, StopIteration, TypeError,
           ValueError)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output as the model has it: `type` is ONNX's name of the caller's arrays."""

    name: str
    type: str
    dtype: DType
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Weight:
    """Where a source of the graph lies: `location` is a file beside the model, `""` itself."""

    type: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int
    location: str


@dataclass(frozen=True, slots=True)
class Imported:
    """A graph, its weights by name, and how a caller's arrays meet it."""

    graph: Graph
    tensors: Mapping[str, Weight]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def import_onnx(
    model: OnnxModel,
    shapes: Mapping[str, tuple[int, ...]],
    values: Mapping[str, Array] | None = None,
) -> Imported:
    """The graph of `model` for inputs of `shapes`.

    values  arrays of inputs, and of stored tensors, that the shapes inside depend on: they are
            constants of this graph, and such an input is no input of it

    Raises NeedsValues when one is missing in `values`, UnsupportedError for all the operators
    that cannot be done, FormatError for a model that is not well-formed.
    """
    return Importer(model, values or {}).run(shapes)


def check_operators(model: OnnxModel) -> None:
    """Raise UnsupportedError that names every operator of `model` that cannot be done.

    Those of branches and bodies are left for later: one that is never run may stay unknown.
    """
    Importer(model, {}).check(model.graph.nodes, Scope(model.opsets))


class Scope:
    """Names and what they stand for, in a graph, branch, loop body or function."""

    def __init__(self, opsets: Mapping[str, int], outer: Scope | None = None) -> None:
        self.opsets, self.outer = opsets, outer
        self.values: dict[str, Value] = {}
        self.types: dict[str, str] = {}

    def get(self, name: str) -> Value | None:
        """The value of `name`, here or outside."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope.outer
        return None

    def type_of(self, name: str) -> str | None:
        """ONNX's type of `name` where ours does not say it."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.types.get(name)
            scope = scope.outer
        return None

    def put(self, name: str, value: Value, type: str | None = None) -> None:
        """Let `name` stand for `value`."""
        if name in self.values:
            raise FormatError(f"value {name!r}", got="a second definition", need="one")
        self.values[name] = value
        if type is not None and type != NAMES[value.dtype]:
            self.types[name] = type


class Importer:
    """One import; `run` once."""

    def __init__(self, model: OnnxModel, values: Mapping[str, Array]) -> None:
        self.model, self.given = model, values
        self.b = FoldingBuilder(model.graph.name or "onnx")
        self.functions = {(each.domain, each.name): each for each in model.functions}
        self.tensors: dict[str, Weight] = {}
        self.constants: dict[int, Value] = {}
        #: constants that lie in a file, and the tensor that each is
        self.files: dict[str, OnnxTensor] = {}
        self.iterations = 0  # of all loops so far: see control.py
        self.depth = 0

    def run(self, shapes: Mapping[str, tuple[int, ...]]) -> Imported:
        graph = self.model.graph
        scope = Scope(self.model.opsets)
        self.check(graph.nodes, scope)
        self.initialise(graph, scope)
        inputs = list(self._inputs(graph, shapes, scope))
        self.nodes(graph.nodes, scope)
        outputs = []
        for each in graph.outputs:
            value = self.find(each.name, scope, f"outputs of {graph.name!r}")
            self.b.result(each.name, value)
            type = each.dtype or scope.type_of(each.name) or NAMES[value.dtype]
            outputs.append(Port(each.name, type, value.dtype, ints(value)))
        built = self.b.build()
        used = {each.source.tensor for each in built.constants.values() if each.source}
        tensors = {name: each for name, each in self.tensors.items() if name in used}
        return Imported(built, tensors, tuple(inputs), tuple(outputs))

    def _inputs(
        self, graph: OnnxGraph, shapes: Mapping[str, tuple[int, ...]], scope: Scope
    ) -> Iterable[Port]:
        for each in graph.inputs:
            if each.name in scope.values:
                continue  # an initializer with a default for an input: old models
            dtype = dtype_of(each.dtype, f"input {each.name!r}")
            if each.name in self.given:
                scope.put(each.name, self.b.literal(self.given[each.name], dtype), each.dtype)
                continue
            shape = shapes.get(each.name)
            if shape is None:
                raise FormatError(f"input {each.name!r}", got="no shape", need="one")
            scope.put(each.name, self.b.input(each.name, dtype, shape), each.dtype)
            yield Port(each.name, each.dtype or "", dtype, shape)

    def initialise(self, graph: OnnxGraph, scope: Scope) -> None:
        """Define the initializers of `graph`."""
        for tensor in graph.initializers:
            if tensor.dtype == "STRING":
                continue  # a node that uses it will say so
            scope.put(tensor.name, self.constant(tensor), tensor.dtype)

    def constant(self, tensor: OnnxTensor) -> Value:
        """A tensor as a value: known if it is small, else by where it lies."""
        made = self.constants.get(id(tensor))  # a loop's body defines its own in every turn
        if made is None:
            made = self.constants[id(tensor)] = self._constant(tensor)
        return made

    def _constant(self, tensor: OnnxTensor) -> Value:
        dtype = dtype_of(tensor.dtype, f"tensor {tensor.name!r}")
        if tensor.data is not None:
            array = read(tensor)
            if len(tensor.data) <= SMALL_NBYTES:
                return self.b.literal(array, dtype)
            return self.b.constant(dtype, tensor.shape, data=encode(array, dtype))
        if tensor.key in self.given:
            return self.b.literal(self.given[tensor.key], dtype)
        if tensor.dtype not in SOURCES:
            raise NeedsValues(frozenset({tensor.key}))
        return self.stored(tensor, SOURCES[tensor.dtype], dtype, tensor.shape)

    def stored(self, tensor: OnnxTensor, kind: str, dtype: DType, shape: tuple[int, ...]) -> Value:
        """The bytes of a tensor in a file, as a constant of `dtype` and `shape`."""
        assert tensor.location is not None, f"{tensor.name=} has neither data nor location"
        key = tensor.key if kind == SOURCES[tensor.dtype] else f"{tensor.key} as {kind}"
        place = (tensor.offset, tensor.nbytes, tensor.location)
        self.tensors[key] = Weight(kind, shape, *place)
        value = self.b.weight(dtype, shape, Source(key, kind, "values"))
        self.files[value.name] = tensor
        return value

    def find(self, name: str, scope: Scope, where: str) -> Value:
        """The value of `name`. Raises FormatError if nothing defined it."""
        value = scope.get(name)
        if value is None:
            raise FormatError(f"value {name!r}", got="no definition before its use", need="one",
                              where=where)  # fmt: skip
        return value

    def check(self, nodes: Sequence[OnnxNode], scope: Scope) -> None:
        """Raise UnsupportedError that names every operator among `nodes` that cannot be done."""
        missing: dict[str, list[str]] = {}
        for node, opsets in self._every(nodes, scope.opsets, ()):
            opset = opset_of(node.domain, opsets)
            if not self._known(node, opset):
                why = cause(node.domain, node.op_type)
                name = f"{node.domain or 'ai.onnx'}.{node.op_type} (opset {opset}"
                name += f": {why})" if why else ")"
                missing.setdefault(name, []).append(node.name or ", ".join(node.outputs))
        if missing:
            found = "; ".join(f"{name} at {', '.join(nodes[:3])}{' …' if nodes[3:] else ''}"
                              for name, nodes in sorted(missing.items()))  # fmt: skip
            raise UnsupportedError("ONNX operators", got=found, need="operators of docs/onnx.md",
                                   where=self.model.graph.name)  # fmt: skip

    def _every(
        self,
        nodes: Sequence[OnnxNode],
        opsets: Mapping[str, int],
        inside: tuple[tuple[str, str], ...],
    ) -> Iterable[tuple[OnnxNode, Mapping[str, int]]]:
        """`nodes`, and instead of a model's own function what is in it."""
        for node in nodes:
            key = (node.domain, node.op_type)
            function = self.functions.get(key)
            if key in inside:
                raise FormatError(f"function {node.op_type!r}", got="a call of itself", need="none")
            if function is None:
                yield node, opsets
            else:
                yield from self._every(function.nodes, function.opsets, (*inside, key))

    def _known(self, node: OnnxNode, opset: int) -> bool:
        """Whether the table has the operator, or ONNX gives a body for it."""
        return find(node.domain, node.op_type, opset) is not None or has_body(
            node.domain, node.op_type, opset
        )

    def place(self, node: OnnxNode) -> str:
        """Where a node is, for a message."""
        return f"node {node.name or ', '.join(node.outputs)!r} ({node.op_type})"

    def nodes(self, nodes: Sequence[OnnxNode], scope: Scope) -> None:
        """Build `nodes` in their order."""
        for node in nodes:
            try:
                self.node(node, scope)
            except EdgewiseError as error:
                if error.where is not None and error.where.startswith("node "):
                    raise
                raise type(error)(error.what, got=error.got, need=error.need,
                                  where=self.place(node), fix=error.fix) from error  # fmt: skip

    def node(self, node: OnnxNode, scope: Scope) -> None:
        """Build one node and define its outputs."""
        inputs = tuple(self.find(name, scope, self.place(node)) if name else None
                       for name in node.inputs)  # fmt: skip
        own = self.functions.get((node.domain, node.op_type))
        opset = opset_of(node.domain, scope.opsets)
        function = None if own else find(node.domain, node.op_type, opset)
        call = Call(node, inputs, self.b, opset, scope, self)
        with self.b.scope(node.name or node.op_type):
            try:
                made = function(call) if function else self._expanded(call, own)
            except MISFITS as error:
                raise FormatError(
                    f"ONNX {node.op_type}", got=f"{type(error).__name__}: {error}"[:80],
                    need="inputs and attributes that belong together", where=self.place(node),
                ) from error  # fmt: skip
        values = (made,) if made is None or isinstance(made, Value) else tuple(made)
        for place, name in enumerate(node.outputs):
            if not name:
                continue
            value = values[place] if place < len(values) else None
            if value is None:
                raise UnsupportedError(f"ONNX {node.op_type}", got=f"output {place}",
                                       need="other outputs", where=self.place(node))  # fmt: skip
            scope.put(name, value, call.types.get(place))

    def _expanded(self, call: Call, own: OnnxFunction | None) -> Sequence[Value | None]:
        """The outputs of a model's own function, or of the body that ONNX gives."""
        node = call.node
        if own is not None:
            return self.call_function(own, call)
        types = [None if value is None else (call.type_of(place), ints(value))
                 for place, value in enumerate(call.inputs)]  # fmt: skip
        function = body(node, call.opset, types)
        if function is None:
            self.check([node], call.scope)
            raise call.unsupported("attributes that are tensors or graphs")
        return self.call_function(function, call)

    def call_function(self, function: OnnxFunction, call: Call) -> Sequence[Value | None]:
        """The outputs of a function, built in place of the call."""
        if self.depth >= MAX_DEPTH:
            raise FormatError(f"function {function.name!r}", got=f"calls {MAX_DEPTH} deep",
                              need="fewer")  # fmt: skip
        attributes = {name: default for name, default in function.attributes.items()
                      if default is not None} | dict(call.node.attributes)  # fmt: skip
        scope = Scope(function.opsets)
        for place, name in enumerate(function.inputs):
            value = call.get(place)
            if value is not None:
                scope.put(name, value, call.type_of(place))
        absent = frozenset(name for name in function.inputs if scope.get(name) is None)
        self.depth += 1
        self.nodes([_bound(each, attributes, absent) for each in function.nodes], scope)
        self.depth -= 1
        for place, name in enumerate(function.outputs):
            if (type := scope.type_of(name)) is not None:
                call.types[place] = type
        return [scope.get(name) for name in function.outputs]

    def body(
        self, graph: OnnxGraph, scope: Scope, inputs: Sequence[tuple[Value, str | None]]
    ) -> list[tuple[Value, str | None]]:
        """The outputs of a branch or loop body, which sees the names of `scope`.

        Values come with ONNX's type where ours does not say it.
        """
        inner = Scope(scope.opsets, scope)
        self.check(graph.nodes, inner)
        self.initialise(graph, inner)
        for each, (value, type) in zip(graph.inputs, inputs, strict=True):
            inner.put(each.name, value, type or each.dtype)
        self.nodes(graph.nodes, inner)
        return [(self.find(each.name, inner, graph.name), inner.type_of(each.name))
                for each in graph.outputs]  # fmt: skip


def opset_of(domain: str, opsets: Mapping[str, int]) -> int:
    """The version of a domain that is in force; 1 for one that is not declared."""
    return opsets.get(domain, 1)


def _bound(
    node: OnnxNode, attributes: Mapping[str, OnnxAttribute], absent: frozenset[str]
) -> OnnxNode:
    """A node of a function's body for one call: its attributes, and no input that it lacks."""
    bound: dict[str, OnnxAttribute] = {}
    for name, attribute in node.attributes.items():
        if isinstance(attribute, OnnxReference):
            if attribute.name in attributes:
                bound[name] = attributes[attribute.name]
        elif isinstance(attribute, OnnxGraph):
            nodes = tuple(_bound(each, attributes, absent) for each in attribute.nodes)
            bound[name] = replace(attribute, nodes=nodes)
        else:
            bound[name] = attribute
    inputs = tuple("" if name in absent else name for name in node.inputs)
    return replace(node, inputs=inputs, attributes=bound)
