"""The rules of a graph."""

from __future__ import annotations

from .graph import Graph


def verify(graph: Graph) -> None:
    """Filled in next."""
