"""Low-rank additions to a product of matrices: adapters that stay apart from what they adapt.

Source: Hu et al. 2021 (arXiv 2106.09685), section 4.1.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..dims import bound
from ..dtypes import FLOATS
from .base import Builder, In, Op, Param, Type, Value, register
from .llm import FLOAT32
from .precision import F32, as_type, widened
from .shape import like, need


def spans(ranks: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    """(adapter, first row, rank) of the adapters that have rows."""
    first = 0
    for index, rank in enumerate(ranks):
        if rank:
            yield index, first, rank
        first += rank


def _low_rank(
    y: Value, x: Value, down: Value, up: Value, weights: Value, *,
    ranks: tuple[int, ...], scales: tuple[float, ...], paired: int,
) -> list[Type]:  # fmt: skip
    rows = sum(ranks)
    need(len(x.shape) == 2, "input 'x'", x, "[M, K]")
    need(len(y.shape) == 2 and y.shape[0] == x.shape[0], "input 'y'", y, f"[M, N] for {x}")
    width = bound(y.shape[1])
    need(down.shape == (rows, x.shape[1]), "down", down, f"[{rows}, K] for {x}")
    need(up.shape == (rows * width,), "up", up, f"[{rows} * N] for {y}")
    need(weights.shape == (len(ranks),), "weights", weights, f"[{len(ranks)}]")
    need(len(scales) == len(ranks), "scales", len(scales), f"one for each of {len(ranks)} ranks")
    whole = paired == 0 or (paired > 0 and paired % 2 == 0 and width % paired == 0)
    need(whole, "paired", paired, f"0, or an even divisor of {width}")
    return like(y)


def _low_rank_decomposed(
    b: Builder, y: Value, x: Value, down: Value, up: Value, weights: Value, *,
    ranks: tuple[int, ...], scales: tuple[float, ...], paired: int,
) -> Value:  # fmt: skip
    out, wide, width = widened(b, y), widened(b, x), bound(y.shape[1])
    for index, first, rank in spans(ranks):
        inner = widened(b, b.slice(down, (first, 0), (rank, x.shape[1])))
        flat = widened(b, b.slice(up, (first * width,), (rank * width,)))
        if paired:
            halves = b.reshape(flat, (width // paired, 2, paired // 2, rank))
            flat = b.transpose(halves, (0, 2, 1, 3))
        outer = b.reshape(flat, (width, rank))
        weight = b.mul(b.slice(weights, (index,), (1,)), b.scalar(F32, scales[index]))
        few = b.mul(b.matmul(wide, b.transpose(inner, (1, 0))), weight)
        out = b.add(out, b.matmul(few, b.transpose(outer, (1, 0))))
    return as_type(b, out, y.dtype)


# y + Σ weight · scale · (x · downᵀ) · upᵀ over adapters. Each has rows of `down` [R, K], one after
# the other, and [N, rank] of `up`, again one after the other. With `paired`, the size of a head,
# the rows of `up` stand in halves of a head where those of y stand in pairs.
register(Op(
    "lowRank",
    (In("y", FLOATS), In("x", FLOATS), In("down", FLOATS), In("up", FLOATS, like="down"),
     In("weights", FLOAT32)),
    _low_rank,
    attrs=(Param("ranks", "ints"), Param("scales", "floats"), Param("paired", "int", 0)),
    decompose=_low_rank_decomposed,
))  # fmt: skip
