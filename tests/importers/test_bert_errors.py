"""What the BERT importer refuses: each fault has its named error, and all of a kind are named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edgewise.errors import EdgewiseError, FormatError, ShapeError, UnsupportedError
from edgewise.formats.tensor import TensorInfo
from edgewise.importers.bert import build, config_from_files
from tests.importers.tiny_bert import TINY

F, U = FormatError, UnsupportedError


def tensors(**changed: Any) -> dict[str, TensorInfo]:
    return {
        name: TensorInfo(name, "F32", array.shape, 0, array.nbytes)
        for name, array in replace(TINY, **changed).weights().items()
    }


def fails(
    kind: type[EdgewiseError], files: dict[str, Any], given: dict[str, TensorInfo] | None = None
) -> str:
    with pytest.raises(kind) as caught:
        config_from_files(files, tensors() if given is None else given)
    assert type(caught.value) is kind
    return str(caught.value)


def files(path: str = "config.json", **changed: Any) -> dict[str, Any]:
    """Documents with members of one changed; None takes a member away."""
    found = TINY.documents()
    members = found[path] | changed
    found[path] = {key: value for key, value in members.items() if value is not None}
    return found


@pytest.mark.parametrize("name", ["roberta", "distilbert", "mpnet"])
def test_relatives_are_named_as_such(name: str) -> None:
    text = fails(U, files(model_type=name))
    assert f"'{name}' (of its family" in text
    assert "need one of bert" in text


def test_unknown_architecture_is_named_with_those_known() -> None:
    assert "got 'mamba'; need one of bert" in fails(U, files(model_type="mamba"))
    assert "model_type" in fails(F, files(model_type=None))
    assert "config.json" in fails(F, {})


def test_missing_and_wrong_keys_are_all_named() -> None:
    text = fails(F, files(hidden_size=None, vocab_size=None))
    assert "hidden_size" in text
    assert "vocab_size" in text
    text = fails(F, files(hidden_size="12", num_attention_heads=0, layer_norm_eps=-1))
    assert "hidden_size = '12'" in text
    assert "num_attention_heads = 0" in text
    assert "layer_norm_eps = -1" in text


@pytest.mark.parametrize(
    ("changed", "kind", "says"),
    [
        ({"hidden_act": "silu"}, U, "'silu'; need one of gelu, relu"),
        ({"position_embedding_type": "relative_key"}, U, "position_embedding_type"),
        ({"is_decoder": True}, U, "is_decoder"),
        ({"num_attention_heads": 5}, F, "5 heads"),
        ({"num_hidden_layers": 10**9}, F, "num_hidden_layers"),
        ({"num_hidden_layers": 3}, F, "no encoder.layer.2.attention"),
        ({"vocab_size": 30}, ShapeError, "word_embeddings"),
    ],
)
def test_what_config_json_says(
    changed: dict[str, Any], kind: type[EdgewiseError], says: str
) -> None:
    assert says in fails(kind, files(**changed))


def test_pooling_that_is_not_ours() -> None:
    path = "1_Pooling/config.json"
    assert "pooling_mode_lasttoken" in fails(
        U, files(path, pooling_mode_mean_tokens=False, pooling_mode_lasttoken=True)
    )
    both = fails(U, files(path, pooling_mode_cls_token=True))
    assert "pooling_mode_cls_token, pooling_mode_mean_tokens" in both
    assert "got none" in fails(U, files(path, pooling_mode_mean_tokens=False))
    without = {name: each for name, each in TINY.documents().items() if name != path}
    assert "no 1_Pooling/config.json" in fails(F, without)


def test_modules_that_are_not_ours() -> None:
    documents = TINY.documents()
    documents["modules.json"].append({"type": "sentence_transformers.models.Dense", "path": "3"})
    assert "Normalize, Dense" in fails(U, documents)
    assert "modules.json" in fails(F, {**documents, "modules.json": ["x"]})


def test_a_bare_encoder_has_the_mean() -> None:
    found = config_from_files({"config.json": TINY.config()}, tensors())
    assert (found["pooling"], found["normalize"], found["max_tokens"]) == ("mean", False, 16)


def test_tensors() -> None:
    given = tensors()
    word = "embeddings.word_embeddings.weight"
    assert word in fails(F, files(), {})
    layer = "encoder.layer.0.attention"
    relative = f"{layer}.self.distance_embedding.weight"
    assert relative in fails(U, files(), given | {relative: given[word]})
    whole = replace(given[word], type="U8")
    dense = f"{layer}.output.dense.weight"
    text = fails(U, files(), given | {word: whole, dense: replace(given[dense], type="F64")})
    assert f"{word} U8" in text
    assert f"{dense} F64" in text


def test_a_manifests_config_is_checked_again() -> None:
    config = config_from_files(files(), tensors())
    for changed, says in (
        ({"max_tokens": 17}, "max_tokens 17"), ({"pooling": 1}, "pooling = 1"),
        ({"normalize": None}, "no normalize"),
    ):  # fmt: skip
        with pytest.raises(FormatError, match=says):
            build(config | changed, tensors())
    for field, unknown in (
        ("pooling", "median"), ("architecture", "llama"), ("activation", "tanh")
    ):  # fmt: skip
        with pytest.raises(UnsupportedError, match=unknown):
            build(config | {field: unknown}, tensors())


def test_a_matrix_of_8_bits_needs_its_scales() -> None:
    name = "encoder.layer.1.output.dense.weight"
    given = tensors()
    given[name] = replace(given[name], type="I8")
    assert f"no {name}_scale" in fails(F, files(), given)
    given[f"{name}_scale"] = TensorInfo(f"{name}_scale", "F32", (12,), 0, 48)
    assert f"{name}_scale [12, 1]" in fails(ShapeError, files(), given)
    given[f"{name}_scale"] = TensorInfo(f"{name}_scale", "F16", (12, 1), 0, 24)
    assert f"{name}_scale F16" in fails(U, files(), given)
    given[f"{name}_scale"] = TensorInfo(f"{name}_scale", "F32", (12, 1), 0, 48)
    config_from_files(files(), given)
    given["embeddings.LayerNorm.bias"] = replace(given["embeddings.LayerNorm.bias"], type="I8")
    assert "embeddings.LayerNorm.bias I8" in fails(U, files(), given)
