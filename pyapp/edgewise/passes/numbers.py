"""What a pattern asks of constants: is this value the number that the formula has there?"""

from __future__ import annotations

import struct

from ..graph.builder import STRUCT
from ..graph.graph import Graph

TOLERANCE = 1e-3  # exporters write sqrt(2) as 1.4142135 or, in float16, as 1.4141


def number(graph: Graph, name: str | None) -> float | None:
    """The number of an inline constant of one element; None for anything else."""
    constant = graph.constants.get(name or "")
    if constant is None or constant.data is None or constant.value.dtype not in STRUCT:
        return None
    if any(dim != 1 for dim in constant.value.shape):
        return None
    found: float = struct.unpack(f"<{STRUCT[constant.value.dtype]}", constant.data)[0]
    return found


def is_number(graph: Graph, name: str | None, wanted: float) -> bool:
    """Whether a value is the constant `wanted`, as nearly as exporters write it."""
    found = number(graph, name)
    return found is not None and abs(found - wanted) <= TOLERANCE * abs(wanted)
