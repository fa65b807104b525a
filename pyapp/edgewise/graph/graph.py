"""The graph: plain frozen data that says what is to be computed, and nothing of where or how.

Values are named and assigned once, nodes stand in an order in which they can run. Symbols are
integers known only at run time. A state is an input that lives in the session; `updates` says
which value replaces it after a run. Imports nothing that touches a machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from ..dims import Dim, Expr, substitute
from ..ops.base import Attr, Shape, Value

Part = Literal["values", "codes", "scale", "minimum"]
PARTS: tuple[Part, ...] = get_args(Part)

__all__ = [
    "PARTS", "Attr", "Constant", "Graph", "Node", "Part", "Source", "Value", "bound_attr",
    "specialise", "symbols_of",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Source:
    """A part of a tensor of the model file. `type` is its ggml block type, such as `Q4_1`."""

    tensor: str
    type: str
    part: Part


@dataclass(frozen=True, slots=True)
class Constant:
    """A value known in advance: from the model file, or small and inline.

    Exactly one of `source` and `data` is set. `data` is little-endian; 4-bit elements are packed
    two to a byte, low nibble first.
    """

    value: Value
    source: Source | None
    data: bytes | None


@dataclass(frozen=True, slots=True)
class Node:
    """One operator applied. `inputs` has None for an optional input that is not given."""

    op: str
    inputs: tuple[str | None, ...]
    outputs: tuple[str, ...]
    attrs: Mapping[str, Attr]
    origin: str


@dataclass(frozen=True, slots=True)
class Graph:
    """A program: see the module. `values` has every value by name, constants included.

    symbols  name -> bound
    outputs  public name -> value
    updates  state -> the value that replaces it
    """

    name: str
    symbols: Mapping[str, int]
    inputs: tuple[str, ...]
    states: tuple[str, ...]
    constants: Mapping[str, Constant]
    values: Mapping[str, Value]
    nodes: tuple[Node, ...]
    outputs: Mapping[str, str]
    updates: Mapping[str, str]


def specialise(graph: Graph, bindings: Mapping[str, int]) -> Graph:
    """`graph` with the symbols in `bindings` replaced by integers, in shapes and attributes."""
    return replace(
        graph,
        symbols={name: top for name, top in graph.symbols.items() if name not in bindings},
        values={name: _bound_value(value, bindings) for name, value in graph.values.items()},
        nodes=tuple(_bound_node(node, bindings) for node in graph.nodes),
    )


def _bound_value(value: Value, bindings: Mapping[str, int]) -> Value:
    if all(isinstance(dim, int) for dim in value.shape):
        return value
    return Value(value.name, value.dtype, _bound_shape(value.shape, bindings))


def _bound_shape(shape: Shape, bindings: Mapping[str, int]) -> tuple[Dim, ...]:
    return tuple(substitute(dim, bindings) for dim in shape)


def _bound_node(node: Node, bindings: Mapping[str, int]) -> Node:
    attrs = {name: bound_attr(attr, bindings) for name, attr in node.attrs.items()}
    return node if attrs == node.attrs else replace(node, attrs=attrs)


def bound_attr(attr: Attr, bindings: Mapping[str, int]) -> Attr:
    """`attr` with its symbols replaced."""
    if isinstance(attr, Expr):
        return substitute(attr, bindings)
    if isinstance(attr, tuple):
        return tuple(bound_attr(each, bindings) for each in attr)
    return attr


def symbols_of(attr: Attr) -> Iterator[tuple[str, int]]:
    """The symbols in an attribute or a shape, with their bounds."""
    if isinstance(attr, Expr):
        yield from attr.bounds
    elif isinstance(attr, tuple):
        for each in attr:
            yield from symbols_of(each)
