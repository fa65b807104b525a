"""Lowering of attention without a cache: keys and values as panels, then one step."""

from __future__ import annotations

from typing import cast

from ...dims import bound
from ...dtypes import DType
from ...errors import UnsupportedError
from ...graph.graph import Node
from ...plan.plan import Binding
from ..program import elements
from .emit import Number, Program, View, strides_of
from .lower_gemm import FLOPS, blocks, readable, spread
from .lower_view import merged_together
from .panels import MAX_AXES, NONE, ONE, packed, padded
from .rows import finish, floats, result

QUERIES = 32  # of an item


def attention(p: Program, node: Node) -> None:
    """softmax(q kᵀ · scale + mask) v, all but the last two axes broadcast."""
    q, k, v = (cast(str, name) for name in node.inputs[:3])
    mask = node.inputs[3]
    shapes = [p.value(name).shape for name in (q, k, v)]
    made = p.value(node.outputs[0]).shape
    batch, rank = made[:-2], len(made) - 2
    x, view = readable(p, node, q)
    steps = [spread(shapes[0][:-2], view.strides[:-2], rank)]
    added: str | Binding = x
    numbers: list[Number] = [0, 0, 0, 0]
    if mask is None:
        steps.append((0,) * rank)
    else:
        added, over = _mask(p, node, mask)
        every = spread(p.value(mask).shape, over.strides, rank + 2)
        steps.append(every[:-2])
        numbers = [1, over.offset, *every[-2:]]
    for shape in shapes[1:]:
        own = tuple(elements(shape[axis + 1 : -2]) for axis in range(len(shape) - 2))
        steps.append(spread(shape[:-2], own, rank))
    sizes, every_step = merged_together(batch, steps)
    if len(sizes) > MAX_AXES:
        raise UnsupportedError(
            "attention on wasm", got=f"batches of {', '.join(map(str, shapes))}",
            need=f"{MAX_AXES} axes that are broadcast differently", fix="reshape them",
        )  # fmt: skip
    keys, values = packed(p, node, k, turned=True), packed(p, node, v)
    y, to = result(p, node.outputs[0], range(len(made)))
    (n_queries, depth), n_keys, width = shapes[0][-2:], shapes[1][-2], made[-1]
    work = 2 * QUERIES * bound(n_keys) * (bound(depth) + bound(width))
    p.emit(
        "attend", node, [x, keys, values, added], [y],
        [n_queries, n_keys, depth, width, float(cast(float, node.attrs["scale"])),
         view.offset, view.strides[-2], *numbers, *padded(sizes, ONE),
         *(step for each in every_step for step in padded(each, NONE))],
        items=blocks(batch, n_queries, 1, QUERIES, 1), grain=max(FLOPS // max(work, 1), 1),
    )  # fmt: skip
    finish(p, node, y, to)


def _mask(p: Program, node: Node, name: str) -> tuple[str | Binding, View]:
    """Where the mask lies in float32, and how."""
    value, view = p.value(name), p.view(name)
    if value.dtype is DType.FLOAT32:
        return p.operand(view.root), view
    return floats(p, node, name), View(p.root(name), 0, strides_of(value.shape))
