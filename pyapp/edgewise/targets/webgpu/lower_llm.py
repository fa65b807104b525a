"""Lowering of norms, rotary embedding, attention over the KV state, SwiGLU and sampling."""

from __future__ import annotations

from typing import cast

from ...dims import Dim
from ...errors import UnsupportedError
from ...graph.graph import Node, Value
from ...plan.plan import Binding
from .emit import SETTINGS_BYTES, Arg, Program, elements, is_one, per, wgsl_type
from .template import Literal
from .tuning import attention_row
from .weights import Weights


def rms_norm(p: Program, w: Weights, node: Node) -> None:
    """Each row by its root mean square, times the weight."""
    x, weight = node.inputs
    eps = cast(float, node.attrs["eps"])
    vector = w.vector(p.graph.constants[cast(str, weight)])
    emit_rms_norm(p, node, p.value(x), vector, p.value(node.outputs[0]), eps)


def emit_rms_norm(p: Program, node: Node, x: Value, weight: Binding, y: Value, eps: float) -> None:
    """The dispatch of rms_norm, for other lowerings too."""
    width = cast(int, x.shape[-1])
    args = [
        Arg("x", "read", "TX", x.name),
        Arg("weight", "read", "f32", weight),
        Arg("y", "write", "TY", y.name),
    ]
    p.emit(
        "rms_norm",
        node,
        args,
        [elements(x.shape[:-1])],
        consts={"D": width, "EPS": eps},
        types={"TX": wgsl_type(x), "TY": wgsl_type(y)},
    )


def frequencies(node: Node) -> dict[str, Literal]:
    """theta^(-2i/dims) for each pair, as a WGSL array."""
    theta, dims = cast(float, node.attrs["theta"]), cast(int, node.attrs["dims"])
    numbers = ", ".join(f"{theta ** (-2 * i / dims):.9g}" for i in range(dims // 2))
    return {"FREQUENCIES": f"array<f32, {dims // 2}>({numbers})", "ROTARY_DIMS": dims}


def rotary(p: Program, w: Weights, node: Node) -> None:
    """Pairs turned by their position."""
    emit_rotary(p, node, p.value(node.inputs[0]), p.value(node.outputs[0]))


def emit_rotary(p: Program, node: Node, x: Value, y: Value) -> None:
    """The dispatch of rotary, for other lowerings too."""
    pairs = elements((x.shape[0], cast(int, x.shape[1]) * cast(int, x.shape[2]) // 2))
    p.emit(
        "rotary",
        node,
        [Arg("x", "read", "T", x.name), Arg("y", "write", "T", y.name)],
        [per(pairs, 64)],
        consts={
            "HEADS": cast(int, x.shape[1]),
            "D": cast(int, x.shape[2]),
            "INTERLEAVED": cast(bool, node.attrs["interleaved"]),
            **frequencies(node),
        },
        types={"T": wgsl_type(x)},
        dims={"start": cast(Dim, node.attrs["start"]), "pairs": pairs},
    )


def kv_update(p: Program, w: Weights, node: Node) -> None:
    """New rows into a state, in place."""
    state, x = node.inputs
    p.alias(node.outputs[0], cast(str, state))
    emit_kv_update(p, node, p.value(x), p.value(state))


def emit_kv_update(p: Program, node: Node, x: Value, state: Value) -> None:
    """The dispatch of kv_update, for other lowerings too."""
    width = cast(int, state.shape[1]) * cast(int, state.shape[2])
    args = [Arg("x", "read", "TX", x.name), Arg("state", "write", "TS", state.name)]
    p.emit(
        "kv_update",
        node,
        args,
        [per(elements(x.shape), 64)],
        consts={"WIDTH": width},
        types={"TX": wgsl_type(x), "TS": wgsl_type(state)},
        dims={"start": cast(Dim, node.attrs["start"]), "elements": elements(x.shape)},
    )


def attention(p: Program, w: Weights, node: Node) -> None:
    """One workgroup a head for one query; tiles of queries otherwise."""
    q, k, v = node.inputs
    x, state, y = p.value(q), p.value(k), p.value(node.outputs[0])
    seq, heads, size = x.shape[0], cast(int, x.shape[1]), cast(int, x.shape[2])
    if size % 4 or size > 256:
        raise UnsupportedError(
            f"attention '{node.origin}' on webgpu",
            got=f"heads of {size}",
            need="a multiple of 4, at most 256",
        )
    args = [
        Arg("q", "read", "TX4", x.name),
        Arg("k", "read", "TS4", state.name),
        Arg("v", "read", "TS4", cast(str, v)),
        Arg("y", "write", "TX4", y.name),
    ]
    consts: dict[str, Literal] = {
        "H": heads,
        "KV_HEADS": cast(int, state.shape[1]),
        "D4": size // 4,
        "SCALE": cast(float, node.attrs["scale"]),
    }
    types = {"TX": wgsl_type(x), "TS": wgsl_type(state)}
    past = cast(Dim, node.attrs["past"])
    if is_one(seq):
        shape = attention_row(p.shared.facts, p.shared.features, size // 4)
        p.emit(
            shape.kernel,
            node,
            args,
            [heads],
            flags=shape.flags,
            consts={**consts, "WG": shape.threads},
            types=types,
            dims={"past": past},
        )
        return
    # Tiles sized so that queries, keys and scores fit 16 KiB of workgroup memory.
    qt, kt = (16, 32) if size <= 64 else (8, 16) if size <= 128 else (4, 8)
    p.emit(
        "attention",
        node,
        args,
        [heads, per(seq, qt)],
        consts={**consts, "QT": qt, "KT": kt, "EACH": -(-qt * size // 4 // 128)},
        types=types,
        dims={"past": past, "rows": seq},
    )


def swiglu(p: Program, w: Weights, node: Node) -> None:
    """silu(gate) · up, element by element."""
    gate, up = (p.value(name) for name in node.inputs)
    count = elements(gate.shape)
    args = [
        Arg("gate", "read", "T", gate.name),
        Arg("up", "read", "T", up.name),
        Arg("y", "write", "T", node.outputs[0]),
    ]
    p.emit(
        "swiglu",
        node,
        args,
        [per(count, 64)],
        types={"T": wgsl_type(gate)},
        dims={"elements": count},
    )


def mark_seen(p: Program, w: Weights, node: Node) -> None:
    """Ones where tokens occurred, in place."""
    seen, ids = node.inputs
    p.alias(node.outputs[0], cast(str, seen))
    rows = p.value(ids).shape[0]
    args = [Arg("ids", "read", "i32", cast(str, ids)), Arg("seen", "write", "u32", cast(str, seen))]
    p.emit("mark_seen", node, args, [per(rows, 64)], dims={"rows": rows})


def sample(p: Program, w: Weights, node: Node) -> None:
    """Scores and the best of each part in parallel, then one workgroup picks."""
    logits, seen, bias, settings = (cast(str, name) for name in node.inputs)
    if p.root(settings) not in p.shared.slot_inputs:
        raise UnsupportedError(
            f"sample '{node.origin}' on webgpu",
            got=f"settings '{settings}'",
            need=f"an input of the graph of at most {SETTINGS_BYTES} bytes",
        )
    vocab = cast(int, p.value(logits).shape[1])
    n_parts = -(-vocab // 1024)
    value = p.value(logits)
    scores = p.temporary(f"{node.outputs[0]}.scores", (vocab,), value.dtype)
    parts = p.temporary(f"{node.outputs[0]}.parts", (n_parts, 2), value.dtype)
    p.emit(
        "sample_scores",
        node,
        [
            Arg("logits", "read", "f32", logits),
            Arg("seen", "read", "u32", seen),
            Arg("bias", "read", "f32", bias),
            Arg("scores", "write", "f32", scores),
            Arg("parts", "write", "vec2f", parts),
        ],
        [n_parts],
        consts={"V": vocab},
    )
    p.emit(
        "sample_pick",
        node,
        [
            Arg("scores", "read", "f32", scores),
            Arg("parts", "read", "vec2f", parts),
            Arg("token", "write", "i32", node.outputs[0]),
        ],
        [1],
        consts={"V": vocab, "PARTS": n_parts},
    )
