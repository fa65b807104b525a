"""Gives every node of a graph its target, and cuts the graph into parts that run in order.

A graph has one target that is wanted and one for the rest. Nodes of one target are gathered into
as few parts as their order allows; small parts that two crossings would cost more than they save
go to the rest. Knows no target: why the wanted one refuses a node is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from ..dims import bound
from ..errors import UnsupportedError
from ..graph.graph import Graph, Node
from .base import Note
from .clean import with_nodes

#: A part with less work than this many additions and multiplications for each crossing is not
#: worth one: to read a tensor back and hand it on takes some 0.1 ms, in which even a slow
#: target does as much by itself.
WORTH = 100_000


@dataclass(frozen=True, slots=True)
class Part:
    """Nodes that run together. Inputs and outputs of its graph have their values' names."""

    target: str
    graph: Graph


@dataclass(frozen=True, slots=True)
class Placement:
    """The parts in the order in which they run.

    outputs   public name -> value: made by a part, or an input of the whole graph
    crossing  bytes that go from part to part in one run
    """

    parts: tuple[Part, ...]
    outputs: Mapping[str, str]
    crossing: int
    notes: tuple[Note, ...]


def place(graph: Graph, refused: Mapping[str, str], *, target: str, rest: str | None) -> Placement:
    """`graph` in parts for `target` and, where `target` refuses nodes, for `rest`.

    refused  first output of a node, or a constant that is an output -> why `target` does not
             take it
    rest     the other target, which takes every node; None where there is none

    Raises UnsupportedError, which names every refused operator, where there is no `rest`.
    """
    if rest is None and refused:
        raise _unsupported(graph, refused, target)
    away = {name: f"{target} refuses it: {reason}" for name, reason in refused.items()}
    while True:
        stages = _stages(graph, away)
        found = _islands(graph, stages)
        if not away or not found:
            break
        away |= found
    notes = [
        Note("place", node.origin, f"did put {node.op} on {rest} because {away[node.outputs[0]]}")
        for node in graph.nodes
        if node.outputs[0] in away
    ]
    parts, crossing = _parts(graph, stages, away, (target, rest or target))
    n_away, n_nodes = len(notes), len(graph.nodes)
    text = f"did put {n_nodes - n_away} nodes on {target}"
    if away:
        text += f" and {n_away} on {rest}, in {len(parts)} parts; {crossing} bytes cross in a run"
    notes.append(Note("place", graph.name, text))
    return Placement(parts, graph.outputs, crossing, tuple(notes))


def _unsupported(graph: Graph, refused: Mapping[str, str], target: str) -> UnsupportedError:
    nodes = [node for node in graph.nodes if node.outputs[0] in refused]
    lines = {f"{node.op} ({refused[node.outputs[0]]})": node.origin for node in nodes}
    constants = refused.keys() & graph.constants.keys()
    lines |= {f"constant {name!r} ({refused[name]})": "" for name in sorted(constants)}
    return UnsupportedError(
        f"graph {graph.name!r} on {target}",
        got="; ".join(lines),
        need="operators that it takes",
        where=", ".join(dict.fromkeys(filter(None, lines.values()))) or None,
        fix="let the rest run on another target (splitting=True), or choose one for all",
    )


def _stages(graph: Graph, away: Mapping[str, str]) -> list[int]:
    """A stage for each node: even ones for the wanted target, odd ones for the rest.

    A node stands in the earliest stage of its target after what it needs; so there are as few
    stages as the longest chain of changes of target.
    """
    made: dict[str, int] = {}
    stages = []
    for node in graph.nodes:
        parity = 1 if node.outputs[0] in away else 0
        after = max((made.get(name, -1) for name in node.inputs if name), default=-1)
        stage = max(after, 0)
        stage += stage % 2 != parity
        stages.append(stage)
        made.update(dict.fromkeys(node.outputs, stage))
    return stages


def _islands(graph: Graph, stages: Sequence[int]) -> dict[str, str]:
    """The nodes of parts on the wanted target that are too small to be worth their crossings."""
    found: dict[str, str] = {}
    for stage in {stage for stage in stages if stage % 2 == 0}:
        nodes = [node for node, at in zip(graph.nodes, stages, strict=True) if at == stage]
        made = {name for node in nodes for name in node.outputs}
        others = [node for node, at in zip(graph.nodes, stages, strict=True) if at != stage]
        gives = {name for node in others for name in node.inputs if name in made}
        elsewhere = {name for node in others for name in node.outputs}
        takes = {name for node in nodes for name in node.inputs if name in elsewhere}
        crossings = bool(gives) + bool(takes)
        work = sum(_work(graph, node) for node in nodes)
        if work < WORTH * crossings:
            reason = (
                f"{len(nodes)} nodes with {work} operations are not worth {crossings} crossings"
            )
            found.update((node.outputs[0], reason) for node in nodes)
    return found


def _work(graph: Graph, node: Node) -> int:
    """Roughly, additions and multiplications: what an element of the output is summed from."""
    sizes = [_count(graph, name) for name in node.outputs]
    if node.op in ("matmul", "gemm", "conv2d", "convTranspose2d") and node.inputs[1]:
        weight = graph.values[node.inputs[1]].shape
        return 2 * sizes[0] * prod(map(bound, weight)) // max(bound(weight[-1]), 1)
    return max(sizes, default=0)


def _count(graph: Graph, name: str) -> int:
    return prod(map(bound, graph.values[name].shape))


def _parts(
    graph: Graph, stages: Sequence[int], away: Mapping[str, str], targets: tuple[str, str]
) -> tuple[tuple[Part, ...], int]:
    results = set(graph.outputs.values())
    known_results = {name: int(name in away) for name in results.intersection(graph.constants)}
    order = sorted({*stages, *known_results.values()})
    nodes = [[n for n, at in zip(graph.nodes, stages, strict=True) if at == s] for s in order]
    made: set[str] = set()
    parts: list[Part] = []
    crossing = 0
    for index, (stage, here) in enumerate(zip(order, nodes, strict=True)):
        later = {name for each in nodes[index + 1 :] for node in each for name in node.inputs}
        own = {name for node in here for name in node.outputs}
        read = {name for node in here for name in node.inputs if name is not None}
        given = own & (later | results)
        given |= {name for name, at in known_results.items() if at == stage}
        known = (*graph.inputs, *sorted(made))
        takes = tuple(name for name in known if name in read)
        crossing += sum(
            graph.values[name].dtype.nbytes(_count(graph, name)) for name in takes if name in made
        )
        part = with_nodes(
            replace(graph, name=f"{graph.name}/{index}" if len(order) > 1 else graph.name,
                    inputs=takes, outputs={name: name for name in sorted(given)}),
            here,
        )  # fmt: skip
        if given:
            parts.append(Part(targets[stage % 2], part))
        made |= own
    return tuple(parts), crossing
