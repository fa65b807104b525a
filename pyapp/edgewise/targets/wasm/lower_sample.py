"""Lowering of what makes a token of logits."""

from __future__ import annotations

from typing import cast

from ...dtypes import DType
from ...graph.graph import Node
from .emit import Program

BLOCK = 1024  # of sample.c


def mark_seen(p: Program, node: Node) -> None:
    """Ones where tokens occurred, in place."""
    seen, ids = (cast(str, name) for name in node.inputs)
    p.alias(node.outputs[0], seen)
    [vocab], [n] = p.value(seen).shape, p.value(ids).shape
    p.emit("mark_seen", node, [p.dense(ids, node)], [seen], [vocab], items=n, grain=4096)


def sample(p: Program, node: Node) -> None:
    """Scores and weights in blocks, shared by threads; then one of them picks."""
    logits, seen, bias, settings = (p.dense(cast(str, name), node) for name in node.inputs)
    token = node.outputs[0]
    vocab = cast(int, p.value(node.inputs[0]).shape[1])
    blocks = -(-vocab // BLOCK)
    scores, weights, parts = (
        p.temporary(f"{token}.{name}", (size,), DType.FLOAT32)
        for name, size in (("scores", blocks * BLOCK), ("weights", blocks * BLOCK),
                           ("parts", 2 * blocks))
    )  # fmt: skip
    p.emit("sample_scores", node, [logits, seen, bias, settings], [scores, parts], [vocab],
           items=blocks, grain=8)  # fmt: skip
    p.emit("sample_weights", node, [settings, parts], [scores, weights], [vocab], items=blocks,
           grain=8)  # fmt: skip
    p.emit("sample_pick", node, [settings, parts, scores, weights], [token], [vocab], items=1)
