"""Pairs of operators that undo each other.

One function a rule. Quantising a float and dequantising it again is *not* such a pair: it rounds.
"""

from __future__ import annotations

from dataclasses import replace

from ..graph.graph import Graph, Node
from .base import PassResult
from .clean import clean
from .rewrite import Rewriter


def pairs(graph: Graph) -> PassResult:
    """Run all rules once."""
    work = Rewriter(graph)
    renamed: dict[str, str] = {}
    for rule in (requantised, cast_back):
        rule(work, renamed)
    if not renamed:
        return PassResult(work.result(), work.changed, tuple(work.notes))
    return PassResult(clean(_renamed(work, renamed)).graph, True, tuple(work.notes))


def requantised(work: Rewriter, renamed: dict[str, str]) -> None:
    """Dequantising and quantising with the same scale and zero point gives the same integers.

    f = dequantizeLinear(q, s, z);  r = quantizeLinear(f, s, z)
    ->
    q in the place of r

    Exact: round((q - z)·s / s) + z is q for every q of at most 8 bits.
    """
    for _, node in work.positions("quantizeLinear"):
        source = work.made_by(node.inputs[0], "dequantizeLinear")
        if source is None:
            continue
        if source.inputs[1:] != node.inputs[1:]:
            work.declined("requantised", node, "scale or zero point differ")
        elif work.value(node.outputs[0]).dtype != work.value(str(source.inputs[0])).dtype:
            work.declined("requantised", node, "the integer types differ")
        elif work.value(node.outputs[0]).dtype.bits > 8:
            work.declined("requantised", node, "integers of over 8 bits may round")
        elif node.outputs[0] in work.results:
            work.declined("requantised", node, "it is a result of the graph")
        else:
            renamed[node.outputs[0]] = str(source.inputs[0])
            work.did("requantised", node, f"use {source.inputs[0]!r} again")


def cast_back(work: Rewriter, renamed: dict[str, str]) -> None:
    """A cast to a wider type and back gives the same numbers.

    w = cast(x) {float32};  y = cast(w) {float16}    where x is float16
    ->
    x in the place of y
    """
    for _, node in work.positions("cast"):
        source = work.made_by(node.inputs[0], "cast")
        if source is None:
            continue
        x, wide = work.value(str(source.inputs[0])), work.value(source.outputs[0])
        back = work.value(node.outputs[0])
        if back.dtype != x.dtype or back.name in work.results:
            continue
        if wide.dtype.bits <= x.dtype.bits or (x.dtype.is_float and not wide.dtype.is_float):
            work.declined("cast back", node, f"{wide.dtype} does not hold every {x.dtype}")
            continue
        if wide.dtype.is_float and x.dtype.bits >= wide.dtype.bits // 2 and not x.dtype.is_float:
            work.declined("cast back", node, f"{wide.dtype} does not hold every {x.dtype}")
            continue
        renamed[back.name] = x.name
        work.did("cast back", node, f"use {x.name!r} again")


def _renamed(work: Rewriter, renamed: dict[str, str]) -> Graph:
    def follow(name: str | None) -> str | None:
        while name in renamed:
            name = renamed[name]
        return name

    for position, node in enumerate(work.nodes):
        if node is None:
            continue
        inputs = tuple(map(follow, node.inputs))
        if inputs != node.inputs:
            work.replace(position, replace(node, inputs=inputs))
    dead: list[Node] = [n for n in work.nodes if n is not None and n.outputs[0] in renamed]
    for node in dead:
        work.remove(work.position(node))
    return work.result()
