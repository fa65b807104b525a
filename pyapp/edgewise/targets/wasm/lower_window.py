"""Lowering of poolings and of resample2d."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from ...dims import Dim
from ...graph.graph import Node
from ...ops.window import canonical
from ..program import elements, n_elements
from .emit import Program
from .lower_rows import COMPUTED, fold
from .rows import WORK, finish, floats, result

AVERAGE, ROOT = 0, 1  # the numbers of window.c

#: The reduction that a pooling is where one window covers everything.
WHOLE = {"averagePool2d": "reduceMean", "maxPool2d": "reduceMax", "l2Pool2d": "reduceL2"}


def pool(p: Program, node: Node) -> None:
    """averagePool2d, maxPool2d, l2Pool2d in either layout."""
    x, y = p.value(node.inputs[0]), p.value(node.outputs[0])
    layout = cast(str, node.attrs["layout"])
    batches, channels, *size = canonical(x.shape, layout)
    out = canonical(y.shape, layout)[2:]
    window = tuple(cast(tuple[int, int] | None, node.attrs.get("windowDimensions")) or size)
    padding, strides, dilations = (
        cast(tuple[int, ...], node.attrs[name]) for name in ("padding", "strides", "dilations")
    )
    if window == tuple(size) and out == (1, 1) and not any(padding) and dilations == (1, 1):
        fold(p, node, WHOLE[node.op], [layout.index("h"), layout.index("w")])
        return
    planes, inner = ((batches, channels), 1) if layout == "nchw" else ((batches,), channels)
    made, to = result(p, y.name)
    p.emit(
        f"pool_max_{COMPUTED[x.dtype]}" if node.op == "maxPool2d" else "pool_f32",
        node, [floats(p, node, x.name)], [made],
        [*size, *out, inner, *window, *strides, *dilations, padding[0], padding[2],
         ROOT if node.op == "l2Pool2d" else AVERAGE],
        items=elements((*planes, out[0])), grain=_grain((*window, out[1], inner)),
    )  # fmt: skip
    finish(p, node, made, to)


def resample2d(p: Program, node: Node) -> None:
    """Along any two axes. The nearest element is moved as it is, whatever its type."""
    x, y = p.value(node.inputs[0]), p.value(node.outputs[0])
    first, second = sorted(cast(tuple[int, int], node.attrs["axes"]))
    sizes = [
        x.shape[first], x.shape[second], y.shape[first], y.shape[second],
        elements(x.shape[first + 1 : second]), elements(x.shape[second + 1 :]),
    ]  # fmt: skip
    items = elements((*x.shape[:first], y.shape[first], *x.shape[first + 1 : second]))
    grain = _grain(y.shape[second:])
    if node.attrs["mode"] == "nearest-neighbor":
        size = x.dtype.bits // 8
        p.emit("resample_nearest", node, [p.dense(x.name, node)], [y.name], [*sizes, size],
               items=items, grain=grain)  # fmt: skip
        return
    made, to = result(p, y.name)
    p.emit(f"resample_linear_{COMPUTED[x.dtype]}", node, [floats(p, node, x.name)], [made], sizes,
           items=items, grain=grain)  # fmt: skip
    finish(p, node, made, to)


def _grain(each: Sequence[Dim]) -> int:
    """Items that are worth the while of a thread, if each takes so many steps."""
    return max(WORK // max(n_elements(tuple(each)), 1), 1)
