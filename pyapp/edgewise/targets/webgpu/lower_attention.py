"""Lowering of attention between matrices: one kernel, its scores in workgroup memory alone."""

from __future__ import annotations

from typing import cast

from ...dims import Expr
from ...graph.graph import Graph, Node
from ...ops.base import Shape
from ..device import DeviceFacts
from .access import Access
from .emit import Program, elements, n_elements, per
from .index import broadcast
from .tuning import AttentionTiles, attention_tiles
from .weights import Weights


def fits(graph: Graph, node: Node, facts: DeviceFacts) -> bool:
    """Whether the kernel is better on this device than the operators that attention is made of."""
    shape = _tiles(graph, node, facts)
    if shape is None:
        return False
    batches = n_elements(graph.values[node.outputs[0]].shape[:-2])
    return batches <= facts.limits["maxComputeWorkgroupsPerDimension"]


def _tiles(graph: Graph, node: Node, facts: DeviceFacts) -> AttentionTiles | None:
    q, _, v = (graph.values[cast(str, name)].shape for name in node.inputs[:3])
    if isinstance(q[-1], Expr) or isinstance(v[-1], Expr):
        return None
    return attention_tiles(facts, q[-1], v[-1])


def attention(p: Program, w: Weights, node: Node) -> None:
    """softmax(q kᵀ * scale + mask) v."""
    q, keys, v = (p.value(name).shape for name in node.inputs[:3])
    y = p.value(node.outputs[0]).shape
    shape = _tiles(p.graph, node, p.shared.facts)
    assert shape is not None, "prepare() decomposed what does not fit"
    batch = y[:-2]
    k = Access(p, w, node, "attention_tiles")
    for name, operand, own in zip("qkv", node.inputs, (q, keys, v), strict=False):
        k.read(name, operand)
        k.define(f"{name}_batch", _batch(name, own[:-2], batch))
    mask = node.inputs[3]
    if mask is not None:
        scores = (*batch, q[-2], keys[-2])
        k.read("added", mask)
        at = broadcast("i", p.value(mask).shape, scores)
        k.define("mask", f"fn mask(i: u32) -> T_added {{ return added({at}); }}")
    k.write("put", node.outputs[0])
    k.run(
        (per(q[-2], shape.queries), 1, elements(batch)),
        dims={"M": q[-2], "N": keys[-2]},
        consts={"WG": shape.threads, "TM": shape.queries, "TN": shape.keys,
                "D": cast(int, q[-1]), "E": cast(int, v[-1]),
                "SCALE": cast(float, node.attrs["scale"])},
        flags={"MASK": mask is not None},
    )  # fmt: skip


def _batch(name: str, own: Shape, batch: Shape) -> str:
    found = broadcast("z", own, batch) if batch else "0u"
    return f"fn {name}_batch(z: u32) -> u32 {{ return {found}; }}"
