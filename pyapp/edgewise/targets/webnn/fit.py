"""Rewrites a graph so that the browser's WebNN takes as many of its nodes as it can.

A node that is refused is tried in other forms, each exact or with the error of one rounding: a
rule of this target (rules.py) first, then the row's own decomposition. A form counts when all
that it consists of is taken, where need be after further rewriting. What has no such form stays
as it is, with the reason why it was refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ...errors import GraphError
from ...graph.builder import GraphBuilder
from ...graph.graph import Attr, Graph, Node, Value
from ...ops import OPS
from ...ops.base import Op, infer
from ...passes.base import Note
from ...passes.clean import with_nodes
from .facts import WebnnFacts
from .guards import Use
from .limits import constant_refusal, refusal
from .rules import RULES, Form

#: Rules make at most a few steps; this ends two that undo each other.
DEPTH = 8


@dataclass(frozen=True, slots=True)
class Fitted:
    """A graph, and why the browser refuses some of its nodes, by their first output, or some of
    the constants that are outputs."""

    graph: Graph
    refused: Mapping[str, str]
    notes: tuple[Note, ...]


def fit(graph: Graph, facts: WebnnFacts) -> Fitted:
    """`graph`, which is static, as near to what the browser takes as it gets."""
    if graph.symbols:
        raise GraphError(f"graph {graph.name!r} on WebNN", got=f"symbols {sorted(graph.symbols)}",
                         need="static shapes", fix="specialise it for its inputs")  # fmt: skip
    fitter = _Fitter.continuing(graph)
    fitter.facts = facts
    new: dict[str, str] = {}
    refused: dict[str, str] = {}
    notes: list[Note] = []
    for node in graph.nodes:
        inputs = tuple(None if name is None else new.get(name, name) for name in node.inputs)
        node = node if inputs == node.inputs else replace(node, inputs=inputs)
        reason = fitter.refusal_of(node)
        made = None if reason is None else fitter.other_form(node)
        if made is None:
            fitter.adopt(node)
            if reason is not None:
                refused[node.outputs[0]] = reason
                notes.append(Note("fit", node.origin, f"declined because {node.op}: {reason}"))
            continue
        new.update((old, value.name) for old, value in zip(node.outputs, made, strict=True))
        notes.append(Note("fit", node.origin, f"did rewrite {node.op}: {reason}"))
    outputs = {public: new.get(name, name) for public, name in graph.outputs.items()}
    out = replace(fitter.collect(), outputs=outputs)
    for name in graph.constants.keys() & out.outputs.values():
        reason = constant_refusal(facts, out.values[name])
        if reason is not None:
            refused[name] = reason
    return Fitted(with_nodes(out, out.nodes), refused, tuple(notes))


class _Refused(Exception):
    """A form was tried and is not taken either."""


class _Fitter(GraphBuilder):
    """A builder that adds only what the browser takes, in another form where need be."""

    facts: WebnnFacts
    depth = 0

    def refusal_of(self, node: Node) -> str | None:
        """Why the browser does not take `node`, or None."""
        values = [None if name is None else self._values[name] for name in node.inputs]
        return refusal(self.facts, self._use(OPS[node.op], values, node.attrs))

    def other_form(self, node: Node) -> tuple[Value, ...] | None:
        """The results of `node` in a form that is taken, or None."""
        op = OPS[node.op]
        values = [None if name is None else self._values[name] for name in node.inputs]
        try:
            with self.scope(node.origin):
                made = self._rewritten(op, values, dict(node.attrs))
        except _Refused:
            return None
        return tuple(made) if op.several else (made,)

    def apply(self, op: Op, values: Sequence[Value | None], attrs: dict[str, Attr]) -> Any:
        if refusal(self.facts, self._use(op, values, attrs)) is None:
            return super().apply(op, values, attrs)
        return self._rewritten(op, values, attrs)

    def _use(self, op: Op, values: Sequence[Value | None], attrs: Mapping[str, Attr]) -> Use:
        return Use(op, values, attrs, infer(op, values, attrs, op.name), self._constants)

    def _rewritten(self, op: Op, values: Sequence[Value | None], attrs: dict[str, Attr]) -> Any:
        if self.depth == DEPTH:
            raise _Refused
        for form in self._forms(self._use(op, values, attrs)):
            mark = len(self._nodes)
            self.depth += 1
            try:
                return form()
            except _Refused:
                del self._nodes[mark:]
            finally:
                self.depth -= 1
        raise _Refused

    def _forms(self, use: Use) -> Iterator[Form]:
        for rule in RULES:
            yield from rule(self, use)
        if use.op.decompose is not None:
            yield partial(use.op.decompose, self, *use.inputs, **use.attrs)
