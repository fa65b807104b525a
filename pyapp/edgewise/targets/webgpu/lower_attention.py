"""Lowering of attention without a cache: one kernel, or the operators that it stands for."""

from __future__ import annotations

from typing import cast

from ...dims import bound
from ...graph.graph import Graph, Node
from ..device import DeviceFacts
from .access import Access
from .emit import Program, elements, per
from .index import broadcast
from .template import Literal
from .weights import Weights

LARGEST_HEAD = 128  # columns of v: each 32 cost a thread 16 registers


def suits(graph: Graph, facts: DeviceFacts) -> bool:
    """Whether the kernel is the better choice: not on a CPU, where barriers are dear."""
    heads = [
        bound(graph.values[cast(str, node.inputs[2])].shape[-1])
        for node in graph.nodes
        if node.op == "scaledDotProductAttention"
    ]
    return not facts.fallback and max(heads, default=0) <= LARGEST_HEAD


def attention(p: Program, w: Weights, node: Node) -> None:
    """Tiles of queries against tiles of keys; the scores stay in workgroup memory."""
    q, k, v, y = (p.value(name).shape for name in (*node.inputs[:3], *node.outputs))
    mask, batch = node.inputs[3], y[:-2]
    width = bound(v[-1])
    a = Access(p, w, node, "attention_whole")
    for name, operand, shape in zip("qkv", node.inputs, (q, k, v), strict=False):
        a.read(name, operand)
        found = broadcast("z", shape[:-2], batch) if batch else "0u"
        a.define(f"{name}_batch", f"fn {name}_batch(z: u32) -> u32 {{ return {found}; }}")
    if mask is not None:
        a.read("mask", mask)
        found = broadcast("i", p.value(mask).shape, (*batch, q[-2], k[-2]))
        a.define("mask_at", f"fn mask_at(i: u32) -> u32 {{ return {found}; }}")
    a.write("put", node.outputs[0])
    consts: dict[str, Literal] = {"D": bound(q[-1]), "DV": width}
    a.run(
        [per(q[-2], 32), elements(batch)],
        dims={"S": q[-2], "L": k[-2]},
        consts={**consts, "SCALE": cast(float, node.attrs["scale"])},
        flags={
            "MASK": mask is not None,
            **{f"PART{i}": width > 32 * i for i in (1, 2, 3)},
        },
    )
