"""What a pass is: a function from a graph to a graph that says what it did and what it declined.

A pass keeps what the graph computes, gives the same graph object back when it changed nothing,
and changes nothing when it is run on its own result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ..graph.graph import Graph


@dataclass(frozen=True, slots=True)
class Note:
    """One decision: `text` begins with "did" or with "declined because"."""

    rule: str
    origin: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule} at {self.origin}: {self.text}"


@dataclass(frozen=True, slots=True)
class PassResult:
    """A pass's graph, whether it differs from the one given, and the decisions."""

    graph: Graph
    changed: bool
    notes: tuple[Note, ...] = ()


Pass: TypeAlias = Callable[[Graph], PassResult]
