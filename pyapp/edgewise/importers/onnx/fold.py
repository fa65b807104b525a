"""A graph builder that computes at once what depends on small constants alone.

So an ONNX model's Shape, Gather and Concat chains never become nodes. It knows the array of a
small constant (`known`), and for every other value the inputs and weights that it depends on
(`sources`), so that an importer that needs a value can say whose it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

from ...arrays import decode, encode, numpy_name
from ...dtypes import DType
from ...errors import UnsupportedError
from ...graph.builder import GraphBuilder
from ...graph.graph import Graph, Node, Source, Value
from ...graph.verify import verify
from ...ops import OPS
from ...ops.base import Attr, Op, infer

if TYPE_CHECKING:
    from .arrays import Array

#: The largest result that is computed here: more is cheaper on the device than in the plan.
LARGEST = 1 << 20
#: Elements of a tensor, and of a table that an operator's function makes: more is no real model.
MAX_ELEMENTS, MAX_TABLE = 1 << 31, 1 << 24
MAX_NODES = 500_000


class NeedsValues(Exception):
    """To know the shapes, the importer needs the values of these inputs and stored tensors."""

    def __init__(self, names: frozenset[str]) -> None:
        super().__init__(", ".join(sorted(names)))
        self.names = names


class FoldingBuilder(GraphBuilder):
    """See the module. Shapes are integers: an ONNX graph is built for given input shapes."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._known: dict[str, Array] = {}
        self._sources: dict[str, frozenset[str]] = {}
        self._weights: dict[str, Value] = {}

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Callable[..., Value]: ...

        def split(self, *args: Any, **kwargs: Any) -> tuple[Value, ...]: ...

        def lstm(self, *args: Any, **kwargs: Any) -> tuple[Value, ...]: ...

        def lstm_cell(self, *args: Any, **kwargs: Any) -> tuple[Value, ...]: ...

        def gru(self, *args: Any, **kwargs: Any) -> tuple[Value, ...]: ...

    def input(self, name: str, dtype: DType, shape: Sequence[Any]) -> Value:
        value = super().input(name, dtype, shape)
        self._sources[value.name] = frozenset({name})
        return value

    def literal(self, array: Any, dtype: DType) -> Value:
        """A constant whose array is known."""
        import numpy as np

        made = np.asarray(array, numpy_name(dtype))
        value = self.constant(dtype, made.shape, data=encode(made, dtype))
        self._known.setdefault(value.name, made)
        return value

    def weight(self, dtype: DType, shape: Sequence[int], source: Source) -> Value:
        """A constant that stays in its file."""
        value = self.constant(dtype, shape, source=source)
        self._sources[value.name] = frozenset({source.tensor})
        self._weights[source.tensor] = value
        return value

    def scalar(self, dtype: DType, number: float) -> Value:
        return self.literal(number, dtype)

    def vector(self, dtype: DType, numbers: Sequence[float]) -> Value:
        return self.literal(list(numbers), dtype)

    def known(self, value: Value) -> Array | None:
        """The array of `value` if it is known or lies inline, else None."""
        array = self._known.get(value.name)
        constant = self._constants.get(value.name)
        if array is None and constant is not None and constant.data is not None:
            flat = decode(constant.data, value.dtype, prod(ints(value)))
            array = self._known[value.name] = flat.reshape(ints(value))
        return array

    def _define(self, name: str, dtype: DType, shape: tuple[Any, ...]) -> Value:
        if prod(_ints(shape)) > MAX_ELEMENTS:
            raise UnsupportedError("a tensor", got=f"{dtype} {list(shape)}",
                                   need=f"at most {MAX_ELEMENTS} elements")  # fmt: skip
        return super()._define(name, dtype, shape)

    def sources(self, value: Value) -> frozenset[str]:
        """The inputs and weights that `value` depends on."""
        return self._sources.get(value.name, frozenset())

    def array(self, value: Value) -> Array:
        """The array of `value`. Raises NeedsValues where it depends on what is not known."""
        array = self.known(value)
        if array is None:
            raise NeedsValues(self.sources(value))
        return array

    def is_constant(self, value: Value) -> bool:
        """Whether `value` is inline or lies in a file: composites take weights so."""
        return value.name in self._constants

    def data(self, value: Value) -> bytes | None:
        """The bytes of an inline constant."""
        constant = self._constants.get(value.name)
        return None if constant is None else constant.data

    def size_of(self, source: str) -> int:
        """How many elements the input or weight has that `sources` names."""
        value = self._values.get(source) or self._weights[source]
        return prod(ints(value))

    def result(self, name: str, value: Value) -> None:
        """`output`, of a node's result always: targets have no buffer for a constant's output."""
        if value.name in self._constants or value.name in self._inputs:
            value = super().apply(OPS["identity"], [value], {})
        self.output(name, value)

    def build(self) -> Graph:
        """The graph, without the nodes and constants that became unnecessary, verified."""
        graph = self.collect()
        needed = {*graph.outputs.values()}
        kept: list[Node] = []
        for node in reversed(graph.nodes):
            if needed.intersection(node.outputs):
                kept.append(node)
                needed.update(name for name in node.inputs if name is not None)
        constants = {name: each for name, each in graph.constants.items() if name in needed}
        made = {name for node in kept for name in node.outputs}
        used = made.union(graph.inputs, constants)
        values = {name: each for name, each in graph.values.items() if name in used}
        built = replace(graph, nodes=tuple(kept[::-1]), constants=constants, values=values)
        verify(built)
        return built

    def apply(self, op: Op, values: Sequence[Value | None], attrs: dict[str, Attr]) -> Any:
        arrays = [None if value is None else self._known.get(value.name) for value in values]
        if all(array is not None or value is None
               for array, value in zip(arrays, values, strict=True)):  # fmt: skip
            if op.reference is None and op.decompose is not None:
                return op.decompose(self, *values, **attrs)
            types = infer(op, values, attrs, "/".join(self._origin) or self._name)
            if all(prod(_ints(shape)) <= LARGEST for _, shape in types):
                return self._compute(op, arrays, attrs, [dtype for dtype, _ in types])
        if op.name == "identity":
            return values[0]
        if op.name == "reshape" and (view := self._view(values[0], attrs["newShape"])) is not None:
            return view
        if len(self._nodes) >= MAX_NODES:
            raise UnsupportedError("nodes of a graph", got=f"more than {MAX_NODES}",
                                   need=f"at most {MAX_NODES}")  # fmt: skip
        made = super().apply(op, values, attrs)
        found = frozenset().union(*(self.sources(value) for value in values if value is not None))
        for value in made if op.several else (made,):
            self._sources[value.name] = found
        return made

    def _compute(
        self, op: Op, arrays: Sequence[Array | None], attrs: dict[str, Attr], dtypes: list[DType]
    ) -> Any:
        import numpy as np

        assert op.reference is not None, f"{op.name=} has no reference"
        named: dict[str, Any] = {name: numpy_name(attr) if isinstance(attr, DType) else attr
                                 for name, attr in attrs.items()}  # fmt: skip
        if op.typed:
            named["dtype"] = dtypes[0]
        with np.errstate(all="ignore"):
            made = op.reference(np, *arrays, **named)
        if op.several:
            return tuple(self.literal(each, type) for each, type in zip(made, dtypes, strict=True))
        return self.literal(made, dtypes[0])

    def _view(self, value: Value | None, shape: Any) -> Value | None:
        """`value` with another shape: itself, or a weight's other view; None for what computes."""
        assert value is not None, "a reshape has an input"
        constant = self._constants.get(value.name)
        if value.shape == shape:
            return value
        if constant is None or prod(ints(value)) != prod(shape):
            return None
        if constant.source is not None:
            return self.weight(value.dtype, shape, constant.source)
        view = self.constant(value.dtype, shape, data=constant.data)
        self._sources[view.name] = self.sources(value)
        return view


def need_room(*sizes: int) -> None:
    """Raise UnsupportedError for a table of `sizes` that is too large to make here."""
    if any(size < 0 for size in sizes) or prod(sizes) > MAX_TABLE:
        raise UnsupportedError("a table of places", got=f"sizes {list(sizes)}",
                               need=f"at most {MAX_TABLE} elements, no size negative")  # fmt: skip


def ints(value: Value) -> tuple[int, ...]:
    """The shape of a value of a graph without symbols."""
    return _ints(value.shape)


def _ints(shape: Sequence[Any]) -> tuple[int, ...]:
    assert all(isinstance(dim, int) for dim in shape), f"{shape=}"
    return tuple(shape)
