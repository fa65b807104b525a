"""Quantised matrices as nodes name them, and those whose minimum is a product in the graph: no run
has to compute that.

A target makes minimum = scale * factor once, as the weights arrive. ONNX's MatMulNBits comes like
that: its factor is minus the zero point.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self, cast

from ..dims import bound
from ..dtypes import DType
from ..graph.graph import Constant, Graph, Node

MINIMUM = 3  # place in quantizedMatmul's inputs
FACTOR = "factor"  # a private attribute: the node's minimum is a factor of its scale


@dataclass(frozen=True, slots=True)
class Matrix:
    """One quantised matrix: codes, scale and, for some types, minimum.

    factored  the minimum is that times the scale
    """

    codes: Constant
    scale: Constant
    minimum: Constant | None
    factored: bool = False

    @classmethod
    def of(cls, graph: Graph, node: Node, first: int = 1) -> Self:
        """The one whose codes are the node's input `first`."""
        parts = [name and graph.constants[name] for name in node.inputs[first : first + 3]]
        codes, scale, minimum = cast("tuple[Constant, Constant, Constant | None]", parts)
        return cls(codes, scale, minimum, bool(node.attrs.get(FACTOR)))

    @property
    def rows(self) -> int:
        return bound(self.codes.value.shape[0])

    @property
    def width(self) -> int:
        return bound(self.codes.value.shape[1])


def bind(graph: Graph) -> Graph:
    """quantizedMatmul nodes with the factor of their minimum in its place; see `_factor`.

    m = mul(s, f);  y = quantizedMatmul(x, c, s, m)  ->  y = quantizedMatmul(x, c, s, f) {factor}
    """
    made = {name: node for node in graph.nodes for name in node.outputs}
    nodes = []
    for node in graph.nodes:
        factor = _factor(graph, made, node) if node.op == "quantizedMatmul" else None
        if factor is not None:
            inputs = (*node.inputs[:MINIMUM], factor, *node.inputs[MINIMUM + 1 :])
            node = replace(node, inputs=inputs, attrs={**node.attrs, FACTOR: True})
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


def _factor(graph: Graph, made: dict[str, Node], node: Node) -> str | None:
    """The constant that times the scale is the minimum: floats, or codes that are subtracted."""
    scale, minimum = node.inputs[MINIMUM - 1 : MINIMUM + 1]
    product = made.get(minimum or "")
    if product is None or product.op != "mul" or scale not in product.inputs:
        return None
    other = product.inputs[1 - product.inputs.index(scale)] or ""
    negated = made.get(other)
    if negated is not None and negated.op == "neg":
        cast = made.get(negated.inputs[0] or "")
        if cast is not None and cast.op == "cast":
            other = cast.inputs[0] or ""
            return other if graph.values[other].dtype is DType.UINT4 else None
    return other if other in graph.constants else None
