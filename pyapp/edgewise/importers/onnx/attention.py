"""Attention and rotary embedding of ONNX's own domain (opset 23 and later)."""

from __future__ import annotations

from math import sqrt

from ...dtypes import DType
from ...graph.graph import Value
from .fold import ints
from .registry import Call, onnx_op

F32, I64, U8 = DType.FLOAT32, DType.INT64, DType.UINT8
INF = float("inf")


def heads(c: Call, x: Value, count: int) -> Value:
    """[batch, length, heads * size] as [batch, heads, length, size]."""
    n, length, width = ints(x)
    split = c.b.reshape(x, (n, length, count, width // count))
    return c.b.transpose(split, permutation=(0, 2, 1, 3))


def joined(c: Call, x: Value) -> Value:
    """[batch, heads, length, size] as [batch, length, heads * size]."""
    n, count, length, size = ints(x)
    return c.b.reshape(c.b.transpose(x, permutation=(0, 2, 1, 3)), (n, length, count * size))


def repeated(c: Call, x: Value, times: int) -> Value:
    """Every head `times` times, one beside the other."""
    if times == 1:
        return x
    n, count, length, size = ints(x)
    wide = c.b.expand(c.b.reshape(x, (n, count, 1, length, size)), (n, count, times, length, size))
    return c.b.reshape(wide, (n, count * times, length, size))


@onnx_op("Attention", since=23)
def Attention(c: Call) -> tuple[Value, Value, Value, Value]:
    """softmax(softcap(q k' scale) + bias) v, with a cache before k and v or in them."""
    q, k, v = c[0], c[1], c[2]
    flat = len(q.shape) == 3
    if flat:
        q = heads(c, q, c.int("q_num_heads"))
        k, v = (heads(c, each, c.int("kv_num_heads")) for each in (k, v))
    past = 0
    if c.get(4) is not None:
        past = c.shape(4)[2]
        k, v = c.b.concat([c[4], k], 2), c.b.concat([c[5], v], 2)
    present = (k, v)
    times = ints(q)[1] // ints(k)[1]
    k, v = repeated(c, k, times), repeated(c, v, times)
    scale = c.b.scalar(q.dtype, sqrt(c.float("scale", 1 / sqrt(ints(q)[3]))))
    turned = c.b.transpose(k, permutation=(0, 1, 3, 2))
    scores = c.b.matmul(c.b.mul(q, scale), c.b.mul(turned, scale))
    cap, mode = c.float("softcap", 0), c.int("qk_matmul_output_mode", 0)
    shown = scores
    if cap:
        limit = c.b.scalar(q.dtype, cap)
        scores = c.b.mul(c.b.tanh(c.b.div(scores, limit)), limit)
        shown = scores if mode == 1 else shown
    bias = _bias(c, q.dtype, ints(q)[0], ints(scores)[2], ints(scores)[3], past)
    if bias is not None:
        scores = c.b.add(scores, bias)
    shown = scores if mode == 2 or (mode == 1 and not cap and c.opset < 24) else shown
    wide = q.dtype
    if "softmax_precision" in c.node.attributes:
        wide, _ = c.dtype("softmax_precision", 0)
    parts = c.b.softmax(scores if wide is q.dtype else c.b.cast(scores, wide), 3)
    if bias is not None:  # a row that sees nothing gives zeros
        top = c.b.reduce_max(bias, axes=[len(bias.shape) - 1], keep_dimensions=True)
        blind = c.b.equal(top, c.b.scalar(bias.dtype, -INF))
        parts = c.b.where(blind, c.b.scalar(wide, 0), parts)
    parts = parts if wide is q.dtype else c.b.cast(parts, q.dtype)
    shown = parts if mode == 3 else shown
    made = c.b.matmul(parts, v)
    return (joined(c, made) if flat else made), *present, shown


def _bias(c: Call, dtype: DType, n: int, q: int, kv: int, past: int) -> Value | None:
    """What is added to the scores: the mask, -infinity for what a row may not see."""
    parts: list[Value] = []
    mask, length = c.get(3), c.get(6)
    if mask is not None:
        if c.type_of(3) == "BOOL":
            mask = c.b.where(mask, c.b.scalar(dtype, 0), c.b.scalar(dtype, -INF))
        short = kv - ints(mask)[-1]
        if short > 0:
            before = [0] * len(mask.shape)
            mask = c.b.pad(mask, before, [*before[1:], short], value=-INF)
        parts.append(mask)
    offset: Value = c.b.scalar(I64, past)
    if length is not None:
        length = c.b.reshape(length, (n, 1, 1, 1))
        offset = c.b.sub(length, c.b.scalar(I64, q)) if past == 0 else offset
    rows = c.b.add(c.b.literal([[i] for i in range(q)], I64), offset)
    columns = c.b.literal([list(range(kv))], I64)
    seen: list[Value] = []
    if c.int("is_causal", 0):
        seen.append(c.b.lesser_or_equal(columns, rows))
    left, right = c.int("left_window_size", -1), c.int("right_window_size", -1)
    if left >= 0:
        seen.append(c.b.lesser_or_equal(c.b.sub(rows, columns), c.b.scalar(I64, left)))
    if right >= 0:
        seen.append(c.b.lesser_or_equal(c.b.sub(columns, rows), c.b.scalar(I64, right)))
    if length is not None:
        seen.append(c.b.lesser(columns, length))
    parts += [c.b.where(each, c.b.scalar(dtype, 0), c.b.scalar(dtype, -INF)) for each in seen]
    total: Value | None = None
    for part in parts:
        total = part if total is None else c.b.add(total, part)
    return total


@onnx_op("RotaryEmbedding", since=23)
def RotaryEmbedding(c: Call) -> Value:
    """Pairs of a head's elements turned by the angle of their position."""
    x = c[0]
    flat = len(x.shape) == 3
    if flat:
        x = heads(c, x, c.int("num_heads"))
    cos, sin = c[1], c[2]
    positions = c.get(3)
    if positions is not None:
        cos, sin = c.b.gather(cos, positions), c.b.gather(sin, positions)
    made = rotated(c, x, cos, sin, bool(c.int("interleaved", 0)))
    return joined(c, made) if flat else made


def rotated(c: Call, x: Value, cos: Value, sin: Value, interleaved: bool) -> Value:
    """x [batch, heads, length, size] turned by cos, sin [batch, length, half] (or [length, half]).

    What is past twice `half` of a head stays. The pairs are neighbours, or half a turn apart.
    """
    n, count, length, size = ints(x)
    half = ints(cos)[-1]
    shape = (ints(cos)[0] if len(cos.shape) == 3 else 1, 1, length, half)
    cos, sin = c.b.reshape(cos, shape), c.b.reshape(sin, shape)
    if interleaved:
        step = [1, 1, 1, 2]
        a, b = (c.b.slice(x, [0, 0, 0, first], [n, count, length, 2 * half - 1], strides=step)
                for first in (0, 1))  # fmt: skip
    else:
        a, b = (c.b.slice(x, [0, 0, 0, first], [n, count, length, half]) for first in (0, half))
    real = c.b.sub(c.b.mul(cos, a), c.b.mul(sin, b))
    imaginary = c.b.add(c.b.mul(sin, a), c.b.mul(cos, b))
    if interleaved:
        wide = [c.b.reshape(each, (n, count, length, half, 1)) for each in (real, imaginary)]
        made = c.b.reshape(c.b.concat(wide, 4), (n, count, length, 2 * half))
    else:
        made = c.b.concat([real, imaginary], 3)
    if size == 2 * half:
        return made
    rest = c.b.slice(x, [0, 0, 0, 2 * half], [n, count, length, size - 2 * half])
    return c.b.concat([made, rest], 3)
