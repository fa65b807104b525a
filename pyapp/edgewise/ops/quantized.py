"""Composites over quantised weights: value = codes · scale + minimum, per group along K.

Weights are [N, K], a row an output feature. 4-bit codes are uint4 (0 to 15), 8-bit codes int8;
`scale` and `minimum` are [N, K/g], and a `minimum` that is absent is zero. Everything is computed
in float32 and rounded once to `dtype`.
"""

from __future__ import annotations

from ..dims import Dim, bound
from ..dtypes import FLOATS, DType
from .base import Builder, In, Op, Param, Type, Value, register
from .llm import FLOAT32, check_kv, rms_norm
from .precision import F32, as_type, widened
from .shape import need

CODES = frozenset({DType.UINT4, DType.INT8})
INT8 = frozenset({DType.INT8})
ACTIVATIONS = ("", "relu", "gelu")
NORM_ATTRS = (Param("eps", "float", 0.0), Param("dtype", "dtype"))


def _weight(prefix: str = "") -> tuple[In, In, In]:
    return (In(f"{prefix}codes", CODES), In(f"{prefix}scale", FLOATS),
            In(f"{prefix}minimum", FLOATS, optional=True, like=f"{prefix}scale"))  # fmt: skip


NORM = In("norm", FLOAT32, optional=True)


def check_weight(codes: Value, scale: Value, minimum: Value | None) -> None:
    """Raise ShapeError unless the parts are [N, K] and twice [N, K/g], K a multiple of K/g."""
    known = len(codes.shape) == 2 and all(isinstance(dim, int) for dim in codes.shape)
    need(known, "codes", codes, "[N, K] in integers")
    groups = scale.shape[-1] if len(scale.shape) == 2 else 0
    whole = isinstance(groups, int) and groups > 0 and bound(codes.shape[1]) % groups == 0
    need(whole and scale.shape[0] == codes.shape[0], "scale", scale, f"[N, K/g] for {codes}")
    need(minimum is None or minimum.shape == scale.shape, "minimum", minimum, f"as scale {scale}")


def check_product(x: Value, codes: Value, norm: Value | None, dtype: DType) -> None:
    """Raise ShapeError unless x [M, K] meets codes [N, K] and norm [K]."""
    need(len(x.shape) == 2 and x.shape[1] == codes.shape[1], "input 'x'", x, f"[M, K] of {codes}")
    need(norm is None or norm.shape == x.shape[1:], "norm", norm, f"[K] of {x}")
    need(dtype in FLOATS, "dtype", dtype, "a float")


def dequantized(b: Builder, codes: Value, scale: Value, minimum: Value | None) -> Value:
    """codes · scale + minimum in float32, [R, K]."""
    rows, width = codes.shape
    groups = scale.shape[1]
    grouped = b.reshape(b.cast(codes, F32), (rows, groups, bound(width) // bound(groups)))
    out = b.mul(grouped, b.reshape(widened(b, scale), (rows, groups, 1)))
    if minimum is not None:
        out = b.add(out, b.reshape(widened(b, minimum), (rows, groups, 1)))
    flat: Value = b.reshape(out, (rows, width))
    return flat


def _matmul(
    x: Value, codes: Value, scale: Value, minimum: Value | None, norm: Value | None,
    residual: Value | None, *, eps: float, dtype: DType,
) -> list[Type]:  # fmt: skip
    check_weight(codes, scale, minimum)
    check_product(x, codes, norm, dtype)
    out = (x.shape[0], codes.shape[0])
    need(residual is None or residual.shape == out, "residual", residual, f"shape {out}")
    return [(dtype, out)]


def _matmul_decomposed(
    b: Builder, x: Value, codes: Value, scale: Value, minimum: Value | None, norm: Value | None,
    residual: Value | None, *, eps: float, dtype: DType,
) -> Value:  # fmt: skip
    wide = widened(b, x)
    if norm is not None:
        wide = rms_norm(b, wide, norm, eps=eps)
    out = b.matmul(wide, b.transpose(dequantized(b, codes, scale, minimum), (1, 0)))
    if residual is not None:
        out = b.add(widened(b, residual), out)
    return as_type(b, out, dtype)


def _linear(
    x: Value, codes: Value, scale: Value, bias: Value | None, *, activation: str
) -> list[Type]:
    known = len(codes.shape) == 2 and all(isinstance(dim, int) for dim in codes.shape)
    need(known and codes.shape[1] != 0, "codes", codes, "[N, K] in integers")
    n, k = codes.shape
    need(len(x.shape) > 1 and x.shape[-1] == k, "input 'x'", x, f"[..., M, K] of {codes}")
    need(scale.shape == (n, 1), "scale", scale, f"[N, 1] of {codes}")
    need(bias is None or bias.shape == (n,), "bias", bias, f"[N] of {codes}")
    need(activation in ACTIVATIONS, "activation", activation, f"one of {ACTIVATIONS}")
    return [(x.dtype, (*x.shape[:-1], n))]


def _linear_decomposed(
    b: Builder, x: Value, codes: Value, scale: Value, bias: Value | None, *, activation: str
) -> Value:
    weight = b.transpose(b.mul(b.cast(codes, F32), scale), (1, 0))
    out: Value = b.matmul(x, weight)
    if bias is not None:
        out = b.add(out, bias)
    if activation == "relu":
        out = b.relu(out)
    return b.gelu(out) if activation == "gelu" else out


def _swiglu(
    x: Value, gate_codes: Value, gate_scale: Value, gate_minimum: Value | None, up_codes: Value,
    up_scale: Value, up_minimum: Value | None, norm: Value | None, *, eps: float, dtype: DType,
) -> list[Type]:  # fmt: skip
    check_weight(gate_codes, gate_scale, gate_minimum)
    check_weight(up_codes, up_scale, up_minimum)
    check_product(x, gate_codes, norm, dtype)
    need(up_codes.shape == gate_codes.shape, "up_codes", up_codes, f"as gate {gate_codes}")
    return [(dtype, (x.shape[0], gate_codes.shape[0]))]


def _swiglu_decomposed(
    b: Builder, x: Value, gate_codes: Value, gate_scale: Value, gate_minimum: Value | None,
    up_codes: Value, up_scale: Value, up_minimum: Value | None, norm: Value | None, *,
    eps: float, dtype: DType,
) -> Value:  # fmt: skip
    wide = widened(b, x) if norm is None else rms_norm(b, widened(b, x), norm, eps=eps)
    gate = b.quantized_matmul(wide, gate_codes, gate_scale, gate_minimum, dtype=F32)
    up = b.quantized_matmul(wide, up_codes, up_scale, up_minimum, dtype=F32)
    return as_type(b, b.swiglu(gate, up), dtype)


def _qkv(
    x: Value, q_codes: Value, q_scale: Value, q_minimum: Value | None,
    k_codes: Value, k_scale: Value, k_minimum: Value | None,
    v_codes: Value, v_scale: Value, v_minimum: Value | None,
    norm: Value | None, k_state: Value, v_state: Value, *,
    heads: int, kv_heads: int, start: Dim, theta: float, dims: int, interleaved: bool,
    eps: float, dtype: DType,
) -> list[Type]:  # fmt: skip
    check_product(x, q_codes, norm, dtype)
    for codes, scale, minimum in ((q_codes, q_scale, q_minimum), (k_codes, k_scale, k_minimum),
                                  (v_codes, v_scale, v_minimum)):  # fmt: skip
        check_weight(codes, scale, minimum)
        need(codes.shape[1] == x.shape[1], "codes", codes, f"[N, K] of {x}")
    size = bound(q_codes.shape[0]) // max(heads, 1)
    need(q_codes.shape[0] == size * heads, "heads", heads, f"a divisor of N of {q_codes}")
    need(0 < dims <= size and dims % 2 == 0, "dims", dims, f"an even number up to {size}")
    need(kv_heads > 0 and heads % kv_heads == 0, "kv_heads", kv_heads, f"a divisor of {heads}")
    for name, codes, state in (("k_state", k_codes, k_state), ("v_state", v_codes, v_state)):
        need(codes.shape[0] == kv_heads * size, f"codes of {name!r}", codes,
             f"N = {kv_heads}·{size}")  # fmt: skip
        check_kv(state, Value("x", dtype, (x.shape[0], kv_heads, size)), start, name)
    return [(dtype, (x.shape[0], heads, size)), (k_state.dtype, k_state.shape),
            (v_state.dtype, v_state.shape)]  # fmt: skip


def _qkv_decomposed(
    b: Builder, x: Value, q_codes: Value, q_scale: Value, q_minimum: Value | None,
    k_codes: Value, k_scale: Value, k_minimum: Value | None,
    v_codes: Value, v_scale: Value, v_minimum: Value | None,
    norm: Value | None, k_state: Value, v_state: Value, *,
    heads: int, kv_heads: int, start: Dim, theta: float, dims: int, interleaved: bool,
    eps: float, dtype: DType,
) -> tuple[Value, Value, Value]:  # fmt: skip
    wide = widened(b, x) if norm is None else rms_norm(b, widened(b, x), norm, eps=eps)
    size = bound(q_codes.shape[0]) // heads

    def projected(codes: Value, scale: Value, minimum: Value | None, count: int) -> Value:
        flat = b.quantized_matmul(wide, codes, scale, minimum, dtype=dtype)
        out: Value = b.reshape(flat, (x.shape[0], count, size))
        return out

    def turned(value: Value) -> Value:
        out: Value = b.rotary(value, start, theta, dims, interleaved)
        return out

    q = turned(projected(q_codes, q_scale, q_minimum, heads))
    k = turned(projected(k_codes, k_scale, k_minimum, kv_heads))
    v = projected(v_codes, v_scale, v_minimum, kv_heads)
    return q, b.kv_update(k_state, k, start), b.kv_update(v_state, v, start)


def _gather(
    codes: Value, scale: Value, minimum: Value | None, ids: Value, *, dtype: DType
) -> list[Type]:
    check_weight(codes, scale, minimum)
    need(len(ids.shape) == 1, "ids", ids, "[S]")
    need(dtype in FLOATS, "dtype", dtype, "a float")
    return [(dtype, (ids.shape[0], codes.shape[1]))]


def _gather_decomposed(
    b: Builder, codes: Value, scale: Value, minimum: Value | None, ids: Value, *, dtype: DType
) -> Value:
    least = None if minimum is None else b.gather(minimum, ids)
    rows = dequantized(b, b.gather(codes, ids), b.gather(scale, ids), least)
    return as_type(b, rows, dtype)


register(Op(
    "quantizedMatmul",
    (In("x", FLOATS), *_weight(), NORM, In("residual", FLOATS, optional=True)),
    _matmul, attrs=NORM_ATTRS, decompose=_matmul_decomposed,
))  # fmt: skip

# For layers whose weights have one scale a row: a kernel may quantise x too, each row by itself.
register(Op(
    "quantizedLinear",
    (In("x", FLOAT32), In("codes", INT8), In("scale", FLOAT32),
     In("bias", FLOAT32, optional=True)),
    _linear, attrs=(Param("activation", "str", ""),), decompose=_linear_decomposed,
))  # fmt: skip

register(Op(
    "quantizedSwiglu", (In("x", FLOATS), *_weight("gate_"), *_weight("up_"), NORM),
    _swiglu, attrs=NORM_ATTRS, decompose=_swiglu_decomposed,
))  # fmt: skip

register(Op(
    "quantizedQkv",
    (In("x", FLOATS), *_weight("q_"), *_weight("k_"), *_weight("v_"), NORM,
     In("k_state", FLOATS), In("v_state", FLOATS, like="k_state")),
    _qkv,
    attrs=(Param("heads", "int"), Param("kv_heads", "int"), Param("start", "dim"),
           Param("theta", "float"), Param("dims", "int"), Param("interleaved", "bool"),
           *NORM_ATTRS),
    decompose=_qkv_decomposed, in_place={1: 11, 2: 12}, several=True,
))  # fmt: skip

register(Op(
    "quantizedGather", (*_weight(), In("ids", frozenset({DType.INT32}))), _gather,
    attrs=(Param("dtype", "dtype"),), decompose=_gather_decomposed,
))  # fmt: skip
