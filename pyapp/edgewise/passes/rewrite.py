"""The graph under a rewriting pass: nodes by position, who makes a value and who reads it.

Rules ask it what they need to know to be safe and replace nodes in place; `graph` gives the
result. It is a working copy of one pass and never leaves it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..graph.graph import Graph, Node, Value
from ..ops import OPS
from ..ops.base import Shape
from .base import Note
from .clean import with_nodes


class Rewriter:
    """Positions stay what they were: a removed node leaves a gap."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[Node | None] = list(graph.nodes)
        self.notes: list[Note] = []
        self.maker: dict[str, int] = {}
        self.readers: dict[str, set[int]] = {}
        self.results = {*graph.outputs.values(), *graph.updates.values()}
        for position, node in enumerate(graph.nodes):
            self._enter(position, node)

    def _enter(self, position: int, node: Node) -> None:
        self.maker.update(dict.fromkeys(node.outputs, position))
        for name in node.inputs:
            if name is not None:
                self.readers.setdefault(name, set()).add(position)

    def positions(self, op: str) -> Iterator[tuple[int, Node]]:
        """The nodes of an operator in order, as they are when the iteration comes to them."""
        for position in range(len(self.nodes)):
            node = self.nodes[position]
            if node is not None and node.op == op:
                yield position, node

    def value(self, name: str) -> Value:
        """The value called `name`."""
        return self.graph.values[name]

    def made_by(self, name: str | None, op: str) -> Node | None:
        """The node that makes `name`, if it is an `op`."""
        position = self.maker.get(name or "")
        node = None if position is None else self.nodes[position]
        return node if node is not None and node.op == op else None

    def position(self, node: Node) -> int:
        """Where `node` stands."""
        return self.maker[node.outputs[0]]

    def users(self, name: str) -> list[Node]:
        """The nodes that read `name`, in order."""
        found = (self.nodes[position] for position in sorted(self.readers.get(name, ())))
        return [node for node in found if node is not None]

    def private(self, name: str) -> bool:
        """Whether exactly one node reads `name` and it is no result of the graph."""
        return len(self.readers.get(name, ())) == 1 and name not in self.results

    def reads_state(self, node: Node) -> bool:
        """Whether moving `node` down could pass an update of a state that it reads."""
        for name in node.inputs:
            if name in self.graph.states:
                return True
            made = self.maker.get(name or "")
            maker = None if made is None else self.nodes[made]
            if maker is not None and OPS[maker.op].in_place:
                return True
        return False

    def replace(self, position: int, node: Node, gone: Sequence[Node] = ()) -> None:
        """Put `node` at `position`, in the place of what is there, and remove the `gone`."""
        for place in (position, *map(self.position, gone)):
            self.remove(place)
        self.nodes[position] = node
        self._enter(position, node)

    def reshape(self, name: str, shape: Shape) -> None:
        """Give a value another shape, for a node that was replaced by one that makes it so."""
        value = Value(name, self.value(name).dtype, shape)
        self.graph = replace(self.graph, values={**self.graph.values, name: value})

    def remove(self, position: int) -> None:
        """Leave a gap at `position`."""
        old = self.nodes[position]
        for name in old.inputs if old else ():
            if name is not None:
                self.readers[name].discard(position)
        self.nodes[position] = None

    def did(self, rule: str, node: Node, text: str) -> None:
        """Note what a rule did at `node`."""
        self.notes.append(Note(rule, node.origin, f"did {text}"))

    def declined(self, rule: str, node: Node, because: str) -> None:
        """Note why a rule that nearly matched at `node` does not apply."""
        self.notes.append(Note(rule, node.origin, f"declined because {because}"))

    @property
    def changed(self) -> bool:
        """Whether a node was replaced."""
        return any(note.text.startswith("did") for note in self.notes)

    def result(self) -> Graph:
        """The graph as rewritten; the same object where nothing changed."""
        if not self.changed:
            return self.graph
        nodes = [node for node in self.nodes if node is not None]
        return with_nodes(self.graph, nodes)
