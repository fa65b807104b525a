"""BERT-family encoders as a graph: token ids in, token vectors and one vector a text out.

One graph serves every batch and length up to its bounds. Post-norm layers, as BERT has them; the
weights are [out, in] as in the file, read through a transpose that targets need not execute.
Padding has no effect: a masked key gets no attention, a masked token no part in pooling.
Must not import NumPy.

Source: Devlin et al. 2018 (arXiv 1810.04805); transformers `modeling_bert.py`;
sentence-transformers `Pooling` and `Normalize`.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..dims import Dim
from ..dtypes import DType
from ..graph.builder import GraphBuilder
from ..graph.graph import Graph, Source, Value
from .bert_config import (
    SCALE,
    WORDS,
    BertConfig,
    check_tensors,
    config_from_files,
    parse_config,
)
from .tensors import Tensor

__all__ = ["build", "config_from_files"]

F32 = DType.FLOAT32
LOWEST = -3.4028234663852886e38  # of float32; -inf would make NaN of a text that is all padding
PER_TEXT, LENGTH_FLOOR = 1, 1e-12  # the axis of tokens; torch.nn.functional.normalize's eps
COUNT_FLOOR = 1e-9  # sentence-transformers Pooling


def build(
    config: Mapping[str, object],
    tensors: Mapping[str, Tensor],
    *,
    max_batch: int = 32,
    max_seq: int | None = None,
) -> Graph:
    """The graph of an encoder.

    config      as `config_from_files` gives it and manifests hold it.
    tensors     type and shape of every tensor of the model file, by name.

    max_seq     bound of a text's tokens; the config's `max_tokens` unless given.

    Inputs      input_ids, attention_mask (1 for a token, 0 for padding), token_type_ids, all
                int32 [batch, seq].
    Symbols     batch, 1 to max_batch texts; seq, 1 to max_seq tokens, at most the positions
                that the model knows.
    Outputs     last_hidden_state f32 [batch, seq, hidden]; sentence_embedding f32
                [batch, hidden], pooled and normalised as the config says.
    Raises      as `config_from_files`.
    """
    return _Bert(parse_config(config), tensors, max_batch, max_seq).graph()


class _Bert:
    """The builder and what every layer shares."""

    def __init__(
        self, config: BertConfig, tensors: Mapping[str, Tensor], max_batch: int, max_seq: int | None
    ) -> None:
        check_tensors(config, tensors)
        self.config, self.tensors = config, tensors
        self.b = GraphBuilder("bert")
        self.batch: Dim = self.b.symbol("batch", max_batch)
        self.seq: Dim = self.b.symbol("seq", min(max_seq or config.max_tokens, config.positions))

    def graph(self) -> Graph:
        b, shape = self.b, (self.batch, self.seq)
        ids, mask, types = (
            b.input(name, DType.INT32, shape)
            for name in ("input_ids", "attention_mask", "token_type_ids")
        )
        with b.scope("embeddings"):
            x = self.embed(ids, types)
        with b.scope("mask"):
            kept = b.cast(mask, F32)
            penalty = b.mul(b.sub(b.scalar(F32, 1.0), kept), b.scalar(F32, LOWEST))
            scores = b.reshape(penalty, (self.batch, 1, 1, self.seq))
        for index in range(self.config.layers):
            with b.scope(f"encoder.layer.{index}"):
                x = self.feed_forward(index, self.attention(index, x, scores))
        b.output("last_hidden_state", x)
        with b.scope("pooling"):
            b.output("sentence_embedding", self.normalize(self.pool(x, kept)))
        return b.build()

    def embed(self, ids: Value, types: Value) -> Value:
        """The sum of a token's, its type's and its position's vectors [batch, seq, hidden]."""
        b, hidden = self.b, self.config.hidden
        words = self.word(ids)
        kinds = b.gather(self.weight("embeddings.token_type_embeddings.weight"), types)
        table = self.weight("embeddings.position_embeddings.weight")
        places = b.slice(table, (0, 0), (self.seq, hidden))
        return self.norm("embeddings.LayerNorm", b.add(b.add(words, kinds), places))

    def word(self, ids: Value) -> Value:
        """The tokens' own vectors; rows of 8 bits are looked up before they are scaled."""
        b, weight = self.b, self.weight(WORDS)
        rows: Value = b.gather(weight, ids)
        if weight.dtype is DType.INT8:
            rows = b.mul(b.cast(rows, F32), b.gather(self.weight(WORDS + SCALE), ids))
        return rows

    def attention(self, index: int, x: Value, penalty: Value) -> Value:
        """x [batch, seq, hidden] plus what its tokens take from each other, normalised."""
        b, config, layer = self.b, self.config, f"encoder.layer.{index}.attention"
        size = config.hidden // config.heads

        def heads(name: str, order: tuple[int, ...]) -> Value:
            flat = self.dense(f"{layer}.self.{name}", x)
            split = b.reshape(flat, (self.batch, self.seq, config.heads, size))
            turned: Value = b.transpose(split, permutation=order)
            return turned

        q, k, v = (
            heads("query", (0, 2, 1, 3)),
            heads("key", (0, 2, 3, 1)),
            heads("value", (0, 2, 1, 3)),
        )
        scores = b.add(b.mul(b.matmul(q, k), b.scalar(F32, size**-0.5)), penalty)
        mixed = b.matmul(b.softmax(scores, axis=3), v)
        joined = b.transpose(mixed, permutation=(0, 2, 1, 3))
        flat = b.reshape(joined, (self.batch, self.seq, config.hidden))
        return self.norm(f"{layer}.output.LayerNorm",
                         b.add(self.dense(f"{layer}.output.dense", flat), x))  # fmt: skip

    def feed_forward(self, index: int, x: Value) -> Value:
        """x [batch, seq, hidden] plus its two dense layers, normalised."""
        b, layer = self.b, f"encoder.layer.{index}"
        wide = self.dense(f"{layer}.intermediate.dense", x)
        active = b.gelu(wide) if self.config.activation == "gelu" else b.relu(wide)
        return self.norm(f"{layer}.output.LayerNorm",
                         b.add(self.dense(f"{layer}.output.dense", active), x))  # fmt: skip

    def pool(self, x: Value, kept: Value) -> Value:
        """One vector a text [batch, hidden] of its tokens' [batch, seq, hidden]."""
        b, hidden, pooling = self.b, self.config.hidden, self.config.pooling
        column = b.reshape(kept, (self.batch, self.seq, 1))
        if pooling == "cls":
            first = b.slice(x, (0, 0, 0), (self.batch, 1, hidden))
            pooled: Value = b.reshape(first, (self.batch, hidden))
        elif pooling == "max":
            penalty = b.mul(b.sub(b.scalar(F32, 1.0), column), b.scalar(F32, LOWEST))
            pooled = b.reduce_max(b.add(x, penalty), axes=(PER_TEXT,))
        else:
            total = b.reduce_sum(b.mul(x, column), axes=(PER_TEXT,))
            count = b.max(b.reduce_sum(column, axes=(PER_TEXT,)), b.scalar(F32, COUNT_FLOOR))
            pooled = b.div(total, count if pooling == "mean" else b.sqrt(count))
        return pooled

    def normalize(self, x: Value) -> Value:
        """x [batch, hidden], each vector scaled to length 1 where the model does that."""
        b = self.b
        if not self.config.normalize:
            return x
        length = b.reduce_l2(x, axes=(1,), keep_dimensions=True)
        unit: Value = b.div(x, b.max(length, b.scalar(F32, LENGTH_FLOOR)))
        return unit

    def dense(self, name: str, x: Value) -> Value:
        """x [batch, seq, K] times a weight [N, K], plus its bias [N]."""
        b, weight, bias = self.b, self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        if weight.dtype is DType.INT8:
            out: Value = b.quantized_linear(x, weight, self.weight(f"{name}.weight{SCALE}"), bias)
            return out
        out = b.add(b.matmul(x, b.transpose(weight, permutation=(1, 0))), bias)
        return out

    def norm(self, name: str, x: Value) -> Value:
        out: Value = self.b.layer_normalization(
            x, scale=self.weight(f"{name}.weight"), bias=self.weight(f"{name}.bias"), axes=(2,),
            epsilon=self.config.norm_eps,
        )  # fmt: skip
        return out

    def weight(self, name: str) -> Value:
        """A tensor of the file, as float32; 8-bit codes as they are."""
        name = self.config.prefix + name
        tensor = self.tensors[name]
        dtype = {"F16": DType.FLOAT16, "I8": DType.INT8}.get(tensor.type, F32)
        value = self.b.constant(
            dtype, tensor.shape, source=Source(name, tensor.type, "values"), name=name
        )
        return self.b.cast(value, F32) if dtype is DType.FLOAT16 else value
