"""Lowering of what adapters add: few numbers a row first, then the rows they are spread over."""

from __future__ import annotations

from typing import cast

from ...dims import bound
from ...dtypes import DType
from ...graph.graph import Node
from ...ops.adapter import spans
from .access import Access
from .emit import Program, elements
from .rows import over
from .template import Literal
from .weights import Weights


def low_rank(p: Program, w: Weights, node: Node) -> None:
    """Both steps do nothing for adapters whose weight is zero."""
    y, x, down, up, weights = node.inputs
    ranks = cast(tuple[int, ...], node.attrs["ranks"])
    scales = cast(tuple[float, ...], node.attrs["scales"])
    total, (rows, width) = sum(ranks), p.value(y).shape
    few = p.temporary(f"{node.outputs[0]}.few", (bound(rows), total), DType.FLOAT32)
    owners = [index for index, _, rank in spans(ranks) for _ in range(rank)]
    first = Access(p, w, node, "low_rank_down")
    for name, operand in (("x", x), ("down", down), ("weights", weights)):
        first.read(name, operand)
    first.place("few", "f32", few)
    first.run(
        [total, rows],
        consts={"K": bound(p.value(x).shape[1]), "R": total,
                "WG": 1 if p.shared.facts.fallback else 64,
                "OWNERS": _array("u32", owners),
                "SCALES": _array("f32", [scales[index] for index in owners])},
    )  # fmt: skip
    size = elements(p.value(y).shape)
    second = Access(p, w, node, "low_rank_up")
    for name, operand in (("y", y), ("up", up), ("weights", weights)):
        second.read(name, operand)
    second.place("few", "f32", few, access="read")
    second.write("put", node.outputs[0])
    groups, spread = over(p, size, 64)
    second.run(
        groups,
        dims={"elements": size},
        consts={**spread, "N": bound(width), "R": total, "ADAPTERS": len(ranks),
                "RANKS": _array("u32", ranks), "PAIRED": cast(int, node.attrs["paired"])},
    )  # fmt: skip


def _array(kind: str, numbers: list[int] | list[float] | tuple[int, ...]) -> Literal:
    """Numbers as a WGSL array."""
    return f"array<{kind}, {len(numbers)}>({', '.join(f'{n:.9g}' for n in numbers)})"
