"""Products of one value with several matrices (a layer's q, k and v) as one product of a batch.

    q = add(matmul(x, wq), bq);  k = add(matmul(x, wk), bk);  v = add(matmul(x, wv), bv)
    ->
    y = add(matmul(x, concat(wq, wk, wv)), concat(bq, bk, bv));  q, k, v = slices of y

Nothing is concatenated or sliced in memory: these are read in passing (see defer.py). One dispatch
instead of three, and three times the workgroups where a short text leaves most of a GPU idle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from ...dims import Expr
from ...graph.builder import GraphBuilder
from ...graph.graph import Graph, Node, Value
from ...passes.clean import clean

MOST = 3  # each has a buffer for its matrix and one for its bias, of the 8 that a kernel may have


@dataclass(frozen=True, slots=True)
class _Product:
    """x times the matrix of a constant, which `turned` transposes, plus a bias."""

    node: Node
    matrix: Value
    turned: bool
    bias: Value | None
    last: Node

    @property
    def kind(self) -> tuple[object, ...]:
        """What products must share to be done together."""
        return (self.node.inputs[0], self.matrix.shape, self.matrix.dtype, self.turned,
                self.bias is None)  # fmt: skip


def stack(graph: Graph) -> Graph:
    """`graph` with the products joined that share their first operand."""
    groups: dict[str, tuple[_Product, ...]] = {}
    for products in _alike(graph):
        for start in range(0, len(products) - 1, MOST):
            group = products[start : start + MOST]
            if len(group) > 1:
                groups[group[0].node.outputs[0]] = group
    if not groups:
        return graph
    gone = {
        node.outputs[0] for group in groups.values() for p in group for node in (p.node, p.last)
    }
    builder = GraphBuilder.continuing(graph)
    new: dict[str, str] = {}
    for node in graph.nodes:
        name = node.outputs[0]
        if name in groups:
            made = _joined(builder, graph, groups[name])
            new.update(zip((p.last.outputs[0] for p in groups[name]), made, strict=True))
        elif name not in gone:
            builder.adopt(replace(node, inputs=tuple(each and new.get(each, each)
                                                     for each in node.inputs)))  # fmt: skip
    out = replace(
        builder.collect(),
        outputs={public: new.get(name, name) for public, name in graph.outputs.items()},
        updates={state: new.get(name, name) for state, name in graph.updates.items()},
    )
    return clean(out).graph


def _alike(graph: Graph) -> list[tuple[_Product, ...]]:
    """Products with constant matrices that share their first operand and their form."""
    makers = {name: node for node in graph.nodes for name in node.outputs}
    users: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in {each for each in node.inputs if each is not None}:
            users.setdefault(name, []).append(node)
    results = {*graph.outputs.values(), *graph.updates.values()}
    found: dict[tuple[object, ...], list[_Product]] = {}
    for node in graph.nodes:
        product = _product(graph, node, makers, users, results) if node.op == "matmul" else None
        if product is not None:
            found.setdefault(product.kind, []).append(product)
    return [tuple(products) for products in found.values()]


def _product(
    graph: Graph, node: Node, makers: dict[str, Node], users: dict[str, list[Node]],
    results: set[str],
) -> _Product | None:  # fmt: skip
    x, name = cast(str, node.inputs[0]), cast(str, node.inputs[1])
    turn = makers.get(name)
    turned = turn is not None and turn.op == "transpose"
    if turned:
        name = cast(str, cast(Node, turn).inputs[0])
    constant = graph.constants.get(name)
    if constant is None or len(constant.value.shape) != 2 or x in graph.constants:
        return None
    if any(isinstance(dim, Expr) for dim in constant.value.shape):
        return None
    y = node.outputs[0]
    readers = users.get(y, [])
    width = graph.values[y].shape[-1]
    if len(readers) == 1 and readers[0].op == "add" and y not in results:
        other = next((each for each in readers[0].inputs if each != y), None)
        added = graph.constants.get(other or "")
        if added is not None and added.value.shape == (width,):
            return _Product(node, constant.value, turned, added.value, readers[0])
    return _Product(node, constant.value, turned, None, node)


def _joined(b: GraphBuilder, graph: Graph, group: Sequence[_Product]) -> list[str]:
    """The names of the products' results."""
    x = graph.values[cast(str, group[0].node.inputs[0])]
    ones = (1,) * (len(x.shape) - 2)
    with b.scope(group[0].node.origin):
        matrices = [
            b.reshape(each, (1, *ones, *each.shape))
            for p in group
            for each in [b.transpose(p.matrix, permutation=(1, 0)) if p.turned else p.matrix]
        ]
        y = b.matmul(x, b.concat(matrices, 0))
        biases = [
            b.reshape(p.bias, (1, *ones, 1, *p.bias.shape)) for p in group if p.bias is not None
        ]
        if biases:
            y = b.add(y, b.concat(biases, 0))
        shape = y.shape[1:]
        parts = [
            b.slice(y, (index, *(0 for _ in shape)), (1, *shape)) for index in range(len(group))
        ]
        return [b.reshape(part, shape).name for part in parts]
