"""Removes what no result needs: nodes, constants and values. Inputs and states stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..graph.graph import Graph, Node
from .base import Note, PassResult


def clean(graph: Graph) -> PassResult:
    """Drop the nodes that neither an output nor an update depends on. One pass, backwards."""
    needed = {*graph.outputs.values(), *graph.updates.values()}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if needed.intersection(node.outputs):
            kept.append(node)
            needed.update(name for name in node.inputs if name is not None)
    out = with_nodes(graph, kept[::-1])
    changed = len(out.values) != len(graph.values)
    n_nodes = len(graph.nodes) - len(kept)
    text = f"did drop {n_nodes} nodes and {len(graph.values) - len(out.values)} values"
    notes = (Note("clean", graph.name, text),) if changed else ()
    return PassResult(out if changed else graph, changed, notes)


def with_nodes(graph: Graph, nodes: Sequence[Node]) -> Graph:
    """`graph` with other nodes, and without the constants and values that these do not use."""
    used = {*graph.inputs, *graph.states, *graph.outputs.values(), *graph.updates.values()}
    for node in nodes:
        used.update(node.outputs)
        used.update(name for name in node.inputs if name is not None)
    return replace(
        graph,
        nodes=tuple(nodes),
        constants={name: each for name, each in graph.constants.items() if name in used},
        values={name: value for name, value in graph.values.items() if name in used},
    )
