"""A graph for a browser's WebNN: rewritten for it, and cut where it needs another target's help.

The parts are graphs; each is compiled by its own target (emit.py for those of "webnn").
"""

from __future__ import annotations

from dataclasses import replace

from ...errors import UnsupportedError
from ...graph.graph import Graph
from ...passes.place import Placement, place
from .facts import TARGET, WebnnFacts
from .fit import fit


def divide(graph: Graph, facts: WebnnFacts, *, rest: str | None) -> Placement:
    """The parts of a static graph, those that the browser takes and those for `rest`.

    rest  the target for what it does not take; None to have none

    Raises UnsupportedError for states, and, without `rest`, for all that is refused, at once.
    """
    if graph.states:
        raise UnsupportedError(
            f"graph {graph.name!r} on WebNN", got=f"states {', '.join(graph.states)}",
            need="a graph without states", fix="choose the target webgpu",
        )  # fmt: skip
    fitted = fit(graph, facts)
    placed = place(fitted.graph, fitted.refused, target=TARGET, rest=rest)
    return replace(placed, notes=(*fitted.notes, *placed.notes))
