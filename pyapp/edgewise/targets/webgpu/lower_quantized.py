"""Lowering of the composites over quantised weights: one row of x, or tiles of many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from ...dims import Dim
from ...graph.graph import Node, Value
from ...plan.plan import Binding
from ..factored import Matrix
from .emit import Arg, Program, is_one, per, wgsl_type
from .lower_llm import emit_kv_update, emit_rms_norm, emit_rotary, frequencies
from .template import Literal
from .tuning import matmul, matvec
from .weights import Packed, Part, Weights


def quantized_gather(p: Program, w: Weights, node: Node) -> None:
    """One dispatch for each part of the table."""
    ids = node.inputs[3]
    packed = w.matrix((Matrix.of(p.graph, node, 0),))
    y = p.value(node.outputs[0])
    words = packed.width * packed.bits // 32
    for part in packed.parts:
        args = [
            *_weights(part, "u32"),
            Arg("ids", "read", "i32", cast(str, ids)),
            Arg("y", "write", "TY", y.name),
        ]
        p.emit(
            "quantized_gather",
            node,
            args,
            [per(words, 64), p.value(ids).shape[0]],
            flags=_quant_flags(packed),
            consts={"K": packed.width, "GROUP": packed.group, "ROWS": part.rows, "ROW0": part.row0},
            types={"TY": wgsl_type(y)},
        )


def quantized_matmul(p: Program, w: Weights, node: Node) -> None:
    """y = x Wᵀ, with norm before and residual after where the node has them."""
    x, *_, norm, residual = node.inputs
    packed = w.matrix((Matrix.of(p.graph, node),))
    y = p.value(node.outputs[0])
    args, types = [Arg("y", "write", "TY", y.name)], {"TY": wgsl_type(y)}
    if residual is not None:
        args.append(Arg("residual", "read", "TR", residual))
        types["TR"] = wgsl_type(p.value(residual))
    flags = {"RESIDUAL": residual is not None}
    finish = _Finish(args, types, flags, {"OUT": packed.rows})
    _product(p, w, node, cast(str, x), norm, packed, finish)


def quantized_swiglu(p: Program, w: Weights, node: Node) -> None:
    """Gate and up rows alternate in one packed matrix, so one thread has both of a result."""
    x, norm = node.inputs[0], node.inputs[7]
    matrices = tuple(Matrix.of(p.graph, node, first) for first in (1, 4))
    packed = w.matrix(matrices, alternate=True)
    y = p.value(node.outputs[0])
    out = [Arg("y", "write", "TY", y.name)]
    finish = _Finish(out, {"TY": wgsl_type(y)}, {"SWIGLU": True}, {"OUT": packed.rows // 2})
    _product(p, w, node, cast(str, x), norm, packed, finish)


def quantized_qkv(p: Program, w: Weights, node: Node) -> None:
    """q, k and v in one product whose results are rotated and written where they belong."""
    x, norm, k, v = (node.inputs[i] for i in (0, 10, 11, 12))
    for old, updated in zip((k, v), node.outputs[1:], strict=True):
        p.alias(updated, cast(str, old))
    matrices = tuple(Matrix.of(p.graph, node, first) for first in (1, 4, 7))
    attrs = node.attrs
    if not attrs["interleaved"]:
        # Pairs half a head apart are in no thread's reach: project, then rotate.
        _apart(p, w, node, matrices)
        return
    packed = w.matrix(matrices)
    y, state = p.value(node.outputs[0]), p.value(k)
    args = [
        Arg("y", "write", "TY", y.name),
        Arg("k_state", "write", "TS", cast(str, k)),
        Arg("v_state", "write", "TS", cast(str, v)),
    ]
    consts: dict[str, Literal] = {
        "OUT": packed.rows,
        "HEADS": cast(int, y.shape[1]),
        "KV_HEADS": cast(int, attrs["kv_heads"]),
        "HEAD_DIM": cast(int, y.shape[2]),
        **frequencies(node),
    }
    types = {"TY": wgsl_type(y), "TS": wgsl_type(state)}
    finish = _Finish(args, types, {"QKV": True}, consts, {"start": cast(Dim, attrs["start"])})
    _product(p, w, node, cast(str, x), norm, packed, finish)


def _apart(p: Program, w: Weights, node: Node, matrices: tuple[Matrix, ...]) -> None:
    x, norm, k, v = (cast(str, node.inputs[i]) for i in (0, 10, 11, 12))
    y, state = p.value(node.outputs[0]), p.value(k)
    seq = y.shape[0]
    kv_shape = (seq, *state.shape[1:])
    values = [
        Value(p.temporary(f"{node.outputs[0]}.{name}", shape, y.dtype), y.dtype, shape)
        for name, shape in (("q", y.shape), ("k", kv_shape), ("v", kv_shape))
    ]
    for made, matrix in zip(values, matrices, strict=True):
        packed = w.matrix((matrix,))
        out = [Arg("y", "write", "TY", made.name)]
        finish = _Finish(out, {"TY": wgsl_type(made)}, {}, {"OUT": packed.rows})
        _product(p, w, node, x, norm, packed, finish)
    q, key, val = values
    turned = Value(p.temporary(f"{key.name}.turned", key.shape, key.dtype), key.dtype, key.shape)
    emit_rotary(p, node, q, y)
    emit_rotary(p, node, key, turned)
    emit_kv_update(p, node, turned, state)
    emit_kv_update(p, node, val, p.value(v))


def _quant_flags(packed: Packed) -> dict[str, bool]:
    return {"BITS4": packed.bits == 4, "WIDE": packed.wide}


@dataclass(frozen=True, slots=True)
class _Finish:
    """What becomes of a product: see kernels/finish.wgsl."""

    args: list[Arg]
    types: dict[str, str]
    flags: Mapping[str, bool]
    consts: Mapping[str, Literal]
    dims: Mapping[str, Dim] = field(default_factory=dict)


def _product(
    p: Program, w: Weights, node: Node, x: str, norm: str | None, packed: Packed, finish: _Finish
) -> None:
    """x times a packed matrix, part by part: `matvec` for one row, tiles for many."""
    value = p.value(x)
    weight = None if norm is None else w.vector(p.graph.constants[norm])
    if is_one(value.shape[0]):
        for part in packed.parts:
            _row(p, node, value, weight, packed, part, finish)
        return
    if weight is not None:
        # Tiles would normalise each row once for every column of tiles: do it once, ahead.
        name = p.temporary(f"{node.outputs[0]}.norm", value.shape, value.dtype)
        normed = Value(name, value.dtype, value.shape)
        emit_rms_norm(p, node, value, weight, normed, cast(float, node.attrs["eps"]))
        value = normed
    for part in packed.parts:
        _tiles(p, node, value, packed, part, finish)


def _tiles(p: Program, node: Node, x: Value, packed: Packed, part: Part, finish: _Finish) -> None:
    shape = matmul(p.shared.facts, packed.rows)
    args = [Arg("x", "read", "TX4", x.name), *_weights(part, "u32"), *finish.args]
    wide, high = shape.tile
    p.emit(
        shape.kernel,
        node,
        args,
        [per(part.rows, wide), per(x.shape[0], high)],
        flags=_flags(packed, finish) | shape.flags,
        consts=_consts(packed, part, finish) | shape.consts,
        types={"TX": wgsl_type(x), **finish.types},
        dims={"rows": x.shape[0], **finish.dims},
    )


def _row(
    p: Program,
    node: Node,
    x: Value,
    norm: Binding | None,
    packed: Packed,
    part: Part,
    finish: _Finish,
) -> None:
    unit = 128 // packed.bits
    shape = matvec(p.shared.facts, p.shared.features, packed.rows, packed.width // unit)
    args = [Arg("x", "read", "TX4", x.name), *_weights(part, "vec4u")]
    if norm is not None:
        args.append(Arg("norm", "read", "vec4f", norm))
    how = {
        "NORM": norm is not None,
        "SUBGROUPS": shape.subgroups,
        "SHARED": not shape.subgroups and shape.lanes > 1,
    }
    sizes: dict[str, Literal] = {
        "UNIT": unit,
        "LANES": shape.lanes,
        "R": shape.rows,
        "WG": shape.threads,
        "EPS": float(cast(float, node.attrs["eps"])),
    }
    p.emit(
        "matvec",
        node,
        [*args, *finish.args],
        [per(part.rows, shape.rows * (shape.threads // shape.lanes))],
        flags=_flags(packed, finish) | how,
        consts=_consts(packed, part, finish) | sizes,
        types={"TX": wgsl_type(x), **finish.types},
        dims=finish.dims,
    )


def _weights(part: Part, element: str) -> list[Arg]:
    return [Arg("codes", "read", element, part.codes), Arg("scales", "read", "u32", part.scales)]


def _flags(packed: Packed, finish: _Finish) -> dict[str, bool]:
    none = {"SWIGLU": False, "QKV": False, "RESIDUAL": False}
    return {**none, **_quant_flags(packed), **finish.flags}


def _consts(packed: Packed, part: Part, finish: _Finish) -> dict[str, Literal]:
    return {
        "K": packed.width,
        "GROUP": packed.group,
        "TOTAL": packed.rows,
        "ROWS": part.rows,
        "ROW0": part.row0,
        **finish.consts,
    }
