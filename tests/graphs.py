"""Small graphs that several tests run: a llama-like decoder with random weights, and moved axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgewise.dtypes import DType
from edgewise.graph.builder import GraphBuilder
from edgewise.graph.graph import Constant, Graph, Source, Value

Array = np.ndarray[Any, np.dtype[Any]]
F32, F16 = DType.FLOAT32, DType.FLOAT16


class Decoder:
    """A decoder and its weights. `build` makes the graph, `weights` gives a constant's array."""

    def __init__(
        self, seed: int = 0, *, layers: int = 2, hidden: int = 12, heads: int = 4,
        kv_heads: int = 2, ffn: int = 18, vocab: int = 23, context: int = 16,
        activation: DType = F32,
    ) -> None:  # fmt: skip
        self.rng = np.random.default_rng(seed)
        self.layers, self.hidden, self.heads, self.kv_heads = layers, hidden, heads, kv_heads
        self.ffn, self.vocab, self.context, self.activation = ffn, vocab, context, activation
        self.size = hidden // heads
        self.arrays: dict[Source, Array] = {}

    def weights(self, constant: Constant) -> Array:
        assert constant.source is not None
        return self.arrays[constant.source]

    def _constant(self, source: Source, dtype: DType, array: Array) -> Value:
        self.arrays[source] = array
        return self.b.constant(dtype, array.shape, source=source,
                               name=f"{source.tensor}.{source.part}")  # fmt: skip

    def weight(self, name: str, rows: int, width: int, minimum: bool = True) -> list[Value | None]:
        """4-bit codes with a minimum, or 8-bit codes without, in groups of 3."""
        rng, groups = self.rng, width // 3
        kind = "Q4_1" if minimum else "Q8_0"
        codes = (rng.integers(0, 16, (rows, width)).astype(np.uint8) if minimum
                 else rng.integers(-128, 128, (rows, width)).astype(np.int8))  # fmt: skip
        scale = (rng.standard_normal((rows, groups)) / (16 if minimum else 128)).astype(np.float16)
        least = (rng.standard_normal((rows, groups)) / 4).astype(np.float16)
        parts: list[Value | None] = [
            self._constant(Source(name, kind, "codes"), DType.UINT4 if minimum else DType.INT8,
                           codes),
            self._constant(Source(name, kind, "scale"), F16, scale),
        ]  # fmt: skip
        return [*parts, self._constant(Source(name, kind, "minimum"), F16, least) if minimum
                else None]  # fmt: skip

    def norm(self, name: str, x: Value) -> Value:
        weight = self.rng.standard_normal(self.hidden).astype(np.float32)
        value = self._constant(Source(name, "F32", "values"), F32, weight)
        normed: Value = self.b.rms_norm(x, value, eps=1e-5)
        return normed

    def layer(self, index: int, x: Value) -> Value:
        b, width, kv = self.b, self.hidden, self.kv_heads * self.size
        activation = self.activation
        h = self.norm(f"{index}.norm", x)
        split = []
        for who, rows in (("q", width), ("k", kv), ("v", kv)):
            flat = b.quantized_matmul(h, *self.weight(f"{index}.{who}", rows, width),
                                      dtype=activation)  # fmt: skip
            split.append(b.reshape(flat, (self.seq, rows // self.size, self.size)))
        turn = (self.past, 100.0, self.size // 2 * 2, True)
        q, k = b.rotary(split[0], *turn), b.rotary(split[1], *turn)
        shape = (self.context, self.kv_heads, self.size)
        states = [b.state(f"{who}{index}", activation, shape) for who in "kv"]
        k, v = b.kv_update(states[0], k, self.past), b.kv_update(states[1], split[2], self.past)
        for state, new in zip(states, (k, v), strict=True):
            b.update(state, new)
        mixed = b.attention(q, k, v, self.past, self.size**-0.5)
        flat = b.reshape(mixed, (self.seq, width))
        x = b.add(x, b.quantized_matmul(flat, *self.weight(f"{index}.o", width, width), dtype=F32))
        h = self.norm(f"{index}.ffn_norm", x)
        gate, up = (
            b.quantized_matmul(h, *self.weight(f"{index}.{who}", self.ffn, width), dtype=activation)
            for who in ("gate", "up")
        )
        down = self.weight(f"{index}.down", width, self.ffn, minimum=False)
        out: Value = b.add(x, b.quantized_matmul(b.swiglu(gate, up), *down, dtype=F32))
        return out

    def build(self) -> Graph:
        b = self.b = GraphBuilder("decoder")
        self.seq, self.past = b.symbol("seq", 8), b.symbol("past", self.context)
        tokens = b.input("tokens", DType.INT32, (self.seq,))
        bias, settings = b.input("bias", F32, (self.vocab,)), b.input("settings", F32, (5,))
        embedding = self.weight("embedding", self.vocab, self.hidden, minimum=False)
        x = b.quantized_gather(*embedding, tokens, dtype=F32)
        for index in range(self.layers):
            with b.scope(f"blk.{index}"):
                x = self.layer(index, x)
        last = b.slice(x, (self.seq - 1, 0), (1, self.hidden))
        h = self.norm("output_norm", last)
        logits = b.quantized_matmul(h, *embedding, dtype=F32)
        seen = b.state("seen", DType.UINT32, (self.vocab,))
        new = b.mark_seen(seen, tokens)
        b.update(seen, new)
        b.output("token", b.sample(logits, new, bias, settings))
        b.output("logits", logits)
        return b.build()

    def inputs(self, tokens: list[int]) -> dict[str, Array]:
        return {"tokens": np.array(tokens, np.int32), "bias": np.zeros(self.vocab, np.float32),
                "settings": np.array([0, 0, 1, 1.1, 0], np.float32)}  # fmt: skip

    def states(self, graph: Graph) -> dict[str, Array]:
        return {name: np.zeros(tuple(map(int, map(str, graph.values[name].shape))),
                               graph.values[name].dtype.value)
                for name in graph.states}  # fmt: skip


def turned(rows: int) -> Graph:
    """x [n, 7, 50] in another order, n up to `rows`; y [35, 10, n]."""
    b = GraphBuilder("turned")
    n = b.symbol("n", rows)
    x = b.input("x", DType.FLOAT32, (n, 7, 50))
    y = b.reshape(b.transpose(x, (0, 2, 1)), (n, 10, 35))
    b.output("y", b.transpose(y, (2, 1, 0)))
    return b.build()
