"""What makes one llama-family model: its hyperparameters and the tensors that they call for.

A config travels as plain JSON in manifests and is checked each time it comes back; whatever is
wrong is named in one error. Must not import NumPy.

Source: llama.cpp's gguf-py constants.py (keys `llama.*`, tensors `blk.N.*`) and llama-model.cpp
(defaults of absent keys).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from struct import pack, unpack
from typing import Any

from ..errors import FormatError, UnsupportedError
from ..formats.blocks import BLOCKS
from .tensors import Tensor, check_shapes, some

ARCHITECTURES = ("llama",)
FLOAT_TYPES = ("F32", "F16", "BF16")
MATRIX_TYPES = FLOAT_TYPES + tuple(name for name, row in BLOCKS.items() if row.bits is not None)
VECTOR_TYPES = ("F32",)

# field: key after "llama."
_REQUIRED = {
    "hidden": "embedding_length", "layers": "block_count", "heads": "attention.head_count",
    "ffn": "feed_forward_length", "context": "context_length",
    "norm_eps": "attention.layer_norm_rms_epsilon",
}  # fmt: skip
_OPTIONAL = {
    "kv_heads": "attention.head_count_kv", "head_dim": "attention.key_length",
    "rope_dims": "rope.dimension_count", "rope_theta": "rope.freq_base",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LlamaConfig:
    """Hyperparameters; sizes in elements, `tied` when the embedding is also the output matrix."""

    vocab: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    rope_theta: float
    rope_dims: int
    norm_eps: float
    context: int
    tied: bool

    def to_dict(self) -> dict[str, Any]:
        """As manifests hold it."""
        return {"architecture": "llama", **asdict(self)}


def parse_config(config: Mapping[str, object]) -> LlamaConfig:
    """The inverse of `to_dict`.

    Raises   UnsupportedError for another architecture; FormatError naming every field that is
             missing, of the wrong type or out of range.
    """
    _check_architecture(config.get("architecture"), "config field 'architecture'")
    kinds = {field.name: str(field.type) for field in fields(LlamaConfig)}
    _check_values("llama config", {name: (name, config.get(name)) for name in kinds})
    values = {name: config[name] for name in kinds}
    # JSON written by JavaScript has 100000 for 100000.0.
    floats = {name: float(values[name]) for name in kinds if kinds[name] == "float"}  # type: ignore[arg-type]
    parsed = LlamaConfig(**(values | floats))  # type: ignore[arg-type]
    if parsed.heads % parsed.kv_heads:
        raise FormatError("llama config", got=f"{parsed.heads} heads, {parsed.kv_heads} kv_heads",
                          need="the same number of heads for each kv head")  # fmt: skip
    if parsed.rope_dims % 2 or parsed.rope_dims > parsed.head_dim:
        raise FormatError("llama config", got=f"rope_dims {parsed.rope_dims}",
                          need=f"an even number up to head_dim {parsed.head_dim}")  # fmt: skip
    return parsed


def config_from_gguf(
    metadata: Mapping[str, object], tensors: Mapping[str, Tensor]
) -> dict[str, Any]:
    """The config of a GGUF file, from its metadata and the tensors that it holds.

    Raises   UnsupportedError for an architecture, a rope scaling, mixed experts, tensors or types
             of tensors that the graph has no place for; FormatError for keys or tensors that are
             missing or wrong; ShapeError for tensors of another shape than the keys say.
    """
    _check_architecture(metadata.get("general.architecture"), "metadata key 'general.architecture'")
    _check_values("GGUF metadata", {
        field: (f"llama.{key}", metadata.get(f"llama.{key}")) for field, key in _REQUIRED.items()
    })  # fmt: skip
    found = {field: metadata[f"llama.{key}"] for field, key in _REQUIRED.items()}
    found |= {
        field: metadata[f"llama.{key}"]
        for field, key in _OPTIONAL.items()
        if f"llama.{key}" in metadata
    }
    _check_values("GGUF metadata", {
        field: (f"llama.{_OPTIONAL[field]}", found[field]) for field in _OPTIONAL if field in found
    })  # fmt: skip
    _check_features(metadata)
    embedding = tensors.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2:
        got = "no such tensor" if embedding is None else f"shape {list(embedding.shape)}"
        raise FormatError("tensor 'token_embd.weight'", got=got, need="a matrix [vocab, hidden]")
    hidden, heads = found["hidden"], found["heads"]
    assert isinstance(hidden, int) and isinstance(heads, int)  # noqa: PT018 - as checked above
    head_dim = found.setdefault("head_dim", hidden // heads)
    config = parse_config({
        "architecture": "llama", "vocab": embedding.shape[0], "kv_heads": heads,
        "rope_theta": 10000.0, "rope_dims": head_dim, "tied": "output.weight" not in tensors,
        **{name: _shortest(value) for name, value in found.items()},
    })  # fmt: skip
    check_tensors(config, tensors)
    return config.to_dict()


def check_tensors(config: LlamaConfig, tensors: Mapping[str, Tensor]) -> None:
    """Raise unless `tensors` are just what `config` calls for, in types that the graph takes."""
    if config.layers > len(tensors):  # before a list is made whose length a file may choose
        raise FormatError("llama.block_count", got=str(config.layers),
                          need=f"layers that {len(tensors)} tensors can fill")  # fmt: skip
    shapes = tensor_shapes(config)
    check_shapes("llama", tensors, shapes, config.layers)
    extra = [name for name in tensors if name not in shapes]
    if extra:
        raise UnsupportedError("tensors of a llama model", got=some(extra),
                               need="only tensors that a plain llama computes with")  # fmt: skip
    untaken = [
        f"{name} {tensors[name].type}"
        for name, shape in shapes.items()
        if tensors[name].type not in (MATRIX_TYPES if len(shape) == 2 else VECTOR_TYPES)
    ]
    if untaken:
        raise UnsupportedError(
            "weight types of a llama model", got=", ".join(untaken),
            need=f"{', '.join(MATRIX_TYPES)} matrices and {', '.join(VECTOR_TYPES)} norms",
            fix="quantise the model with llama.cpp's llama-quantize, for example to Q4_1",
        )  # fmt: skip


def tensor_shapes(config: LlamaConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes, outermost first, of all tensors of a model; matrices are [out, in]."""
    hidden, ffn = config.hidden, config.ffn
    q, kv = config.heads * config.head_dim, config.kv_heads * config.head_dim
    layer = {
        "attn_norm": (hidden,), "attn_q": (q, hidden), "attn_k": (kv, hidden),
        "attn_v": (kv, hidden), "attn_output": (hidden, q), "ffn_norm": (hidden,),
        "ffn_gate": (ffn, hidden), "ffn_up": (ffn, hidden), "ffn_down": (hidden, ffn),
    }  # fmt: skip
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (config.vocab, hidden)}
    for index in range(config.layers):
        shapes |= {f"blk.{index}.{name}.weight": shape for name, shape in layer.items()}
    shapes["output_norm.weight"] = (hidden,)
    if not config.tied:
        shapes["output.weight"] = (config.vocab, hidden)
    return shapes


def _check_architecture(found: object, what: str) -> None:
    if not isinstance(found, str):
        raise FormatError(what, got=repr(found), need="the name of an architecture")
    if found not in ARCHITECTURES:
        raise UnsupportedError("model architecture", got=repr(found),
                               need="one of " + ", ".join(ARCHITECTURES), where=what)  # fmt: skip


def _check_values(what: str, named: Mapping[str, tuple[str, object]]) -> None:
    """Raise FormatError for all fields of LlamaConfig whose (name to show, value) do not fit."""
    kinds = {field.name: str(field.type) for field in fields(LlamaConfig)}
    missing = [name for name, value in named.values() if value is None]
    if missing:
        raise FormatError(what, got="no " + ", ".join(missing), need="these keys")
    wrong = [
        (f"{name} = {value!r:.40}", f"{name}: {_NEED[kinds[field]]}")
        for field, (name, value) in named.items()
        if not _fits(value, kinds[field])
    ]
    if wrong:
        got, need = zip(*wrong, strict=True)
        raise FormatError(what, got=", ".join(got), need=", ".join(need))


_NEED = {
    "int": "an integer from 1 to 2^31 - 1", "float": "a number from 1e-30 to 1e30",
    "bool": "true or false",
}  # fmt: skip


def _fits(value: object, kind: str) -> bool:
    if kind == "bool" or isinstance(value, bool):
        return kind == "bool" and isinstance(value, bool)
    if isinstance(value, float):
        return kind == "float" and 1e-30 <= value <= 1e30  # well inside float32
    return isinstance(value, int) and 0 < value < 2**31


def _check_features(metadata: Mapping[str, object]) -> None:
    scaling = metadata.get("llama.rope.scaling.type", "none")
    experts = metadata.get("llama.expert_count", 0)
    for key, value, plain in (
        ("llama.rope.scaling.type", scaling, "none"),
        ("llama.expert_count", experts, 0),
    ):
        if value != plain:
            raise UnsupportedError("feature of a llama model", got=f"{key} = {value!r:.40}",
                                   need=f"{plain!r} or no such key")  # fmt: skip


def _shortest(value: object) -> object:
    """A float32 of a GGUF as people wrote it: 9.999999747378752e-06 is 1e-05."""
    if not isinstance(value, float):
        return value
    near = float(f"{value:.7g}")
    return near if unpack("<f", pack("<f", near))[0] == value else value
