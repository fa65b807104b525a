"""`com.microsoft` attention and rotary embedding, as matrix products, masks and a softmax.

Layouts in comments: B texts, S new tokens, P past ones, T all that keys hold, H heads of queries,
G heads of keys, D elements a head. Attention of one text over a cache, causal and with nothing
else to it, is our composite `attention`, which has a kernel.

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
I32 = DType.INT32
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


def _table(c: Call, cache: Value, positions: Value) -> Value:
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
    cos, sin = _table(c, c[2], positions), _table(c, c[3], positions)
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


#: Inputs and attributes of GroupQueryAttention that nothing here does.
_GQA_INPUTS = {12: "k_scale", 13: "v_scale", 14: "q_norm_weight", 15: "k_norm_weight"}
_GQA_ATTRS = ("kv_cache_bit_width", "sliding_window_cache", "qk_output")


@onnx_op("GroupQueryAttention", domain=MICROSOFT)
def GroupQueryAttention(c: Call) -> Sequence[Value | None]:
    """query, key, value, past key, past value, seqlens_k, total_sequence_length, rotary caches.

    The total length has to be known, and the caches then are as long as that at least. The length
    of each text is data where there are several.
    """
    for place, name in _GQA_INPUTS.items():
        if c.get(place) is not None:
            raise c.unsupported(name)
    for name in _GQA_ATTRS:
        if c.int(name, 0):
            raise c.unsupported(name)
    b, count, groups = c.b, c.int("num_heads"), c.int("kv_num_heads")
    q, k, v = _grouped(c, count, groups)
    batch, _, seq, size = ints(q)
    total = int(c.array(6).reshape(-1)[0])
    length = ints(c[3])[2] if c.get(3) is not None else 0
    cache = _Cache(c, batch, seq, length, total)
    if c.int("do_rotary", 0):
        cos, sin = (_table(c, c[place], cache.positions()) for place in (7, 8))
        turn = bool(c.int("rotary_interleaved", 0))
        q, k = (rotated(c, each, cos, sin, interleaved=turn) for each in (q, k))
    k, v = cache.updated(c.get(3), k), cache.updated(c.get(4), v)
    keys = ints(k)[2]
    scene = Scene(q, k, v, c.float("scale", 0.0) or 1 / sqrt(size))
    scene.softcap = c.float("softcap", 0.0)
    window = c.int("local_window_size", -1)
    sink = c.get(11)
    if sink is None and c.int("smooth_softmax", 0) == 1:
        sink = b.scalar(q.dtype, 0)
        sink = b.expand(b.reshape(sink, (1,)), (count,))
    scene.sink = sink
    added = c.get(10)
    if added is not None:
        wide = ints(added)
        if wide[-1] < keys:  # up to the total length; what lies behind is not seen
            rest = _blank(b, (*wide[:3], keys - wide[3]), added.dtype)
            added = b.concat([added, rest], 3)
        scene.added = [added]
    plain = not (scene.softcap or scene.added or sink is not None or window > 0)
    if batch == 1 and plain and c.int("causal", 1):
        return _composite(c, scene, total - seq), k, v
    seen = cache.seen(keys, window, bool(c.int("causal", 1)))
    scene.added = [*scene.added, barred(b, seen, q.dtype)]
    return joined(c, attend(c, scene)), k, v


def _composite(c: Call, scene: Scene, past: int) -> Value:
    """The attention of one text by the composite: q [S, H, D] over k and v [T, G, D]."""
    b, (_, count, seq, size) = c.b, ints(scene.q)
    q, k, v = (b.reshape(b.transpose(each, (0, 2, 1, 3)), (ints(each)[2], ints(each)[1], size))
               for each in (scene.q, scene.k, scene.v))  # fmt: skip
    made: Value = b.reshape(b.attention(q, k, v, past, scene.scale), (1, seq, count * size))
    return made


def _grouped(c: Call, count: int, groups: int) -> tuple[Value, Value, Value]:
    """Query [B, H, S, D], key and value [B, G, S, D]; packed in one where there is no key."""
    b = c.b
    if c.get(1) is not None:
        return (heads(c, c[0], count), heads(c, c[1], groups),
                heads(c, c[2], groups))  # fmt: skip
    size = c.shape(0)[2] // (count + 2 * groups)
    q, k, v = b.split(c[0], (count * size, groups * size, groups * size), axis=2)
    return heads(c, q, count), heads(c, k, groups), heads(c, v, groups)


def _blank(b: Any, shape: tuple[int, ...], dtype: DType) -> Value:
    zero = b.reshape(b.scalar(dtype, 0), (1,) * len(shape))
    made: Value = b.expand(zero, shape)
    return made


class _Cache:
    """Where new keys go. With one text all is known; else each text's past is a value [B, 1]."""

    def __init__(self, c: Call, batch: int, seq: int, length: int, total: int) -> None:
        self.c, self.batch, self.seq, self.length = c, batch, seq, length
        self.keys = max(length, total)
        if not seq <= total <= seq + length:
            raise FormatError("total_sequence_length", got=str(total),
                              need=f"{seq} to {seq + length}, new and past")  # fmt: skip
        if batch == 1:
            self.past: Value = c.b.literal([[total - seq]], I32)
        elif total == seq:  # a first prompt: its texts are padded at their ends
            self.past = c.b.literal([[0]] * batch, I32)
        else:
            lengths = c.b.reshape(c.b.cast(c[5], I32), (batch, 1))
            self.past = c.b.add(lengths, c.b.scalar(I32, 1 - seq))

    def _row(self, count: int) -> Value:
        made: Value = self.c.b.literal([list(range(count))], I32)
        return made

    def positions(self) -> Value:
        """Of the new tokens, [B or 1, S]."""
        given = self.c.get(9)
        if given is not None:
            return given
        made: Value = self.c.b.add(self.past, self._row(self.seq))
        return made

    def updated(self, old: Any, new: Value) -> Value:
        """[B, G, T, D]: the past's beginning, then what is new, then zeros."""
        b = self.c.b
        past = b.known(self.past)
        if past is None:
            return self._gathered(old, new)
        start = int(past.max())
        batch, groups, seq, size = ints(new)
        parts = [new]
        if start:
            parts.insert(0, b.slice(old, (0, 0, 0, 0), (batch, groups, start, size)))
        if self.keys > start + seq:
            parts.append(_blank(b, (batch, groups, self.keys - start - seq, size), new.dtype))
        made: Value = b.concat(parts, 2) if parts[1:] else new
        return made

    def _gathered(self, old: Value, new: Value) -> Value:
        """The same where each text has a past of its own length."""
        b = self.c.b
        batch, groups, _, size = ints(new)
        both, places = b.concat([old, new], 2), self._row(self.keys)
        since = b.sub(places, self.past)  # [B, T]
        fresh = b.greater_or_equal(since, b.scalar(I32, 0))
        kept = b.min(places, b.scalar(I32, self.length - 1))
        last = b.scalar(I32, self.seq - 1)
        source = b.where(fresh, b.add(b.min(since, last), b.scalar(I32, self.length)), kept)
        held = b.reshape(b.lesser_or_equal(since, last), (batch, 1, self.keys, 1))
        wide = b.expand(b.reshape(source, (batch, 1, self.keys, 1)),
                        (batch, groups, self.keys, size))  # fmt: skip
        made: Value = b.gather_elements(both, wide, axis=2)
        made = b.where(held, made, b.scalar(new.dtype, 0))
        return made

    def seen(self, keys: int, window: int, is_causal: bool) -> Value:
        """uint8 [B, 1, S, T]: the keys up to a query's own place."""
        b = self.c.b
        if is_causal:
            own = b.add(self.past, self._row(self.seq))
        else:
            own = b.add(self.past, b.literal([[self.seq - 1] * self.seq], I32))
        own = b.reshape(own, (ints(own)[0], 1, self.seq, 1))
        key = b.reshape(self._row(keys), (1, 1, 1, keys))
        allowed = b.lesser_or_equal(key, own)
        if window > 0:
            allowed = b.logical_and(allowed, b.greater(key, b.sub(own, b.scalar(I32, window))))
        made: Value = allowed
        return made
