"""What the llama importer refuses: each fault has its named error, and all of a kind are named."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.errors import EdgewiseError, FormatError, ShapeError, UnsupportedError
from edgewise.formats.blocks import BLOCKS, split
from edgewise.importers.llama import CENTRED, build, config_from_gguf
from tests.importers.tiny import TYPES, Tiny


@dataclass(frozen=True)
class Tensor:
    type: str
    shape: tuple[int, ...]


def parts() -> tuple[dict[str, object], dict[str, Any]]:
    """Metadata and tensors of a good model."""
    model = Tiny(tied=False)
    metadata: dict[str, object] = {
        "general.architecture": "llama",
        "llama.block_count": model.layers,
        "llama.context_length": model.context,
        "llama.embedding_length": model.hidden,
        "llama.feed_forward_length": model.ffn,
        "llama.attention.head_count": model.heads,
        "llama.attention.head_count_kv": model.kv_heads,
        "llama.attention.layer_norm_rms_epsilon": model.norm_eps,
    }
    tensors = {
        name: Tensor("F32" if len(shape) == 1 else TYPES[name.split(".")[-2]], shape)
        for name, shape in model.shapes().items()
    }
    return metadata, tensors


def fails(kind: type[EdgewiseError], metadata: dict[str, object], tensors: dict[str, Any]) -> str:
    with pytest.raises(kind) as caught:
        config_from_gguf(metadata, tensors)
    return str(caught.value)


def test_absent_keys_have_llama_cpps_defaults() -> None:
    metadata, tensors = parts()
    config = config_from_gguf(metadata, tensors)
    assert (config["head_dim"], config["rope_dims"], config["rope_theta"]) == (16, 16, 10000.0)
    assert config["tied"] is False


def test_unknown_architecture_is_named_with_those_known() -> None:
    metadata, tensors = parts()
    text = fails(UnsupportedError, metadata | {"general.architecture": "mamba"}, tensors)
    assert "'mamba'" in text
    assert "one of llama" in text
    del metadata["general.architecture"]
    assert "general.architecture" in fails(FormatError, metadata, tensors)


def test_missing_keys_are_named_at_once() -> None:
    metadata, tensors = parts()
    del metadata["llama.block_count"], metadata["llama.embedding_length"]
    text = fails(FormatError, metadata, tensors)
    assert "llama.block_count" in text
    assert "llama.embedding_length" in text
    assert "head_count" not in text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("llama.block_count", 0),
        ("llama.block_count", -3),
        ("llama.block_count", 2**40),
        ("llama.embedding_length", "576"),
        ("llama.embedding_length", True),
        ("llama.attention.head_count", [4, 4]),
        ("llama.attention.head_count", 3.5),
        ("llama.attention.head_count_kv", 3),
        ("llama.attention.layer_norm_rms_epsilon", float("nan")),
        ("llama.rope.freq_base", float("inf")),
        ("llama.rope.dimension_count", 15),
        ("llama.rope.dimension_count", 18),
        ("llama.attention.head_count", 2**20),
    ],
)
def test_values_out_of_range(key: str, value: object) -> None:
    metadata, tensors = parts()
    fails(FormatError, metadata | {key: value}, tensors)


KEYS = [
    *parts()[0], "llama.attention.key_length", "llama.rope.dimension_count",
    "llama.rope.freq_base", "llama.rope.scaling.type", "llama.expert_count",
]  # fmt: skip
VALUES = st.one_of(
    st.integers(-(2**63), 2**64), st.integers(0, 100), st.floats(), st.booleans(), st.text(),
    st.lists(st.integers(), max_size=2), st.none(),
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=3))
def test_any_metadata_gives_a_config_or_a_named_error(changes: dict[str, object]) -> None:
    metadata, tensors = parts()
    try:
        config = config_from_gguf(metadata | changes, tensors)
    except EdgewiseError:
        return
    build(config, tensors)


def test_more_layers_than_the_file_can_hold_are_refused_before_they_are_listed() -> None:
    metadata, tensors = parts()
    text = fails(FormatError, metadata | {"llama.block_count": 2**31 - 1}, tensors)
    assert "block_count" in text


@pytest.mark.parametrize(
    ("key", "value"), [("llama.rope.scaling.type", "yarn"), ("llama.expert_count", 8)]
)
def test_features_that_the_graph_lacks(key: str, value: object) -> None:
    metadata, tensors = parts()
    assert key in fails(UnsupportedError, metadata | {key: value}, tensors)


def test_missing_tensors_are_named_at_once() -> None:
    metadata, tensors = parts()
    del tensors["blk.0.attn_q.weight"], tensors["output_norm.weight"]
    text = fails(FormatError, metadata, tensors)
    assert "blk.0.attn_q.weight" in text
    assert "output_norm.weight" in text
    del tensors["token_embd.weight"]
    assert "token_embd.weight" in fails(FormatError, metadata, tensors)


def test_tensors_without_a_place_are_refused() -> None:
    metadata, tensors = parts()
    text = fails(UnsupportedError, metadata, tensors | {"rope_freqs.weight": Tensor("F32", (8,))})
    assert "rope_freqs.weight" in text


def test_wrong_shapes_say_both() -> None:
    metadata, tensors = parts()
    for name in ("blk.1.ffn_up.weight", "blk.0.attn_norm.weight"):
        tensors[name] = replace(tensors[name], shape=(*tensors[name].shape[::-1], 1))
    text = fails(ShapeError, metadata, tensors)
    assert "blk.1.ffn_up.weight [64, 96, 1]" in text
    assert "blk.1.ffn_up.weight [96, 64]" in text
    assert "blk.0.attn_norm.weight" in text


def test_weight_types_are_named_at_once_here_and_in_build() -> None:
    metadata, tensors = parts()
    config = config_from_gguf(metadata, tensors)
    tensors["blk.0.ffn_up.weight"] = Tensor("Q2_K", (96, 64))
    tensors["blk.1.attn_k.weight"] = Tensor("Q3_K", (32, 64))
    tensors["blk.1.attn_norm.weight"] = Tensor("Q8_0", (64,))
    with pytest.raises(UnsupportedError) as caught:
        build(config, tensors)
    for text in (str(caught.value), fails(UnsupportedError, metadata, tensors)):
        assert "blk.0.ffn_up.weight Q2_K" in text
        assert "blk.1.attn_k.weight Q3_K" in text
        assert "blk.1.attn_norm.weight Q8_0" in text
        assert "Q4_1" in text


def test_configs_of_manifests_are_checked() -> None:
    metadata, tensors = parts()
    config = config_from_gguf(metadata, tensors)
    with pytest.raises(UnsupportedError, match="one of llama"):
        build(config | {"architecture": "bert"}, tensors)
    with pytest.raises(FormatError, match="no hidden, tied") as caught:
        build({k: v for k, v in config.items() if k not in ("hidden", "tied")}, tensors)
    assert "heads" not in str(caught.value)
    with pytest.raises(FormatError, match="tied"):
        build(config | {"tied": 1}, tensors)


@pytest.mark.parametrize("name", [name for name, block in BLOCKS.items() if block.bits])
def test_types_without_a_minimum_are_those_whose_minimum_is_zero(name: str) -> None:
    block = BLOCKS[name]
    rng = np.random.default_rng(5)
    raw = rng.integers(1, 0x3C, (8, block.nbytes), np.uint8)  # any float16 in it is finite
    minimum = split(raw.tobytes(), name, (8, block.elements))[2]
    assert (not minimum.any()) == (name in CENTRED)
