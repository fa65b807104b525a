"""Composites of language models: RMS norm, rotary embedding, attention over a KV state, SwiGLU.

Each carries its meaning as a decomposition into WebNN rows. They compute in float32 whatever
their inputs' type and round once, at the end.
"""

from __future__ import annotations

from ..dims import Dim, bound
from ..dtypes import FLOATS, DType
from .base import Builder, In, Op, Param, Type, Value, register
from .precision import F32, LOWEST, as_type, widened
from .shape import check_range, elementwise, like, need

FLOAT32 = frozenset({F32})


def _rms_norm(x: Value, weight: Value, *, eps: float) -> list[Type]:
    need(weight.shape == x.shape[-1:], "input 'weight'", weight, f"the last dimension of {x}")
    return like(x)


def rms_norm(b: Builder, x: Value, weight: Value, *, eps: float) -> Value:
    """x / sqrt(mean(x²) + eps) · weight, over the last axis."""
    wide = widened(b, x)
    last = len(x.shape) - 1
    mean = b.reduce_mean(b.mul(wide, wide), axes=(last,), keep_dimensions=True)
    inverse = b.reciprocal(b.sqrt(b.add(mean, b.scalar(F32, eps))))
    return as_type(b, b.mul(b.mul(wide, inverse), weight), x.dtype)


def check_heads(x: Value, name: str) -> None:
    """Raise ShapeError unless `x` is [S, H, D] with known heads and head size."""
    good = len(x.shape) == 3 and all(isinstance(dim, int) for dim in x.shape[1:])
    need(good, f"input {name!r}", x, "[S, H, D] with integers H and D")


def _rotary(x: Value, *, start: Dim, theta: float, dims: int, interleaved: bool) -> list[Type]:
    check_heads(x, "x")
    size = x.shape[2]
    assert isinstance(size, int)
    need(0 < dims <= size and dims % 2 == 0, "dims", dims, f"an even number up to {size}")
    return like(x)


def _rotary_decomposed(
    b: Builder, x: Value, *, start: Dim, theta: float, dims: int, interleaved: bool
) -> Value:
    seq, heads, size = x.shape
    half = dims // 2
    wide = widened(b, x)
    turned = b.slice(wide, (0, 0, 0), (seq, heads, dims)) if dims != size else wide
    positions = b.slice(b.arange(F32, bound(start + seq)), (start,), (seq,))
    speeds = b.vector(F32, [theta ** (-2 * i / dims) for i in range(half)])
    angles = b.mul(b.reshape(positions, (seq, 1, 1)), speeds)
    pairs = (seq, heads, half, 2) if interleaved else (seq, heads, 2, half)
    axis = 3 if interleaved else 2
    table = (seq, 1, half, 1) if interleaved else (seq, 1, 1, half)
    cos, sin = b.reshape(b.cos(angles), table), b.reshape(b.sin(angles), table)
    first, second = b.split(b.reshape(turned, pairs), 2, axis)
    rotated = b.concat(
        [b.sub(b.mul(first, cos), b.mul(second, sin)),
         b.add(b.mul(first, sin), b.mul(second, cos))], axis)  # fmt: skip
    out = b.reshape(rotated, (seq, heads, dims))
    if dims != size:
        out = b.concat([out, b.slice(wide, (0, 0, dims), (seq, heads, size - dims))], 2)
    return as_type(b, out, x.dtype)


def check_kv(state: Value, x: Value, start: Dim, name: str) -> None:
    """Raise ShapeError unless rows `start`.. of `state` [T, KH, D] can hold `x` [S, KH, D]."""
    check_heads(state, name)
    need(isinstance(state.shape[0], int), f"input {name!r}", state, "a length known in advance")
    need(x.shape[1:] == state.shape[1:], "input 'x'", x, f"the heads of {state}")
    check_range(f"rows of {name!r}", start, x.shape[0], state.shape[0])


def _kv_update(state: Value, x: Value, *, start: Dim) -> list[Type]:
    check_heads(x, "x")
    check_kv(state, x, start, "state")
    return like(state)


def _kv_update_decomposed(b: Builder, state: Value, x: Value, *, start: Dim) -> Value:
    rows = b.slice(b.arange(DType.INT32, bound(state.shape[0])), (start,), x.shape[:1])
    indices = b.expand(b.reshape(rows, (x.shape[0], 1, 1)), x.shape)
    out: Value = b.scatter_elements(state, indices, as_type(b, x, state.dtype), axis=0)
    return out


def _attention(q: Value, k: Value, v: Value, *, past: Dim, scale: float) -> list[Type]:
    for name, value in (("q", q), ("k", k), ("v", v)):
        check_heads(value, name)
    heads, kv_heads = bound(q.shape[1]), bound(k.shape[1])
    need(k.shape == v.shape, "input 'v'", v, f"the shape of k {k}")
    need(k.shape[2] == q.shape[2], "input 'k'", k, f"the head size of q {q}")
    need(heads % kv_heads == 0, "heads", heads, f"a multiple of the {kv_heads} of k")
    check_range("keys", past, q.shape[0], k.shape[0])
    return like(q)


def _attention_decomposed(
    b: Builder, q: Value, k: Value, v: Value, *, past: Dim, scale: float
) -> Value:
    seq, heads, size = q.shape
    kv_heads = bound(k.shape[1])
    keys = past + seq

    def seen(state: Value, order: tuple[int, ...]) -> Value:
        """The first `keys` rows with the heads outermost, [KH, 1, …]."""
        rows = widened(b, b.slice(state, (0, 0, 0), (keys, kv_heads, size)))
        turned = b.transpose(rows, order)
        out: Value = b.reshape(turned, (kv_heads, 1, *turned.shape[1:]))
        return out

    grouped = b.reshape(b.transpose(widened(b, q), (1, 0, 2)),
                        (kv_heads, bound(heads) // kv_heads, seq, size))  # fmt: skip
    scores = b.mul(b.matmul(grouped, seen(k, (1, 2, 0))), b.scalar(F32, scale))
    places = b.arange(DType.INT32, max(bound(keys), bound(k.shape[0])))
    key = b.reshape(b.slice(places, (0,), (keys,)), (1, keys))
    query = b.reshape(b.slice(places, (past,), (seq,)), (seq, 1))
    masked = b.where(b.lesser_or_equal(key, query), scores, b.scalar(F32, LOWEST))
    mixed = b.matmul(b.softmax(masked, 3), seen(v, (1, 0, 2)))
    out = b.transpose(b.reshape(mixed, (heads, seq, size)), (1, 0, 2))
    return as_type(b, out, q.dtype)


def _swiglu(b: Builder, gate: Value, up: Value) -> Value:
    wide = widened(b, gate)
    out = b.mul(b.mul(wide, b.sigmoid(wide)), widened(b, up))
    return as_type(b, out, gate.dtype)


register(Op(
    "rmsNorm", (In("x", FLOATS), In("weight", FLOAT32)), _rms_norm,
    attrs=(Param("eps", "float"),), decompose=rms_norm,
))  # fmt: skip

register(Op(
    "rotary", (In("x", FLOATS),), _rotary,
    attrs=(Param("start", "dim"), Param("theta", "float"), Param("dims", "int"),
           Param("interleaved", "bool")),
    decompose=_rotary_decomposed,
))  # fmt: skip

register(Op(
    "kvUpdate", (In("state", FLOATS), In("x", FLOATS)), _kv_update,
    attrs=(Param("start", "dim"),), decompose=_kv_update_decomposed, in_place={0: 0},
))  # fmt: skip

register(Op(
    "attention", (In("q", FLOATS), In("k", FLOATS), In("v", FLOATS, like="k")), _attention,
    attrs=(Param("past", "dim"), Param("scale", "float")), decompose=_attention_decomposed,
))  # fmt: skip

register(Op(
    "swiglu", (In("gate", FLOATS), In("up", FLOATS, like="gate")), elementwise, decompose=_swiglu,
))  # fmt: skip
