"""Lowering of what adapters add: few numbers a row first, then the rows they are spread over."""

from __future__ import annotations

import struct
from typing import cast

from ...dims import bound
from ...dtypes import DType
from ...graph.graph import Node
from ...plan.plan import Binding
from ..program import elements
from .emit import Program, grain_of
from .rows import WORK, finish, floats, result


def low_rank(p: Program, node: Node) -> None:
    """Both steps do nothing for adapters whose weight is zero."""
    y, x, down, up, weights = (cast(str, name) for name in node.inputs)
    ranks = cast(tuple[int, ...], node.attrs["ranks"])
    total, (rows, width) = sum(ranks), p.value(y).shape
    depth = p.value(x).shape[1]
    few = p.temporary(f"{node.outputs[0]}.few", (bound(rows), total), DType.FLOAT32)
    table = _table(p, ranks, cast(tuple[float, ...], node.attrs["scales"]))
    added, weight = floats(p, node, y), p.dense(weights, node)
    p.emit(
        "low_rank_down", node,
        [floats(p, node, x), floats(p, node, down), weight, table], [few],
        [depth, total, len(ranks)],
        items=elements((rows, total)), grain=grain_of(depth, WORK),
    )  # fmt: skip
    made, to = result(p, node.outputs[0])
    p.emit(
        "low_rank_up", node, [added, few, floats(p, node, up), weight, table], [made],
        [width, total, len(ranks), cast(int, node.attrs["paired"])],
        items=elements((rows, width)), grain=grain_of(total, WORK),
    )  # fmt: skip
    finish(p, node, made, to)


def _table(p: Program, ranks: tuple[int, ...], scales: tuple[float, ...]) -> Binding:
    """Rank and scale of each adapter, where kernels read them."""
    name = f"adapters {ranks} {scales}"
    if name not in p.weights.placed:
        data = b"".join(struct.pack("<If", *each) for each in zip(ranks, scales, strict=True))
        place = p.weights.placed[name] = p.weights.place(len(data), None)
        p.weights.inline.append((place, data))
    return p.weights.placed[name]
