"""Attention spelled out in matrix products and softmax, as one composite.

    s = matmul(q, transpose(k)) * scale [+ mask];  y = matmul(softmax(s), v)
    ->
    y = scaledDotProductAttention(q, k, v, mask) {scale}

The scale may be a product or a quotient by a number, of the scores or of q or k. Must not fire
where something else reads the scores or the weights. The values change by rounding alone; the
scores never lie in memory on a target with a kernel for it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from ..graph.graph import Graph, Node
from .base import PassResult
from .numbers import number
from .rewrite import Rewriter

RULE = "attention"


def attention(graph: Graph) -> PassResult:
    """Join every softmax between two matrix products."""
    work = Rewriter(graph)
    for _, softmax in work.positions("softmax"):
        _join(work, softmax)
    return PassResult(work.result(), work.changed, tuple(work.notes))


def _join(work: Rewriter, softmax: Node) -> None:
    users = work.users(softmax.outputs[0])
    if len(users) != 1 or users[0].op != "matmul" or users[0].inputs[0] != softmax.outputs[0]:
        return
    last = users[0]
    if softmax.attrs["axis"] != len(work.value(softmax.outputs[0]).shape) - 1:
        work.declined(RULE, softmax, "the softmax is not over the keys")
        return
    gone = [softmax]
    scores, mask = softmax.inputs[0], None
    add = work.made_by(scores, "add")
    if add is not None:
        scores, mask = _scores_and_mask(work, add)
        gone.append(add)
    scores, scale = _unscaled(work, scores, gone)
    product = work.made_by(scores, "matmul")
    if product is None:
        work.declined(RULE, softmax, "its input is not a matrix product, scaled and masked")
        return
    gone.append(product)
    turned = work.made_by(product.inputs[1], "transpose")
    if turned is None or len(work.value(turned.outputs[0]).shape) < 2:
        work.declined(RULE, softmax, "its keys are not transposed")
        return
    if any(not work.private(node.outputs[0]) for node in [*gone, turned]):
        work.declined(RULE, softmax, "something else reads the scores or the keys")
        return
    keys = _keys(work, turned, gone)
    inputs = (product.inputs[0], keys, last.inputs[1], mask)
    made = Node("scaledDotProductAttention", inputs, last.outputs, {"scale": scale}, last.origin)
    work.replace(work.position(last), made, gone)
    work.did(RULE, made, f"join {len(gone) + 1} operators")


def _scores_and_mask(work: Rewriter, add: Node) -> tuple[str | None, str | None]:
    """Which input of the sum comes, scaled or not, from a matrix product."""
    for index in (0, 1):
        name, _ = _unscaled(work, add.inputs[index], [])
        if work.made_by(name, "matmul") is not None:
            return add.inputs[index], add.inputs[1 - index]
    return add.inputs[0], add.inputs[1]


def _unscaled(work: Rewriter, name: str | None, gone: list[Node]) -> tuple[str | None, float]:
    """The value that `name` is a multiple of, and the factor; the node is entered in `gone`."""
    for op in ("mul", "div"):
        node = work.made_by(name, op)
        if node is None:
            continue
        for index in (0, 1) if op == "mul" else (0,):
            factor = number(work.graph, node.inputs[1 - index])
            if factor:
                gone.append(node)
                return node.inputs[index], factor if op == "mul" else 1 / factor
    return name, 1.0


def _keys(work: Rewriter, turned: Node, gone: list[Node]) -> str:
    """The keys before their last two axes were swapped: by `turned` alone, or among others."""
    x, name = work.value(str(turned.inputs[0])), turned.outputs[0]
    reverse = tuple(range(len(x.shape)))[::-1]
    order = cast(tuple[int, ...], turned.attrs.get("permutation") or reverse)
    back = (*order[:-2], order[-1], order[-2])
    if back == tuple(range(len(back))):
        gone.append(turned)
        return x.name
    work.replace(work.position(turned), replace(turned, attrs={"permutation": back}))
    work.reshape(name, tuple(x.shape[axis] for axis in back))
    return name
