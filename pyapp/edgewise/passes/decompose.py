"""Replaces operators by their decompositions, for a target that has no kernel for them."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..graph.builder import GraphBuilder
from ..graph.graph import Attr, Graph, Node, Value
from ..ops import OPS
from ..ops.base import Op
from .base import Note, PassResult
from .clean import with_nodes

#: What NumPy itself defines: W3C WebNN's operators. The rest are composites.
DEFINED = frozenset(name for name, row in OPS.items() if row.reference is not None)


def decompose(graph: Graph, keep: Container[str] = DEFINED) -> PassResult:
    """Expand every operator that is not in `keep` and has a decomposition, and what comes of it.

        y: float32[2, 8] = swiglu(gate, up) @ "blk.0"
        ->
        sigmoid_1: float32[2, 8] = sigmoid(gate) @ "blk.0"
        mul_1: float32[2, 8] = mul(gate, sigmoid_1) @ "blk.0"
        mul_2: float32[2, 8] = mul(mul_1, up) @ "blk.0"

    What a composite made gets a new name; outputs and updates follow. A state that a composite
    updated in place is from then on replaced by a value of its own.
    """
    if not any(_expands(OPS[node.op], keep) for node in graph.nodes):
        return PassResult(graph, False)
    builder = _Expander.continuing(graph)
    builder.keep = keep
    new: dict[str, str] = {}
    notes: list[Note] = []
    for node in graph.nodes:
        inputs = tuple(None if name is None else new.get(name, name) for name in node.inputs)
        if not _expands(OPS[node.op], keep):
            builder.adopt(node if inputs == node.inputs else replace(node, inputs=inputs))
            continue
        with builder.scope(node.origin):
            values = builder.expand_node(replace(node, inputs=inputs))
        new.update((name, value.name) for name, value in zip(node.outputs, values, strict=True))
        notes.append(Note("decompose", node.origin, f"did expand {node.op}"))
    out = replace(builder.collect(), outputs=_follow(graph.outputs, new),
                  updates=_follow(graph.updates, new))  # fmt: skip
    return PassResult(with_nodes(out, out.nodes), True, tuple(notes))


def _expands(op: Op, keep: Container[str]) -> bool:
    return op.decompose is not None and op.name not in keep


def _follow(names: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    return {public: new.get(name, name) for public, name in names.items()}


class _Expander(GraphBuilder):
    """A builder in which adding a composite adds its decomposition."""

    keep: Container[str] = ()

    def apply(self, op: Op, values: Sequence[Value | None], attrs: dict[str, Attr]) -> Any:
        if not _expands(op, self.keep):
            return super().apply(op, values, attrs)
        assert op.decompose is not None
        return op.decompose(self, *values, **attrs)

    def expand_node(self, node: Node) -> tuple[Value, ...]:
        op = OPS[node.op]
        values = [None if name is None else self._values[name] for name in node.inputs]
        made = self.apply(op, values, dict(node.attrs))
        return tuple(made) if op.several else (made,)
