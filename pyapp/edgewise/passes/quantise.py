"""Products with weights of 8 bits as one operator, which a target may compute in integers.

A weight is [N, K] with a scale for each row, as most tools write it: dequantizeLinear of constants,
then matmul or gemm. A target without a kernel for quantizedLinear computes what stood there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

from ..dtypes import DType
from ..graph.graph import Constant, Graph, Node, Value
from ..ops.quantized import ACTIVATIONS
from .base import PassResult
from .clean import clean
from .rewrite import Rewriter

SMALLEST = 32  # rows and columns of a weight: below, quantising x costs more than it saves
F32 = DType.FLOAT32


def quantise(graph: Graph) -> PassResult:
    """Run all rules once, each on what the one before left."""
    work = Rewriter(graph)
    rules: tuple[Callable[[Rewriter], None], ...] = (products, biases, activations)
    for rule in rules:
        rule(work)
    graph = clean(work.result()).graph if work.changed else graph  # weights that nobody reads now
    return PassResult(graph, work.changed, tuple(work.notes))


@dataclass(frozen=True, slots=True)
class _Weight:
    """The operands of a dequantizeLinear, the scale as [N, 1]; `nodes` that make it so go."""

    codes: Constant
    scale: Constant
    nodes: tuple[Node, ...]


def products(work: Rewriter) -> None:
    """A product with a dequantised constant.

    w = dequantizeLinear(codes, scale, zeros);  y = matmul(x, transpose(w))
    ->
    y = quantizedLinear(x, codes, scale)
    """
    rule = "8-bit product"
    for position, node in [*work.positions("matmul"), *work.positions("gemm")]:
        b = node.inputs[1]
        turned = work.made_by(b, "transpose")
        plain = node.op == "matmul" or not node.attrs["bTranspose"]
        made = work.made_by(turned.inputs[0] if plain and turned else b, "dequantizeLinear")
        if made is None or (plain and turned is None):
            continue
        x = work.value(cast(str, node.inputs[0]))
        weight, reason = _weight(work, made)
        if weight is None:
            work.declined(rule, node, reason)
        elif x.dtype is not F32 or len(x.shape) < 2 or not _as_it_is(work, node):
            work.declined(rule, node, "x is turned, scaled or not float32")
        else:
            _replace(work, position, node, weight)
            work.did(rule, node, f"join {node.op} and dequantizeLinear")


def _as_it_is(work: Rewriter, node: Node) -> bool:
    """Whether a product is x W and a bias [N], nothing turned and nothing scaled."""
    if node.op == "matmul":
        return True
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    scaled = node.attrs["alpha"] != 1 or (bias is not None and node.attrs["beta"] != 1)
    flat = bias is None or work.value(bias).shape == work.value(node.outputs[0]).shape[-1:]
    return flat and not scaled and not node.attrs["aTranspose"]


def _weight(work: Rewriter, made: Node) -> tuple[_Weight | None, str]:
    """What `made` dequantises, or why that is not a weight of 8 bits with a scale for each row."""
    constants = work.graph.constants
    codes = constants.get(cast(str, made.inputs[0]))
    if codes is None or codes.value.dtype is not DType.INT8:
        return None, "the weight is no constant of 8 signed bits"
    n, k = (*codes.value.shape, 0)[:2]
    if len(codes.value.shape) != 2 or not isinstance(n, int) or not isinstance(k, int):
        return None, "the weight is no matrix"
    if min(n, k) < SMALLEST:
        return None, f"a weight of {n} x {k} is small"
    zero = constants.get(made.inputs[2] or "")
    if zero is None or zero.data is None or any(zero.data):
        return None, "its zero points are not known to be 0"
    scale = made.inputs[1]
    shaped = work.made_by(scale, "reshape")
    source = constants.get((shaped.inputs[0] if shaped else scale) or "")
    if source is None or source.value.dtype is not F32 or work.value(scale or "").shape != (n, 1):
        return None, "it has no float32 scale for each row"
    shape = Value(cast(str, scale), F32, (n, 1))
    return _Weight(codes, replace(source, value=shape), (shaped,) if shaped else ()), ""


def _replace(work: Rewriter, position: int, node: Node, weight: _Weight) -> None:
    bias = node.inputs[2] if node.op == "gemm" and len(node.inputs) > 2 else None
    scale = weight.scale.value.name
    for each in weight.nodes:  # a constant takes the name of the reshape
        work.remove(work.position(each))
    work.graph = replace(work.graph, constants={**work.graph.constants, scale: weight.scale})
    inputs = (node.inputs[0], weight.codes.value.name, scale, bias)
    work.replace(position, replace(node, op="quantizedLinear", inputs=inputs,
                                   attrs={"activation": ""}))  # fmt: skip


def biases(work: Rewriter) -> None:
    """y = add(quantizedLinear(x, c, s), bias)  ->  y = quantizedLinear(x, c, s, bias)"""
    for position, add in work.positions("add"):
        for name, bias in (add.inputs[:2], add.inputs[1::-1]):
            made = _private(work, name)
            constant = work.graph.constants.get(bias or "")
            if made is None or made.inputs[3] is not None or constant is None:
                continue
            if constant.value.shape == work.value(add.outputs[0]).shape[-1:]:
                joined = replace(add, op=made.op, inputs=(*made.inputs[:3], bias), attrs=made.attrs)
                work.replace(position, joined, gone=[made])
                work.did("bias of an 8-bit product", add, "join the product and its bias")
                break


def activations(work: Rewriter) -> None:
    """y = gelu(quantizedLinear(x, c, s, b))  ->  y = quantizedLinear(x, c, s, b) {gelu}"""
    for op in filter(None, ACTIVATIONS):
        for position, node in work.positions(op):
            made = _private(work, node.inputs[0])
            if made is not None:
                joined = replace(node, op=made.op, inputs=made.inputs, attrs={"activation": op})
                work.replace(position, joined, gone=[made])
                work.did("activation of an 8-bit product", node, f"join the product and {op}")


def _private(work: Rewriter, name: str | None) -> Node | None:
    """The quantizedLinear without an activation that makes `name`, if one node alone reads it."""
    made = work.made_by(name, "quantizedLinear")
    if made is None or made.attrs["activation"] or not work.private(name or ""):
        return None
    return None if work.reads_state(made) else made
