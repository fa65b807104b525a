"""A small random llama: written as a GGUF by the `gguf` package, and computed in plain NumPy.

The computation shares nothing with Edgewise: float64, no cache, weights as `gguf` dequantises them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Which ggml type each matrix has; all three kinds of minimum (none, stored, derived) occur.
TYPES = {
    "token_embd": "Q8_0", "output": "Q4_1", "attn_q": "Q4_1", "attn_k": "Q4_0", "attn_v": "Q8_0",
    "attn_output": "Q4_0", "ffn_gate": "Q4_1", "ffn_up": "Q8_0", "ffn_down": "Q4_1",
}  # fmt: skip


@dataclass(frozen=True)
class Tiny:
    """Hyperparameters, as LlamaConfig calls them, and a ggml type for all matrices or TYPES."""

    matrices: str | None = None
    tied: bool = True
    rope_dims: int = 16
    kv_heads: int = 2
    vocab: int = 100
    hidden: int = 64
    layers: int = 2
    heads: int = 4
    head_dim: int = 16
    ffn: int = 96
    rope_theta: float = 500.0
    norm_eps: float = 1e-5
    context: int = 64

    def write(
        self, path: Path, seed: int, more: Callable[[gguf.GGUFWriter], None] | None = None,
        *, split: int = 0,
    ) -> dict[str, Array]:  # fmt: skip
        """Write random weights to a GGUF file; returns their dequantised values by name.

        more   adds metadata, such as a tokenizer.
        split  tensors of a part, where the model is to have parts.
        """
        writer = gguf.GGUFWriter(path, "llama", split_max_tensors=split)
        writer.add_block_count(self.layers)
        writer.add_context_length(self.context)
        writer.add_embedding_length(self.hidden)
        writer.add_feed_forward_length(self.ffn)
        writer.add_head_count(self.heads)
        writer.add_head_count_kv(self.kv_heads)
        writer.add_layer_norm_rms_eps(self.norm_eps)
        writer.add_rope_freq_base(self.rope_theta)
        writer.add_rope_dimension_count(self.rope_dims)
        if more is not None:
            more(writer)
        rng = np.random.default_rng(seed)
        weights: dict[str, Array] = {}
        for name, shape in self.shapes().items():
            values = rng.normal(size=shape).astype(np.float32) / 4
            if len(shape) == 1:
                writer.add_tensor(name, values + 1)
                weights[name] = (values + 1).astype(np.float64)
                continue
            type = gguf.GGMLQuantizationType[self.matrices or TYPES[name.split(".")[-2]]]
            packed = gguf.quants.quantize(values, type)
            writer.add_tensor(name, packed, raw_dtype=type)
            weights[name] = gguf.quants.dequantize(packed, type).astype(np.float64)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return weights

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of every tensor, outermost first."""
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        d, f = self.hidden, self.ffn
        layer = {
            "attn_norm": (d,), "attn_q": (q, d), "attn_k": (kv, d), "attn_v": (kv, d),
            "attn_output": (d, q), "ffn_norm": (d,), "ffn_gate": (f, d), "ffn_up": (f, d),
            "ffn_down": (d, f),
        }  # fmt: skip
        names: dict[str, tuple[int, ...]] = {
            "token_embd.weight": (self.vocab, d), "output_norm.weight": (d,),
        }  # fmt: skip
        if not self.tied:
            names["output.weight"] = (self.vocab, d)
        for i in range(self.layers):
            names |= {f"blk.{i}.{name}.weight": shape for name, shape in layer.items()}
        return names

    def logits(self, weights: dict[str, Array], tokens: list[int]) -> Array:
        """Logits [S, vocab] after each of `tokens`."""
        x = weights["token_embd.weight"][tokens]
        for i in range(self.layers):
            w = {name.split(".")[2]: weights[name] for name in weights if f"blk.{i}." in name}
            h = self._norm(x, w["attn_norm"])
            x = x + self._attend(h @ w["attn_q"].T, h @ w["attn_k"].T, h @ w["attn_v"].T) @ (
                w["attn_output"].T
            )
            h = self._norm(x, w["ffn_norm"])
            gate = h @ w["ffn_gate"].T
            x = x + (gate / (1 + np.exp(-gate)) * (h @ w["ffn_up"].T)) @ w["ffn_down"].T
        output = weights["token_embd.weight" if self.tied else "output.weight"]
        return np.asarray(self._norm(x, weights["output_norm.weight"]) @ output.T)

    def _norm(self, x: Array, weight: Array) -> Array:
        return np.asarray(x / np.sqrt((x**2).mean(-1, keepdims=True) + self.norm_eps) * weight)

    def _attend(self, q: Array, k: Array, v: Array) -> Array:
        """Causal attention, head by head; q [S, heads * head_dim], k and v of the kv heads."""
        n, size = len(q), self.head_dim
        hidden = np.triu(np.full((n, n), -np.inf), 1)
        out = []
        for head in range(self.heads):
            at = slice(head * size, (head + 1) * size)
            kv = head * self.kv_heads // self.heads
            kv_at = slice(kv * size, (kv + 1) * size)
            scores = self._rotate(q[:, at]) @ self._rotate(k[:, kv_at]).T / np.sqrt(size) + hidden
            p = np.exp(scores - scores.max(-1, keepdims=True))
            out.append(p / p.sum(-1, keepdims=True) @ v[:, kv_at])
        return np.concatenate(out, 1)

    def _rotate(self, x: Array) -> Array:
        """x [S, head_dim]: pairs (2i, 2i+1) as complex numbers, times e^(i * angle)."""
        dims = self.rope_dims
        speeds = self.rope_theta ** (-np.arange(0, dims, 2) / dims)
        angles = np.arange(len(x))[:, None] * speeds
        turned = (x[:, 0:dims:2] + 1j * x[:, 1:dims:2]) * np.exp(1j * angles)
        pairs = np.stack([turned.real, turned.imag], -1).reshape(len(x), dims)
        return np.concatenate([pairs, x[:, dims:]], 1)
