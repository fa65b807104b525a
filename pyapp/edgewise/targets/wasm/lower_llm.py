"""Lowering of the composites between the matrices of a language model."""

from __future__ import annotations

import struct
from typing import cast

from ...dims import Dim
from ...dtypes import DType
from ...graph.graph import Node
from ...plan.plan import Binding
from ..program import elements
from .emit import Program, grain_of
from .rows import WORK, finish, floats, result


def rms_norm(p: Program, node: Node) -> None:
    """Each row by its root mean square, times the weight."""
    x, weight = (cast(str, name) for name in node.inputs)
    *outer, width = p.value(x).shape
    made, to = result(p, node.outputs[0])
    p.emit(
        "rms_norm", node, [floats(p, node, x), p.dense(weight, node)], [made],
        [width, float(cast(float, node.attrs["eps"]))],
        items=elements(outer), grain=grain_of(width, WORK),
    )  # fmt: skip
    finish(p, node, made, to)


def frequencies(p: Program, node: Node) -> Binding:
    """theta^(-2i/dims) for each pair, in whole vectors."""
    theta, dims = cast(float, node.attrs["theta"]), cast(int, node.attrs["dims"])
    name = f"frequencies {theta} {dims}"
    if name not in p.weights.placed:
        n = -(-dims // 8) * 4
        numbers = [theta ** (-2 * i / dims) for i in range(n)]
        place = p.weights.placed[name] = p.weights.place(4 * n, None)
        p.weights.inline.append((place, struct.pack(f"<{n}f", *numbers)))
    return p.weights.placed[name]


def rotary(p: Program, node: Node) -> None:
    """Pairs turned by their position."""
    x = cast(str, node.inputs[0])
    seq, heads, size = p.value(x).shape
    attrs = node.attrs
    made, to = result(p, node.outputs[0])
    p.emit(
        "rotary", node, [floats(p, node, x), frequencies(p, node)], [made],
        [heads, size, cast(int, attrs["dims"]), cast(bool, attrs["interleaved"]),
         cast(Dim, attrs["start"])],
        items=seq, grain=grain_of((heads, size), WORK // 8),
    )  # fmt: skip
    finish(p, node, made, to)


def state_of(p: Program, name: str | None) -> str:
    """A state that a step writes; what was made of its bytes before is old."""
    root = p.root(cast(str, name))
    for key in [key for key in p.made if key[0] == root]:
        del p.made[key]
    return root


def kv_update(p: Program, node: Node) -> None:
    """New rows into a state, in place."""
    state, x = (cast(str, name) for name in node.inputs)
    width = elements(p.value(state).shape[1:])
    given = floats(p, node, x)
    p.alias(node.outputs[0], state)
    p.emit(
        "kv_update", node, [given], [state_of(p, state)],
        [width, cast(Dim, node.attrs["start"]), p.value(state).dtype is DType.FLOAT16],
        items=p.value(x).shape[0], grain=grain_of(width, WORK),
    )  # fmt: skip


def attention(p: Program, node: Node) -> None:
    """Head by head for one query."""
    q, k, v = (cast(str, name) for name in node.inputs)
    seq, heads, size = p.value(q).shape
    made, to = result(p, node.outputs[0])
    p.emit(
        "attention_rows", node, [floats(p, node, name) for name in (q, k, v)], [made],
        [heads, p.value(k).shape[1], size, cast(Dim, node.attrs["past"]),
         float(cast(float, node.attrs["scale"]))],
        items=elements((seq, heads)), grain=1,
    )  # fmt: skip
    finish(p, node, made, to)


def swiglu(p: Program, node: Node) -> None:
    """silu(gate) · up, element by element."""
    given = [floats(p, node, cast(str, name)) for name in node.inputs]
    made, to = result(p, node.outputs[0])
    size = elements(p.value(node.inputs[0]).shape)
    p.emit("swiglu", node, given, [made], items=size, grain=WORK // 4)
    finish(p, node, made, to)


BETWEEN = {
    "rmsNorm": rms_norm,
    "rotary": rotary,
    "kvUpdate": kv_update,
    "attention": attention,
    "swiglu": swiglu,
}
