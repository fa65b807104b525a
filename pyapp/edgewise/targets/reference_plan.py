"""A plan for the reference: the graph as text, and where its weights lie in the model's file.

There is nothing to compile; the point is that a machine without a GPU gets its work in the same
form as any other, JSON that a device loads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Protocol

from ..dims import bound
from ..errors import FormatError
from ..graph.graph import Graph
from ..graph.text import parse_graph, print_graph

FORMAT = "edgewise-reference/2"


class Tensor(Protocol):
    """A tensor of a model file: its type, shape outermost first, absolute offset, bytes."""

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
    """Where a tensor lies, and how to read it: a ggml block type or one of `dtypes.PLAIN`."""

    type: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class ReferencePlan:
    """A graph and the tensors that its constants are parts of.

    programs  name -> values of symbols that are fixed in it: `decode` is the graph with seq = 1.
    feedback  output -> input: after a run the output's elements are the input's first ones.
    """

    graph: Graph
    tensors: Mapping[str, Place]
    programs: Mapping[str, Mapping[str, int]]
    feedback: Mapping[str, str]

    @property
    def nbytes(self) -> int:
        """Bytes of weights, inputs and states: what the graph takes besides NumPy's own."""
        held = [self.graph.values[name] for name in (*self.graph.inputs, *self.graph.states)]
        return sum(place.nbytes for place in self.tensors.values()) + sum(
            value.dtype.nbytes(prod(bound(dim) for dim in value.shape)) for value in held
        )

    def to_json(self) -> str:
        """One line of JSON."""
        places = {name: [t.type, t.shape, t.offset, t.nbytes] for name, t in self.tensors.items()}
        return json.dumps(
            {
                "format": FORMAT,
                "target": "reference",
                "graph": print_graph(self.graph),
                "tensors": places,
                "programs": {name: dict(fixed) for name, fixed in self.programs.items()},
                "feedback": dict(self.feedback),
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
        return ReferencePlan(parse_graph(data["graph"]), places, data["programs"], data["feedback"])


def reference_plan(
    graph: Graph,
    tensors: Mapping[str, Tensor],
    programs: Mapping[str, Mapping[str, int]],
    feedback: Mapping[str, str],
) -> ReferencePlan:
    """The plan of `graph`, whose constants come from the file that `tensors` describe."""
    sources = {c.source.tensor for c in graph.constants.values() if c.source is not None}
    places = {
        name: Place(t.type, tuple(t.shape), t.offset, t.nbytes)
        for name, t in tensors.items()
        if name in sources
    }
    return ReferencePlan(graph, places, programs, feedback)
