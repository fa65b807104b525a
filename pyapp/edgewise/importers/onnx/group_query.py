"""GroupQueryAttention of `com.microsoft`: decoders' attention over a cache that the caller keeps.

Layouts in comments are those of microsoft_attention.py: B texts, S new tokens, T all that keys
hold, H heads of queries, G heads of keys, D elements a head. Attention of one text, causal and with
nothing else to it, is our composite `attention`, which has a kernel.

Source: onnxruntime/docs/ContribOperators.md, onnxruntime/contrib_ops/cpu/bert.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

from ...dtypes import DType
from ...errors import FormatError
from ...graph.graph import Value
from .attention import heads, joined
from .fold import ints
from .microsoft_attention import MICROSOFT, Scene, attend, barred, rotated, table
from .registry import Call, onnx_op

I32 = DType.INT32

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
        cos, sin = (table(c, c[place], cache.positions()) for place in (7, 8))
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
