"""The rules of a graph, checked: run after building, after parsing and between passes.

Each value is defined once and before its use; every node's outputs are what its row infers; a
state has one version at a time, since targets keep all its versions in the same buffer.
"""

from __future__ import annotations

from ..dims import Expr
from ..errors import DTypeError, GraphError, ShapeError
from ..ops import OPS
from ..ops.base import infer
from .graph import PARTS, Attr, Constant, Graph, Node, Value, symbols_of


def verify(graph: Graph) -> None:
    """Raise the first broken rule: GraphError, ShapeError or DTypeError, naming the origin."""
    defined: set[str] = set()
    for name in (*graph.inputs, *graph.states, *graph.constants):
        _define(graph, name, defined, graph.name)
    for value in graph.values.values():
        _check_symbols(graph, value.shape, value.name)
    for name, constant in graph.constants.items():
        _check_constant(graph, name, constant)
    versions = _Versions(graph)
    for node in graph.nodes:
        where = _place(graph, node)
        _check_node(graph, node, defined, where)
        versions.step(node, where)
    if len(defined) != len(graph.values):
        raise GraphError("values", got=f"{sorted(set(graph.values) - defined)} that nothing makes",
                         need="a definition of each", where=graph.name)  # fmt: skip
    _check_results(graph, defined)
    versions.finish()


def _place(graph: Graph, node: Node) -> str:
    outputs = ", ".join(node.outputs)
    return f"{node.origin or graph.name} ({outputs} = {node.op})"


def _define(graph: Graph, name: str, defined: set[str], where: str) -> None:
    value = graph.values.get(name)
    if value is None or value.name != name:
        raise GraphError(f"value {name!r}", got="no entry in values", need="one by its name",
                         where=where)  # fmt: skip
    if name in defined:
        raise GraphError(f"value {name!r}", got="a second definition", need="one", where=where)
    defined.add(name)


def _check_symbols(graph: Graph, attr: Attr, where: str) -> None:
    for name, bound in symbols_of(attr):
        if graph.symbols.get(name) != bound:
            raise GraphError(f"symbol {name!r}", got=f"bound {bound}",
                             need=f"one of {dict(graph.symbols)}", where=where)  # fmt: skip


def _check_constant(graph: Graph, name: str, constant: Constant) -> None:
    value = constant.value
    if value != graph.values[name]:
        raise GraphError(f"constant {name!r}", got=str(value), need=str(graph.values[name]),
                         where=graph.name)  # fmt: skip
    if any(isinstance(dim, Expr) for dim in value.shape):
        raise ShapeError(f"constant {name!r}", got=str(value), need="integers", where=graph.name)
    if (constant.source is None) == (constant.data is None):
        raise GraphError(f"constant {name!r}", got="source and data, or neither", need="one",
                         where=graph.name)  # fmt: skip
    if constant.source is not None and constant.source.part not in PARTS:
        raise GraphError(f"constant {name!r}", got=f"part {constant.source.part!r}",
                         need=f"one of {PARTS}", where=graph.name)  # fmt: skip
    if constant.data is not None and len(constant.data) != n_bytes(value):
        raise ShapeError(f"constant {name!r}", got=f"{len(constant.data)} bytes",
                         need=f"{n_bytes(value)} for {value}", where=graph.name)  # fmt: skip


def n_bytes(value: Value) -> int:
    """Bytes of a value whose shape has no symbols."""
    total = 1
    for dim in value.shape:
        assert isinstance(dim, int), f"{value=}"
        total *= dim
    return value.dtype.nbytes(total)


def _check_node(graph: Graph, node: Node, defined: set[str], where: str) -> None:
    op = OPS.get(node.op)
    if op is None:
        raise GraphError("operator", got=repr(node.op), need="a row of the table", where=where)
    for name in node.inputs:
        if name is not None and name not in defined:
            raise GraphError(f"input {name!r}", got="no value before this node", need="one",
                             where=where)  # fmt: skip
    values = [None if name is None else graph.values[name] for name in node.inputs]
    for attr in node.attrs.values():
        _check_symbols(graph, attr, where)
    types = infer(op, values, node.attrs, where)
    if len(types) != len(node.outputs):
        raise GraphError("outputs", got=str(len(node.outputs)), need=str(len(types)), where=where)
    for name, (dtype, shape) in zip(node.outputs, types, strict=True):
        _define(graph, name, defined, where)
        value, want = graph.values[name], Value(name, dtype, shape)
        if value.dtype is not dtype:
            raise DTypeError(f"output {name!r}", got=str(value), need=str(want), where=where)
        if value.shape != shape:
            raise ShapeError(f"output {name!r}", got=str(value), need=str(want), where=where)


def _check_results(graph: Graph, defined: set[str]) -> None:
    for role, names in (("output", graph.outputs), ("update", graph.updates)):
        for public, name in names.items():
            if name not in defined:
                raise GraphError(f"{role} {public!r}", got=repr(name), need="a value",
                                 where=graph.name)  # fmt: skip
    for state, name in graph.updates.items():
        if state not in graph.states:
            raise GraphError(f"update {state!r}", got="no such state",
                             need=f"one of {list(graph.states)}", where=graph.name)  # fmt: skip
        old, new = graph.values[state], graph.values[name]
        if (old.dtype, old.shape) != (new.dtype, new.shape):
            raise ShapeError(f"update of {state!r}", got=str(new), need=str(old), where=graph.name)


class _Versions:
    """Follows the states through the operators that update them in place."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.state: dict[str, str] = {name: name for name in graph.states}  # version -> state
        self.newest: dict[str, str] = dict(self.state)  # state -> version

    def check_read(self, name: str, where: str) -> None:
        state = self.state.get(name)
        if state is not None and self.newest[state] != name:
            raise GraphError(f"read of {name!r}", got="a version that was updated in place",
                             need=f"the newest, {self.newest[state]!r}", where=where)  # fmt: skip

    def step(self, node: Node, where: str) -> None:
        for name in node.inputs:
            if name in self.state:
                self.check_read(name, where)
        for output, source in OPS[node.op].in_place.items():
            old, new = node.inputs[source], node.outputs[output]
            if old not in self.state:
                raise GraphError(f"{node.op} of {old!r}", got="no state",
                                 need="a state or a version of one", where=where)  # fmt: skip
            state = self.state[new] = self.state[old]
            if self.newest[state] != old:
                raise GraphError(f"{node.op} of {old!r}", got="two updates in one node",
                                 need="a state for each", where=where)  # fmt: skip
            self.newest[state] = new

    def finish(self) -> None:
        graph = self.graph
        for public, name in (*graph.outputs.items(), *graph.updates.items()):
            self.check_read(name, f"{graph.name}, result {public!r}")
        for state, newest in self.newest.items():
            if newest != state and graph.updates.get(state) != newest:
                raise GraphError(f"state {state!r}", got=f"update {graph.updates.get(state)!r}",
                                 need=f"its version {newest!r}", where=graph.name)  # fmt: skip
