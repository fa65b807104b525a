"""The passes that every target wants, in order, each with the reason for its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from ..errors import EdgewiseError
from ..graph.graph import Graph
from ..graph.text import print_graph
from ..graph.verify import verify
from .attention import attention
from .base import Note, Pass
from .clean import clean
from .fold import fold
from .fuse import fuse
from .pairs import pairs
from .quantise import quantise
from .recognise import recognise


@dataclass(frozen=True, slots=True)
class Step:
    """A pass and why it stands where it does."""

    name: str
    apply: Pass
    why: str


STEPS = (
    Step("clean", clean, "a dead reader must not keep two operators from being joined"),
    Step("fold", fold, "patterns ask for constants, which may still be formulas of constants"),
    Step("pairs", pairs, "what is undone at once must not stand between the parts of a pattern"),
    Step("recognise", recognise, "norms and activations are operands of the larger patterns"),
    Step("attention", attention, "its products must be plain ones, before they take in others"),
    Step("fuse", fuse, "one kernel instead of several, and no intermediate in memory"),
    Step("quantise", quantise, "activations and biases stand as the steps before leave them"),
)


def run(
    graph: Graph, debug: int = 0, emit: Callable[[str], object] | None = None
) -> tuple[Graph, tuple[Note, ...]]:
    """`graph` after all steps, and what they did and declined.

    debug  1: `emit` the time of each step; 2: verify after each and emit the graph's text
    """
    notes: list[Note] = []
    for step in STEPS:
        start = perf_counter()
        result = step.apply(graph)
        graph = result.graph
        notes += result.notes
        if debug >= 1 and emit is not None:
            taken = (perf_counter() - start) * 1000
            emit(f"pass {step.name}: {taken:.1f} ms, {len(graph.nodes)} nodes")
        if debug >= 2:
            _check(graph, step)
            if emit is not None:
                emit(print_graph(graph))
    return graph, tuple(notes)


def _check(graph: Graph, step: Step) -> None:
    try:
        verify(graph)
    except EdgewiseError as error:
        error.add_note(f"after the pass {step.name!r}")
        raise
