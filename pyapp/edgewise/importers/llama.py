"""The llama architecture as a graph: LLaMA, SmolLM2 and what else GGUF calls `llama`.

One graph serves prefill and decode: `seq` tokens enter at positions `past`... and the KV cache,
a state, is updated in place. The residual stream is float32; what flows between matrices, and the
cache, may be float16. No fusion here: passes/fuse.py makes one node of several where it pays.
Must not import NumPy.

Source: Touvron et al. 2023 (arXiv 2302.13971); llama.cpp llama-model.cpp for GGUF's layout, whose
rows of q and k are permuted so that rotary pairs stand side by side.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..dims import Dim
from ..dtypes import DType
from ..formats.blocks import BLOCKS
from ..graph.builder import GraphBuilder
from ..graph.graph import Graph, Part, Source, Value
from .adapters import NONE, WEIGHTS, Adapters
from .llama_config import FLOAT_TYPES, LlamaConfig, check_tensors, config_from_gguf, parse_config
from .tensors import Tensor

__all__ = ["build", "config_from_gguf"]

F32 = DType.FLOAT32
# 8-bit codes of these types are signed around zero: they have a scale and no minimum.
CENTRED = frozenset({"Q5_0", "Q8_0", "Q6_K"})
Matrix = Value | tuple[Value, Value, Value | None]


def build(
    config: Mapping[str, object],
    tensors: Mapping[str, Tensor],
    *,
    max_seq: int = 512,
    max_context: int = 2048,
    activation: DType = F32,
    kv: DType | None = None,
    adapters: Adapters = NONE,
) -> Graph:
    """The graph of a llama model.

    config      as `config_from_gguf` gives it and manifests hold it.
    tensors     type and shape of every tensor of the model file, by name.
    activation  data type between the matrices of a layer; `kv` that of the cache, the same unless
                given.
    adapters    what may be added to its matrices; their tensors are in `tensors` too.

    Inputs      tokens int32 [seq], bias f32 [vocab] added to the logits, settings f32 [5] of
                `sample` (temperature, top_k, top_p, repetition penalty, a uniform number); with
                adapters also `adapters` f32, the weight of each.
    States      kN, vN [max_context, kv_heads, head_dim] of layer N, seen uint32 [vocab].
    Symbols     seq, 1 to max_seq tokens; past, tokens in the cache before them. Both bounds are
                lowered to the model's own context.
    Outputs     token int32 [1], logits f32 [1, vocab] of the last position.
    Raises      as `config_from_gguf`.
    """
    model = _Llama(parse_config(config), tensors, max_seq, max_context, activation, kv, adapters)
    return model.graph()


class _Llama:
    """The builder and what every layer shares."""

    def __init__(
        self,
        config: LlamaConfig,
        tensors: Mapping[str, Tensor],
        max_seq: int,
        max_context: int,
        activation: DType,
        kv: DType | None,
        adapters: Adapters,
    ) -> None:
        check_tensors(config, {n: t for n, t in tensors.items() if n not in adapters.tensors})
        self.config, self.tensors, self.activation = config, tensors, activation
        self.max_context = min(max_context, config.context)
        self.b = b = GraphBuilder("llama")
        self.seq: Dim = b.symbol("seq", min(max_seq, self.max_context))
        self.past: Dim = b.symbol("past", self.max_context)
        self.kv = kv or activation
        self.stacks = adapters.stacks
        self.weights = b.input(WEIGHTS, F32, (adapters.count,)) if self.stacks else None

    def graph(self) -> Graph:
        b, config = self.b, self.config
        tokens = b.input("tokens", DType.INT32, (self.seq,))
        bias = b.input("bias", F32, (config.vocab,))
        settings = b.input("settings", F32, (5,))
        seen = b.state("seen", DType.UINT32, (config.vocab,))
        embedding = self.matrix("token_embd.weight")
        x = self.rows(embedding, tokens)
        for index in range(config.layers):
            with b.scope(f"blk.{index}"):
                x = self.feed_forward(index, self.attention(index, x))
        with b.scope("output"):
            last = b.slice(x, starts=(self.seq - 1, 0), sizes=(1, config.hidden))
            output = embedding if config.tied else self.matrix("output.weight")
            logits = self.product(self.norm("output_norm.weight", last), output, F32)
        with b.scope("sample"):
            now_seen = b.mark_seen(seen, tokens)
            token = b.sample(logits, now_seen, bias, settings)
        b.update(seen, now_seen)
        b.output("token", token)
        b.output("logits", logits)
        return b.build()

    def attention(self, index: int, x: Value) -> Value:
        """x [seq, hidden] plus what its tokens take from the cache and each other."""
        b, config, blk = self.b, self.config, f"blk.{index}"
        shape = (self.max_context, config.kv_heads, config.head_dim)
        k_state, v_state = (b.state(f"{name}{index}", self.kv, shape) for name in "kv")
        h = self.norm(f"{blk}.attn_norm.weight", x)
        q, k, v = (
            b.reshape(
                self.linear(h, f"{blk}.attn_{name}.weight", self.activation, turned=name != "v"),
                new_shape=(self.seq, heads, config.head_dim),
            )
            for name, heads in (("q", config.heads), ("k", config.kv_heads), ("v", config.kv_heads))
        )
        keys = b.kv_update(k_state, self.rotary(k), start=self.past)
        values = b.kv_update(v_state, v, start=self.past)
        b.update(k_state, keys)
        b.update(v_state, values)
        mixed = b.attention(
            self.rotary(q), keys, values, past=self.past, scale=config.head_dim**-0.5
        )
        flat = b.reshape(mixed, new_shape=(self.seq, config.heads * config.head_dim))
        return self.linear(flat, f"{blk}.attn_output.weight", F32, residual=x)

    def feed_forward(self, index: int, x: Value) -> Value:
        """x [seq, hidden] plus its SwiGLU layer."""
        blk = f"blk.{index}"
        h = self.norm(f"{blk}.ffn_norm.weight", x)
        gate, up = (
            self.linear(h, f"{blk}.ffn_{name}.weight", self.activation) for name in ("gate", "up")
        )
        both = self.b.swiglu(gate, up)
        return self.linear(both, f"{blk}.ffn_down.weight", F32, residual=x)

    def norm(self, name: str, x: Value) -> Value:
        weight = self.b.constant(
            F32, self.tensors[name].shape, source=Source(name, self.tensors[name].type, "values"),
            name=name,
        )  # fmt: skip
        out: Value = self.b.rms_norm(x, weight, eps=self.config.norm_eps)
        return out

    def rotary(self, x: Value) -> Value:
        theta, dims = self.config.rope_theta, self.config.rope_dims
        out: Value = self.b.rotary(x, start=self.past, theta=theta, dims=dims, interleaved=True)
        return out

    def linear(
        self,
        x: Value,
        name: str,
        dtype: DType,
        *,
        residual: Value | None = None,
        turned: bool = False,
    ) -> Value:
        """x [seq, K] times the matrix [N, K] of that name and what adapters add, on `residual`.

        turned  whether the matrix's rows are permuted for rotary; those of adapters are not
        """
        b = self.b
        y = self.product(x, self.matrix(name), dtype)
        if residual is not None:
            y = b.add(residual, y)
        if name not in self.stacks:
            return y
        stack = self.stacks[name]
        down, up = (self.addition(each) for each in (stack.down, stack.up))
        paired = self.config.head_dim if turned else 0
        added: Value = b.low_rank(
            y, x, down, up, self.weights, ranks=stack.ranks, scales=stack.scales, paired=paired
        )
        return added

    def addition(self, name: str) -> Value:
        """A tensor of adapters as it is in their files."""
        tensor = self.tensors[name]
        dtype = DType.FLOAT16 if tensor.type == "F16" else F32
        source = Source(name, tensor.type, "values")
        return self.b.constant(dtype, tuple(tensor.shape), source=source, name=name)

    def rows(self, matrix: Matrix, ids: Value) -> Value:
        """Rows [seq, K] of a matrix [N, K], in float32."""
        b = self.b
        if isinstance(matrix, Value):
            return self.cast(b.gather(matrix, ids), F32)
        out: Value = b.quantized_gather(*matrix, ids, dtype=F32)
        return out

    def product(self, x: Value, matrix: Matrix, dtype: DType) -> Value:
        """x [seq, K] times a matrix [N, K]; sums are float32."""
        b = self.b
        if isinstance(matrix, Value):
            turned = b.transpose(self.cast(matrix, F32), permutation=(1, 0))
            return self.cast(b.matmul(self.cast(x, F32), turned), dtype)
        out: Value = b.quantized_matmul(x, *matrix, dtype=dtype)
        return out

    def cast(self, x: Value, dtype: DType) -> Value:
        out: Value = x if x.dtype is dtype else self.b.cast(x, dtype)
        return out

    def matrix(self, name: str) -> Matrix:
        """A weight [N, K] as it is, or its codes [N, K], scale and minimum [N, K / group]."""
        tensor = self.tensors[name]
        rows, columns = tensor.shape

        def part(part: Part, dtype: DType, width: int) -> Value:
            source = Source(name, tensor.type, part)
            return self.b.constant(dtype, (rows, width), source=source, name=f"{name}.{part}")

        if tensor.type in FLOAT_TYPES:
            return part("values", DType.FLOAT16 if tensor.type == "F16" else F32, columns)
        block = BLOCKS[tensor.type]
        assert block.group is not None  # check_tensors: it has codes
        assert block.scale is not None
        codes = part("codes", DType.UINT4 if block.bits == 4 else DType.INT8, columns)
        groups = columns // block.group
        scale = part("scale", block.scale, groups)
        minimum = None if tensor.type in CENTRED else part("minimum", block.scale, groups)
        return codes, scale, minimum
