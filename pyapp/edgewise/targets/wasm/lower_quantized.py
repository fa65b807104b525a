"""Lowering of the composites over quantised weights.

Activations are quantised to 16 bits by a step of their own, which does a norm on the way.
"""

from __future__ import annotations

from typing import cast

from ...dims import Dim, Expr, bound
from ...dtypes import DType
from ...graph.graph import Graph, Node
from ...plan.plan import Binding, count
from ..program import is_one
from .emit import Program, grain_of
from .lower_llm import frequencies, state_of
from .matrix import ROWS, Form, Matrix
from .quantized import place_matrices
from .rows import finish, floats, result

TILE = 4  # rows of x that share what is read of a matrix
X_NBYTES = 80  # of a block of 32 in a row of x
WORK = 1 << 17  # multiply-adds that are worth the while of a thread: some 8 us


#: Where a matrix of the node begins among its inputs: codes, scale, minimum.
MATRICES = {
    "quantizedMatmul": (1,), "quantizedSwiglu": (1, 4), "quantizedQkv": (1, 4, 7),
    "quantizedGather": (0,),
}  # fmt: skip


def suits(graph: Graph, node: Node) -> bool:
    """Whether there is a kernel for the matrices of a node: of one form, which panels can have."""
    forms = set()
    for first in MATRICES.get(node.op, ()):
        parts = [name for name in node.inputs[first : first + 3] if name is not None]
        if not all(name in graph.constants for name in parts):
            return False
        codes, scale = (graph.constants[name] for name in parts[:2])
        group = bound(codes.value.shape[1]) // bound(scale.value.shape[1])
        if group != 16 and group % 32:
            return False
        minimum = graph.constants[parts[2]] if len(parts) == 3 else None
        kind = codes.source.type if codes.source else "inline"
        forms.add((kind, Matrix(codes, scale, minimum).form))
    return len(forms) <= 1


def quantized_matmul(p: Program, node: Node) -> None:
    """y = x Wᵀ, with norm before and residual after where the node has them."""
    x, *_, norm, residual = node.inputs
    matrix = Matrix.of(p.graph, node)
    made, to = result(p, node.outputs[0])
    tiles, numbers = _quantised(p, node, cast(str, x), norm, matrix.form)
    added = tiles if residual is None else floats(p, node, residual)
    p.emit(
        "quant_matmul", node, [place_matrices(p.weights, [matrix]), tiles, added], [made],
        [*numbers, matrix.rows, residual is not None],
        items=matrix.panels, grain=_grain(numbers[-1], matrix),
    )  # fmt: skip
    finish(p, node, made, to)


def quantized_swiglu(p: Program, node: Node) -> None:
    """Panels of gate and up alternate, so that one item has both of a result."""
    x, norm = node.inputs[0], node.inputs[7]
    gate, up = (Matrix.of(p.graph, node, first) for first in (1, 4))
    made, to = result(p, node.outputs[0])
    tiles, numbers = _quantised(p, node, cast(str, x), norm, gate.form)
    p.emit(
        "quant_swiglu", node, [place_matrices(p.weights, [gate, up], alternate=True), tiles],
        [made], [*numbers, gate.rows],
        items=gate.panels, grain=max(_grain(numbers[-1], gate) // 2, 1),
    )  # fmt: skip
    finish(p, node, made, to)


def quantized_qkv(p: Program, node: Node) -> None:
    """q, k and v in one product; then one step turns them and puts them where they belong."""
    x, norm, k_state, v_state = (node.inputs[i] for i in (0, 10, 11, 12))
    q, k, _ = matrices = [Matrix.of(p.graph, node, first) for first in (1, 4, 7)]
    attrs, made = node.attrs, node.outputs[0]
    for old, updated in zip((k_state, v_state), node.outputs[1:], strict=True):
        p.alias(updated, cast(str, old))
    tiles, numbers = _quantised(p, node, cast(str, x), norm, q.form)
    panels = sum(m.panels for m in matrices)
    seq = p.value(x).shape[0]
    product = p.temporary(f"{made}.product", (seq, panels * ROWS), DType.FLOAT32)
    p.emit(
        "quant_matmul", node, [place_matrices(p.weights, matrices), tiles, tiles], [product],
        [*numbers, panels * ROWS, 0], items=panels, grain=_grain(numbers[-1], q),
    )  # fmt: skip
    states = [state_of(p, name) for name in (k_state, v_state)]
    turned, to = result(p, made)
    _, heads, size = p.value(made).shape
    p.emit(
        "qkv_place", node, [product, frequencies(p, node)], [turned, *states],
        [heads, cast(int, attrs["kv_heads"]), size, cast(int, attrs["dims"]),
         cast(bool, attrs["interleaved"]), cast(Dim, attrs["start"]), panels * ROWS,
         q.panels * ROWS, (q.panels + k.panels) * ROWS,
         p.value(k_state).dtype is DType.FLOAT16],
        items=seq, grain=4,
    )  # fmt: skip
    finish(p, node, turned, to)


def quantized_gather(p: Program, node: Node) -> None:
    """Rows by their numbers, in floats."""
    ids = node.inputs[3]
    matrix = Matrix.of(p.graph, node, 0)
    made, to = result(p, node.outputs[0])
    p.emit(
        "quant_gather", node,
        [place_matrices(p.weights, [matrix]), p.dense(cast(str, ids), node)], [made],
        [*matrix.form.numbers, matrix.rows, matrix.width],
        items=p.value(ids).shape[0], grain=grain_of(matrix.width, 1 << 13),
    )  # fmt: skip
    finish(p, node, made, to)


def _quantised(
    p: Program, node: Node, x: str, norm: str | None, form: Form
) -> tuple[str, tuple[int, int, int, int, Dim]]:
    """Tiles of x, and the numbers of a product up to the rows of x; made once for all readers."""
    seq, width = p.value(x).shape
    tile = 1 if is_one(seq) else TILE
    numbers = (*form.numbers, tile, seq)
    key = (p.root(x), f"tiles {norm} {node.attrs['eps']}")
    if key in p.made:
        return p.made[key], numbers
    rows = -(-bound(seq) // tile) * tile
    made = p.temporary(f"{x}.tiles", (rows * -(-bound(width) // 32), X_NBYTES), DType.UINT8)
    given = floats(p, node, x)
    along: str | Binding = given if norm is None else p.dense(norm, node)
    p.emit(
        "quant_x", node, [given, along], [made],
        [tile, seq, width, norm is not None, float(cast(float, node.attrs["eps"]))],
        items=count(seq, tile), grain=grain_of(width, 1 << 14),
    )  # fmt: skip
    p.made[key] = made
    return made, numbers


def _grain(rows: Dim, matrix: Matrix) -> int:
    """Panels that are worth the while of a thread; with many rows each of them is."""
    return 1 if isinstance(rows, Expr) else grain_of((rows, ROWS, matrix.width), WORK)


PRODUCTS = {
    "quantizedMatmul": quantized_matmul,
    "quantizedSwiglu": quantized_swiglu,
    "quantizedQkv": quantized_qkv,
    "quantizedGather": quantized_gather,
}
