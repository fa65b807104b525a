"""Builds graphs: a method for every row of the operator table, in snake_case.

    b = GraphBuilder("double")
    x = b.input("x", DType.FLOAT32, (b.symbol("seq", 256), 64))
    b.output("y", b.add(x, x))
    graph = b.build()

A method takes its row's inputs (None for an optional one that is absent), then its attributes, in
the table's order or by keyword. It infers shapes and raises at once, naming the origin.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from .. import dims
from ..dims import Dim
from ..dtypes import DType
from ..errors import GraphError
from ..ops import OPS
from ..ops.base import REQUIRED, Attr, Op, coerce, infer, located, snake
from .graph import Constant, Graph, Node, Source, Value
from .verify import verify

STRUCT = {
    DType.FLOAT32: "f", DType.FLOAT16: "e", DType.INT64: "q", DType.UINT64: "Q",
    DType.INT32: "i", DType.UINT32: "I", DType.INT8: "b", DType.UINT8: "B",
}  # fmt: skip


class GraphBuilder:
    """Collects values and nodes; `build` gives the verified graph."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._symbols: dict[str, int] = {}
        self._values: dict[str, Value] = {}
        self._constants: dict[str, Constant] = {}
        self._inline: dict[tuple[DType, tuple[Dim, ...], bytes], Value] = {}
        self._inputs: list[str] = []
        self._states: list[str] = []
        self._nodes: list[Node] = []
        self._outputs: dict[str, str] = {}
        self._updates: dict[str, str] = {}
        self._origin: list[str] = []
        self._counts: dict[str, int] = {}

    @classmethod
    def continuing(cls, graph: Graph) -> Self:
        """A builder with the values of `graph`, for a pass that adds nodes between its nodes."""
        builder = cls(graph.name)
        builder._symbols, builder._values = dict(graph.symbols), dict(graph.values)
        builder._inputs, builder._states = list(graph.inputs), list(graph.states)
        builder._constants = dict(graph.constants)
        for each in graph.constants.values():
            if each.data is not None:
                key = (each.value.dtype, each.value.shape, each.data)
                builder._inline.setdefault(key, each.value)
        return builder

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Callable[..., Any]: ...

    def symbol(self, name: str, bound: int) -> Dim:
        """A dimension that is known when the program runs, at most `bound`."""
        if self._symbols.setdefault(name, bound) != bound:
            raise GraphError(f"symbol {name!r}", got=f"bound {bound}",
                             need=f"its bound {self._symbols[name]}")  # fmt: skip
        return dims.symbol(name, bound)

    def input(self, name: str, dtype: DType, shape: Sequence[Dim]) -> Value:
        """A tensor given anew to every run."""
        self._inputs.append(name)
        return self._define(name, dtype, tuple(shape))

    def state(self, name: str, dtype: DType, shape: Sequence[Dim]) -> Value:
        """A tensor that lives in the session; see `update`."""
        self._states.append(name)
        return self._define(name, dtype, tuple(shape))

    def constant(
        self,
        dtype: DType,
        shape: Sequence[Dim],
        *,
        source: Source | None = None,
        data: bytes | None = None,
        name: str | None = None,
    ) -> Value:
        """A value from the model file, or inline. Equal inline data without a name is shared."""
        key = (dtype, tuple(shape), data or b"")
        if data is not None and name is None and key in self._inline:
            return self._inline[key]
        value = self._define(name or self._fresh("constant"), dtype, tuple(shape))
        self._constants[value.name] = Constant(value, source, data)
        if data is not None:
            self._inline.setdefault(key, value)
        return value

    def vector(self, dtype: DType, numbers: Sequence[float]) -> Value:
        """`numbers` as an inline constant of rank 1."""
        data = struct.pack(f"<{len(numbers)}{STRUCT[dtype]}", *numbers)
        return self.constant(dtype, (len(numbers),), data=data)

    def scalar(self, dtype: DType, number: float) -> Value:
        """`number` as an inline constant of rank 0."""
        return self.constant(dtype, (), data=struct.pack(f"<{STRUCT[dtype]}", number))

    def arange(self, dtype: DType, stop: int) -> Value:
        """0, 1, … stop-1 as an inline constant."""
        return self.vector(dtype, range(stop))

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Nodes made inside have `name` in their origin; scopes nest."""
        self._origin.append(name)
        try:
            yield
        finally:
            self._origin.pop()

    def apply(self, op: Op, values: Sequence[Value | None], attrs: dict[str, Attr]) -> Any:
        """Add a node. Returns its output, or a tuple of them where the row has several."""
        origin = "/".join(self._origin)
        types = infer(op, values, attrs, origin or self._name)
        outputs = tuple(self._define(self._fresh(op.name), *type) for type in types)
        inputs = tuple(None if value is None else self._own(value) for value in values)
        names = tuple(value.name for value in outputs)
        self._nodes.append(Node(op.name, inputs, names, attrs, origin))
        return outputs if op.several else outputs[0]

    def output(self, name: str, value: Value) -> None:
        """Give `value` to the caller of every run, as `name`."""
        if name in self._outputs:
            raise GraphError(f"output {name!r}", got="a second value", need="one value")
        self._outputs[name] = self._own(value)

    def update(self, state: Value, value: Value) -> None:
        """Replace `state` by `value` at the end of a run."""
        if state.name in self._updates:
            raise GraphError(f"update of {state.name!r}", got="a second value", need="one value")
        self._updates[self._own(state)] = self._own(value)

    def adopt(self, node: Node) -> None:
        """Add a node of the graph that this builder continues, with its name and outputs."""
        self._nodes.append(node)

    def build(self) -> Graph:
        """The graph, verified."""
        graph = self.collect()
        verify(graph)
        return graph

    def collect(self) -> Graph:
        """The graph as it stands, for a pass that has more to do to it."""
        return Graph(
            self._name, dict(self._symbols), tuple(self._inputs), tuple(self._states),
            dict(self._constants), dict(self._values), tuple(self._nodes),
            dict(self._outputs), dict(self._updates),
        )  # fmt: skip

    def _own(self, value: Value) -> str:
        if self._values.get(value.name) is not value:
            raise GraphError(f"value {value.name!r}", got="a value of another builder",
                             need=f"one of {self._name!r}")  # fmt: skip
        return value.name

    def _define(self, name: str, dtype: DType, shape: tuple[Dim, ...]) -> Value:
        if name in self._values:
            raise GraphError(f"value {name!r}", got="a second definition", need="one")
        value = self._values[name] = Value(name, dtype, shape)
        return value

    def _fresh(self, stem: str) -> str:
        while True:
            count = self._counts[stem] = self._counts.get(stem, 0) + 1
            if f"{stem}_{count}" not in self._values:
                return f"{stem}_{count}"


def _method(op: Op) -> Callable[..., Any]:
    variadic = op.inputs[0].variadic
    inputs = [snake(row.name) for row in op.inputs]
    params = {snake(param.name): param for param in op.attrs}
    order = [snake(name) for name in op.order]

    def method(self: GraphBuilder, *args: Any, **kwargs: Any) -> Any:
        given = dict(zip(order, args, strict=False)) | kwargs
        if len(given) < len(args) + len(kwargs) or set(given) - set(order):
            got, need = f"{len(args)} and {sorted(kwargs)}", f"({', '.join(order)})"
            where = "/".join(self._origin)
            raise GraphError(f"{op.name} arguments", got=got, need=need, where=where)
        values = [given.get(name) for name in inputs]
        attrs: dict[str, Attr] = {}
        try:
            for name, param in params.items():
                attr = given.get(name, param.default)
                if attr is not None and attr is not REQUIRED:
                    attrs[param.name] = coerce(param, attr)
        except GraphError as error:
            raise located(error, op.name, "/".join(self._origin)) from None
        return self.apply(op, list(values[0] or ()) if variadic else values, attrs)

    method.__name__ = op.method
    method.__doc__ = f"{op.name}({', '.join(order)})"
    return method


for _op in OPS.values():
    setattr(GraphBuilder, _op.method, _method(_op))
