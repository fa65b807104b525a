"""`com.microsoft` attention and rotary embedding, as matrix products, masks and a softmax.

Layouts in comments: B texts, S new tokens, P past ones, T all that keys hold, H heads of queries,
G heads of keys, D elements a head. GroupQueryAttention is in group_query.py.

Source: onnxruntime/docs/ContribOperators.md, onnxruntime/contrib_ops/cpu/bert.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod, sqrt
from typing import Any

from ...dtypes import DType
from ...errors import FormatError
from ...graph.graph import Value
from .attention import heads, joined, repeated
from .fold import ints
from .registry import Call, onnx_op

MICROSOFT = "com.microsoft"
#: What is added to a score that does not count: exp of it is 0, and no sum with it overflows.
LOWEST = {DType.FLOAT32: -1e38, DType.FLOAT16: -30000.0}


@dataclass(slots=True)
class Scene:
    """Queries [B, H, S, D], keys [B, G, T, D], values [B, G, T, E], and what bears on scores.

    added   values added to scores, each broadcasting to [B, H, S, T]: biases, and masks as `barred`
            makes them.
    sink    [H]: a logit beside those of the keys, for which there is no value.
    """

    q: Value
    k: Value
    v: Value
    scale: float
    added: Sequence[Value] = ()
    softcap: float = 0.0
    sink: Value | None = None


def attend(c: Call, scene: Scene) -> Value:
    """The mixed values [B, H, S, E], by our composite where nothing bends or joins the scores."""
    if scene.softcap or scene.sink is not None:
        return observed(c, scene)[0]
    times = ints(scene.q)[1] // ints(scene.k)[1]
    k, v = repeated(c, scene.k, times), repeated(c, scene.v, times)
    mask = reduce(c.b.add, scene.added) if scene.added else None
    return c.b.scaled_dot_product_attention(scene.q, k, v, mask, scale=scene.scale)


def observed(c: Call, scene: Scene) -> tuple[Value, Value]:
    """The mixed values, and the scores before their softmax [B, H, S, T]."""
    b, dtype = c.b, scene.q.dtype
    batch, count, seq, _ = ints(scene.q)
    groups, keys = ints(scene.k)[1:3]
    k, v = (repeated(c, each, count // groups) for each in (scene.k, scene.v))
    scaled = b.mul(scene.q, b.scalar(dtype, scene.scale))
    scores = b.matmul(scaled, b.transpose(k, (0, 1, 3, 2)))
    if scene.softcap:
        cap = b.scalar(dtype, scene.softcap)
        scores = b.mul(b.tanh(b.div(scores, cap)), cap)
    for each in scene.added:
        scores = b.add(scores, each)
    logits = scores
    if scene.sink is not None:
        column = b.expand(b.reshape(scene.sink, (1, count, 1, 1)), (batch, count, seq, 1))
        logits = b.concat([scores, column], 3)
    chances = b.softmax(logits, axis=3)
    if scene.sink is not None:
        chances = b.slice(chances, (0, 0, 0, 0), (batch, count, seq, keys))
    return b.matmul(chances, v), scores


def causal(b: Any, seq: int, keys: int, past: int, window: int = -1) -> Value:
    """uint8 [1, 1, S, T]: keys up to a query's own place, the last `window` of them at most."""
    import numpy as np

    at = np.arange(seq)[:, None] + past
    key = np.arange(keys)[None, :]
    seen = (key <= at) & ((key > at - window) if window > 0 else True)
    made: Value = b.literal(seen[None, None], DType.UINT8)
    return made


def rotated(
    c: Call, x: Value, cos: Value, sin: Value, *, interleaved: bool, dims: int = 0
) -> Value:
    """x [B, H, S, D] with its first `dims` elements turned by cos and sin [B or 1, 1, S, R/2]."""
    b, (batch, count, seq, size) = c.b, ints(x)
    half = ints(cos)[-1]
    dims = dims or 2 * half
    if dims > size or half != dims // 2:
        raise FormatError("cos_cache", got=f"{half} a row", need=f"half of {dims} of {size}")
    turned = x if dims == size else b.slice(x, (0, 0, 0, 0), (batch, count, seq, dims))
    if interleaved:
        pairs = b.reshape(turned, (batch, count, seq, half, 2))
        first, second = (b.reshape(each, (batch, count, seq, half))
                         for each in b.split(pairs, 2, axis=4))  # fmt: skip
    else:
        first, second = b.split(turned, 2, axis=3)
    real = b.sub(b.mul(first, cos), b.mul(second, sin))
    imaginary = b.add(b.mul(first, sin), b.mul(second, cos))
    if interleaved:
        apart = (batch, count, seq, half, 1)
        both = b.concat([b.reshape(real, apart), b.reshape(imaginary, apart)], 4)
        made: Value = b.reshape(both, (batch, count, seq, dims))
    else:
        made = b.concat([real, imaginary], 3)
    if dims != size:
        rest = b.slice(x, (0, 0, 0, dims), (batch, count, seq, size - dims))
        made = b.concat([made, rest], 3)
    return made


def table(c: Call, cache: Value, positions: Value) -> Value:
    """Rows of a cache [M, R/2] at positions [B or 1, S], as [B or 1, 1, S, R/2]."""
    batch, seq = ints(positions)
    rows = c.b.gather(cache, positions, axis=0)
    made: Value = c.b.reshape(rows, (batch, 1, seq, ints(cache)[1]))
    return made


@onnx_op("RotaryEmbedding", domain=MICROSOFT)
def RotaryEmbedding(c: Call) -> Value:
    """The input in the layout that it has, [B, S, H·D] or [B, H, S, D]."""
    if c.int("is_packed_batching", 0) or c.float("scale", 1.0) != 1:
        raise c.unsupported("packed batching or a scale")
    x, dims = c[0], c.int("rotary_embedding_dim", 0)
    flat = len(x.shape) == 3
    if flat:
        count = c.int("num_heads", 0)
        if not count:
            count = c.shape(0)[2] // (2 * c.shape(2)[1])
        x = heads(c, x, count)
    seq, positions = ints(x)[2], c[1]
    if prod(ints(positions)) == 1 and len(positions.shape) == 1:
        places = c.b.literal([list(range(seq))], positions.dtype)
        positions = c.b.add(places, c.b.reshape(positions, (1, 1)))
    cos, sin = table(c, c[2], positions), table(c, c[3], positions)
    made = rotated(c, x, cos, sin, interleaved=bool(c.int("interleaved", 0)), dims=dims)
    return joined(c, made) if flat else made


@onnx_op("MultiHeadAttention", domain=MICROSOFT)
def MultiHeadAttention(c: Call) -> Sequence[Value | None]:
    """query, key, value, bias, key padding mask, added bias, past key, past value."""
    b, count = c.b, c.int("num_heads")
    if c.get(8) is not None or c.get(9) is not None:
        raise c.unsupported("a shared buffer of the past, or beams")
    q, k, v = _unpacked(c, count)
    if c.get(3) is not None:
        q, k, v = _biased(c, q, k, v, c[3])
    past = 0
    if c.get(6) is not None:
        past = c.shape(6)[2]
        k, v = b.concat([c[6], k], 2), b.concat([c[7], v], 2)
    seq, size = ints(q)[2:]
    keys = ints(k)[2]
    scene = Scene(q, k, v, c.float("scale", 0.0) or 1 / sqrt(size))
    mask, added = c.get(4), c.get(5)
    if mask is not None:
        scene.added = [_filtered(c, _mask(c, mask, ints(q)[0], seq, keys), q.dtype)]
    if added is not None:
        scene.added = [*scene.added, added]
    if c.int("unidirectional", 0):
        scene.added = [*scene.added, barred(b, causal(b, seq, keys, past), q.dtype)]
    if not c.wants(3):
        return joined(c, attend(c, scene)), k, v
    mixed, scores = observed(c, scene)
    return joined(c, mixed), k, v, scores


def _unpacked(c: Call, count: int) -> tuple[Value, Value, Value]:
    """Query, key and value as [B, H, S, D], whichever of their layouts they come in."""
    b, query = c.b, c[0]
    if len(query.shape) == 5:  # [B, S, H, 3, D]
        return tuple(_part(b, query, place) for place in range(3))  # type: ignore[return-value]
    q, key = heads(c, query, count), c[1]
    if len(key.shape) == 5:  # [B, T, H, 2, D]
        return q, _part(b, key, 0), _part(b, key, 1)
    if len(key.shape) == 4:  # heads already
        return q, key, c[2]
    return q, heads(c, key, count), heads(c, c[2], count)


def _part(b: Any, packed: Value, place: int) -> Value:
    batch, seq, count, _, size = ints(packed)
    part = b.slice(packed, (0, 0, 0, place, 0), (batch, seq, count, 1, size))
    made: Value = b.transpose(b.reshape(part, (batch, seq, count, size)), (0, 2, 1, 3))
    return made


def _biased(c: Call, q: Value, k: Value, v: Value, bias: Value) -> tuple[Value, Value, Value]:
    made, start = [], 0
    for x in (q, k, v):
        _, count, _, size = ints(x)
        part = c.b.reshape(c.b.slice(bias, (start,), (count * size,)), (1, count, 1, size))
        # Keys and values of a cross attention come with their bias.
        crossed = x is not q and c.get(1) is not None and c.rank(1) == 4
        made.append(x if crossed else c.b.add(x, part))
        start += count * size
    q, k, v = made
    return q, k, v


def _mask(c: Call, mask: Value, batch: int, seq: int, keys: int) -> Value:
    """The keys that count, uint8 [B, 1, 1 or S, T], from any of the mask's forms."""
    import numpy as np

    b, shape = c.b, ints(mask)
    zero = b.scalar(mask.dtype, 0)
    if len(shape) == 1:
        places = b.literal(np.arange(keys)[None], mask.dtype)
        ends = b.reshape(b.slice(mask, (0,), (batch,)), (batch, 1))
        seen = b.lesser(places, ends)
        if shape[0] == 2 * batch and shape[0] != batch:
            starts = b.reshape(b.slice(mask, (batch,), (batch,)), (batch, 1))
            seen = b.logical_and(seen, b.greater_or_equal(places, starts))
        elif shape[0] != batch:
            raise c.unsupported(f"a mask of shape {list(shape)}")
        made: Value = b.reshape(seen, (batch, 1, 1, keys))
        return made
    if shape[-1] != keys or len(shape) > 3:
        raise c.unsupported(f"a mask of shape {list(shape)}")
    seen = b.logical_not(b.equal(mask, zero))
    made = b.reshape(seen, (shape[0], 1, shape[1] if len(shape) == 3 else 1, keys))
    return made


def barred(b: Any, allowed: Value, dtype: DType, low: float | None = None) -> Value:
    """0 where allowed, elsewhere `low`, by default so low that nothing of it stays."""
    number = LOWEST[dtype] if low is None else low
    made: Value = b.where(allowed, b.scalar(dtype, 0), b.scalar(dtype, number))
    return made


def _filtered(c: Call, allowed: Value, dtype: DType) -> Value:
    return barred(c.b, allowed, dtype, c.float("mask_filter_value", -10000.0))


@onnx_op("Attention", domain=MICROSOFT)
def Attention(c: Call) -> Sequence[Value | None]:
    """input, weights and bias of the three projections, mask, past [2, B, H, P, D], added bias."""
    b, count = c.b, c.int("num_heads")
    if c.int("do_rotary", 0) or c.int("past_present_share_buffer", 0):
        raise c.unsupported("rotary embedding or a shared buffer inside")
    projected = c.do("MatMul", c[0], c[1])
    if c.get(2) is not None:
        projected = b.add(projected, c[2])
    hidden = c.shape(1)[1] // 3
    sizes = c.ints("qkv_hidden_sizes") or (hidden, hidden, hidden)
    q, k, v = (heads(c, each, count) for each in b.split(projected, sizes, axis=2))
    past, present = 0, None
    if c.get(4) is not None:
        past = c.shape(4)[3]
        k, v = (b.concat([_half(b, c[4], place), each], 2) for place, each in enumerate((k, v)))
    if c.wants(1):
        present = b.concat([b.reshape(each, (1, *ints(each))) for each in (k, v)], 0)
    batch, _, seq, size = ints(q)
    keys = ints(k)[2]
    scene = Scene(q, k, v, c.float("scale", 0.0) or 1 / sqrt(size))
    mask, added = c.get(3), c.get(5)
    if mask is not None:
        scene.added = [_filtered(c, _mask(c, mask, batch, seq, keys), q.dtype)]
    if added is not None:
        scene.added = [*scene.added, added]
    if c.int("unidirectional", 0):
        scene.added = [*scene.added, barred(b, causal(b, seq, keys, past), q.dtype)]
    return joined(c, attend(c, scene)), present


def _half(b: Any, past: Value, place: int) -> Value:
    _, *shape = ints(past)
    made: Value = b.reshape(b.slice(past, (place, 0, 0, 0, 0), (1, *shape)), tuple(shape))
    return made
