"""A plan for the reference: the graph as text, and where its weights lie in the model's file.

There is nothing to compile; the point is that a machine without a GPU gets its work in the same
form as any other, JSON that a device loads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from ..errors import FormatError
from ..graph.graph import Graph
from ..graph.text import parse_graph, print_graph

FORMAT = "edgewise-reference/1"


class Tensor(Protocol):
    """A tensor of a model file: ggml type, shape outermost first, absolute offset, bytes."""

    @property
    def type(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def offset(self) -> int: ...
    @property
    def nbytes(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor lies, and how to read it."""

    type: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class ReferencePlan:
    """A graph and the tensors that its constants are parts of."""

    graph: Graph
    tensors: Mapping[str, Place]

    def to_json(self) -> str:
        """One line of JSON."""
        places = {name: [t.type, t.shape, t.offset, t.nbytes] for name, t in self.tensors.items()}
        return json.dumps(
            {
                "format": FORMAT,
                "target": "reference",
                "graph": print_graph(self.graph),
                "tensors": places,
            }
        )

    @staticmethod
    def from_json(text: str) -> ReferencePlan:
        """The inverse of `to_json`. Raises FormatError."""
        data = json.loads(text)
        if data.get("format") != FORMAT:
            raise FormatError("a plan for the reference", got=repr(data.get("format")), need=FORMAT)
        places = {
            name: Place(type, tuple(shape), offset, nbytes)
            for name, (type, shape, offset, nbytes) in data["tensors"].items()
        }
        return ReferencePlan(parse_graph(data["graph"]), places)


def reference_plan(graph: Graph, tensors: Mapping[str, Tensor]) -> ReferencePlan:
    """The plan of `graph`, whose constants come from the file that `tensors` describe."""
    sources = {c.source.tensor for c in graph.constants.values() if c.source is not None}
    places = {
        name: Place(t.type, tuple(t.shape), t.offset, t.nbytes)
        for name, t in tensors.items()
        if name in sources
    }
    return ReferencePlan(graph, places)
