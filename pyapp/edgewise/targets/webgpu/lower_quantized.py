"""Lowering of the composites over quantised weights: one row of x, or tiles of many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from ...dims import Dim
from ...graph.graph import Node, Value
from .emit import Arg, Program, is_one, per, wgsl_type
from .lower_llm import emit_kv_update, emit_rms_norm, emit_rotary, frequencies
from .template import Literal
from .tuning import matmul_rows, matvec
from .weights import Matrix, Packed, Weights


def quantized_gather(p: Program, w: Weights, node: Node) -> None:
    """One dispatch for each part of the table."""
    *weight, ids = node.inputs
    packed = w.matrix((_matrix(p, *weight),))
    y = p.value(node.outputs[0])
    words = packed.width * packed.bits // 32
    for part in packed.parts:
        args = [
            Arg("codes", "read", "u32", part.codes),
            Arg("scales", "read", "u32", part.scales),
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
    x, *weight, norm, residual = node.inputs
    packed = w.matrix((_matrix(p, *weight),))
    y = p.value(node.outputs[0])
    finish = [Arg("y", "write", "TY", y.name)]
    types = {"TY": wgsl_type(y)}
    if residual is not None:
        finish.append(Arg("residual", "read", "TR", residual))
        types["TR"] = wgsl_type(p.value(residual))
    _product(
        p,
        w,
        node,
        cast(str, x),
        norm,
        packed,
        finish,
        types,
        flags={"RESIDUAL": residual is not None},
        consts={"OUT": packed.rows},
    )


def quantized_swiglu(p: Program, w: Weights, node: Node) -> None:
    """Gate and up rows alternate in one packed matrix, so one thread has both of a result."""
    x, norm = node.inputs[0], node.inputs[7]
    matrices = (_matrix(p, *node.inputs[1:4]), _matrix(p, *node.inputs[4:7]))
    packed = w.matrix(matrices, alternate=True)
    y = p.value(node.outputs[0])
    _product(
        p,
        w,
        node,
        cast(str, x),
        norm,
        packed,
        [Arg("y", "write", "TY", y.name)],
        {"TY": wgsl_type(y)},
        flags={"SWIGLU": True},
        consts={"OUT": packed.rows // 2},
    )


def quantized_qkv(p: Program, w: Weights, node: Node) -> None:
    """q, k and v in one product whose results are rotated and written where they belong."""
    x, norm, k, v = (node.inputs[i] for i in (0, 10, 11, 12))
    for old, updated in zip((k, v), node.outputs[1:], strict=True):
        p.alias(updated, cast(str, old))
    matrices = tuple(_matrix(p, *node.inputs[i : i + 3]) for i in (1, 4, 7))
    attrs = node.attrs
    if not attrs["interleaved"]:
        # Pairs half a head apart are in no thread's reach: project, then rotate.
        _apart(p, w, node, matrices)
        return
    packed = w.matrix(matrices)
    y, state = p.value(node.outputs[0]), p.value(k)
    heads, kv_heads, head_dim = y.shape[1], attrs["kv_heads"], y.shape[2]
    finish = [
        Arg("y", "write", "TY", y.name),
        Arg("k_state", "write", "TS", cast(str, k)),
        Arg("v_state", "write", "TS", cast(str, v)),
    ]
    consts: dict[str, Literal] = {
        "OUT": packed.rows,
        "HEADS": cast(int, heads),
        "KV_HEADS": cast(int, kv_heads),
        "HEAD_DIM": cast(int, head_dim),
        **frequencies(node),
    }
    _product(
        p,
        w,
        node,
        cast(str, x),
        norm,
        packed,
        finish,
        {"TY": wgsl_type(y), "TS": wgsl_type(state)},
        flags={"QKV": True},
        consts=consts,
        dims={"start": cast(Dim, attrs["start"])},
    )


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
        _product(
            p,
            w,
            node,
            x,
            norm,
            packed,
            [Arg("y", "write", "TY", made.name)],
            {"TY": wgsl_type(made)},
            flags={},
            consts={"OUT": packed.rows},
        )
    q, key, val = values
    turned = Value(p.temporary(f"{key.name}.turned", key.shape, key.dtype), key.dtype, key.shape)
    emit_rotary(p, node, q, y)
    emit_rotary(p, node, key, turned)
    emit_kv_update(p, node, turned, state)
    emit_kv_update(p, node, val, p.value(v))


def _matrix(p: Program, codes: str | None, scale: str | None, minimum: str | None) -> Matrix:
    constants = p.graph.constants
    return Matrix(
        constants[cast(str, codes)],
        constants[cast(str, scale)],
        None if minimum is None else constants[minimum],
    )


def _quant_flags(packed: Packed) -> dict[str, bool]:
    return {"BITS4": packed.bits == 4, "WIDE": packed.wide}


def _product(
    p: Program,
    w: Weights,
    node: Node,
    x: str,
    norm: str | None,
    packed: Packed,
    finish: list[Arg],
    types: dict[str, str],
    *,
    flags: Mapping[str, bool],
    consts: Mapping[str, Literal],
    dims: Mapping[str, Dim] | None = None,
) -> None:
    """x times a packed matrix, part by part: `matvec` for one row, else `matmul`."""
    value = p.value(x)
    seq = value.shape[0]
    common_flags = {
        "SWIGLU": False,
        "QKV": False,
        "RESIDUAL": False,
        **_quant_flags(packed),
        **flags,
    }
    common = {"K": packed.width, "GROUP": packed.group, "TOTAL": packed.rows, **consts}
    if not is_one(seq) and norm is not None:
        # Tiles would normalise each row once for every 64 columns: do it once, ahead.
        eps = cast(float, node.attrs["eps"])
        name = p.temporary(f"{node.outputs[0]}.norm", value.shape, value.dtype)
        normed = Value(name, value.dtype, value.shape)
        emit_rms_norm(p, node, value, w.vector(p.graph.constants[norm]), normed, eps)
        value, norm = normed, None
    for part in packed.parts:
        if is_one(seq):
            _matvec(
                p,
                w,
                node,
                value,
                norm,
                packed,
                part_index=packed.parts.index(part),
                finish=finish,
                types=types,
                flags=common_flags,
                consts=common,
                dims=dims or {},
            )
        else:
            mr = matmul_rows(packed.rows)
            args = [
                Arg("x", "read", "TX4", value.name),
                Arg("codes", "read", "u32", part.codes),
                Arg("scales", "read", "u32", part.scales),
                *finish,
            ]
            p.emit(
                "matmul",
                node,
                args,
                [per(part.rows, 64), per(seq, 16 * mr)],
                flags={**common_flags, "MR4": mr == 4},
                consts={**common, "ROWS": part.rows, "ROW0": part.row0, "MR": mr},
                types={"TX": wgsl_type(value), **types},
                dims={"rows": seq, **(dims or {})},
            )


def _matvec(
    p: Program,
    w: Weights,
    node: Node,
    x: Value,
    norm: str | None,
    packed: Packed,
    *,
    part_index: int,
    finish: list[Arg],
    types: dict[str, str],
    flags: Mapping[str, bool],
    consts: Mapping[str, Literal],
    dims: Mapping[str, Dim],
) -> None:
    part = packed.parts[part_index]
    unit = 128 // packed.bits
    shape = matvec(p.shared.facts, p.shared.features, packed.rows, packed.width // unit)
    args = [
        Arg("x", "read", "TX4", x.name),
        Arg("codes", "read", "vec4u", part.codes),
        Arg("scales", "read", "u32", part.scales),
    ]
    if norm is not None:
        args.append(Arg("norm", "read", "vec4f", w.vector(p.graph.constants[norm])))
    groups = per(part.rows, shape.rows * (shape.threads // shape.lanes))
    p.emit(
        "matvec",
        node,
        [*args, *finish],
        [groups],
        flags={
            **flags,
            "NORM": norm is not None,
            "SUBGROUPS": shape.subgroups,
            "SHARED": not shape.subgroups and shape.lanes > 1,
        },
        consts={
            **consts,
            "ROWS": part.rows,
            "ROW0": part.row0,
            "UNIT": unit,
            "LANES": shape.lanes,
            "R": shape.rows,
            "WG": shape.threads,
            "EPS": float(cast(float, node.attrs["eps"])),
        },
        types={"TX": wgsl_type(x), **types},
        dims=dims,
    )
