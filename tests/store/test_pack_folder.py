"""Packing a Hugging Face folder: the same kind of manifest, and bad folders say why."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors

from edgewise.errors import EdgewiseError, FormatError, UnsupportedError
from edgewise.store.manifest import Manifest
from edgewise.store.pack import pack
from tests.importers.tiny_bert import TINY
from tests.store.models import digest


def read(path: Path) -> Manifest:
    return Manifest.from_json(path.read_text())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return TINY.write(tmp_path / "Tiny Bert v2")


def test_a_packed_folder_is_whole(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    written = pack(folder, out)
    manifest = read(written)
    names = [
        "tiny-bert-v2.manifest.json",
        "tiny-bert-v2.safetensors",
        "tiny-bert-v2.tokenizer.json",
    ]
    assert sorted(path.name for path in out.iterdir()) == names
    weights = out / manifest.file.url
    assert weights.samefile(folder / "model.safetensors"), "the weights were copied"
    data = weights.read_bytes()
    assert (manifest.file.sha256, manifest.file.nbytes) == (digest(data), len(data))
    for offset, segment in zip(manifest.offsets, manifest.segments, strict=True):
        assert segment.hash == digest(data[offset : offset + segment.nbytes])
    with safetensors.safe_open(weights, framework="numpy") as official:
        assert set(official.keys()) == manifest.tensors.keys()
        for name, ref in manifest.tensors.items():
            assert data[ref.offset : ref.offset + ref.nbytes] == official.get_tensor(name).tobytes()
            span = manifest.segments_of(name)
            assert (span.begin, span.end) == (0, ref.nbytes), "a tensor does not begin a segment"
    tokenizer = manifest.tokenizer
    assert tokenizer is not None
    text = (folder / "tokenizer.json").read_bytes()
    assert (out / (tokenizer.url or "")).read_bytes() == text, (
        "the tokenizer is not as other sites have it"
    )
    assert (tokenizer.sha256, tokenizer.nbytes) == (digest(text), len(text))


def test_what_the_manifest_says(folder: Path, tmp_path: Path) -> None:
    manifest = read(pack(folder, tmp_path))
    assert (manifest.name, manifest.task) == ("tiny-bert-v2", "feature-extraction")
    assert (manifest.architecture, manifest.license) == ("bert", "mit")
    assert (manifest.config["max_tokens"], manifest.config["pooling"]) == (10, "mean")
    assert manifest.chat is None
    arrays = TINY.weights()
    demands = manifest.demands
    inside = [array for name, array in arrays.items() if name.startswith("encoder.")]
    assert demands.nbytes_per_token == sum(array.nbytes for array in inside)
    assert demands.flops_per_token == 2 * sum(array.size for array in inside if array.ndim == 2)
    pooler = sum(array.nbytes for name, array in arrays.items() if name.startswith("pooler."))
    assert demands.weight_nbytes == sum(array.nbytes for array in arrays.values()) - pooler
    assert (demands.context, demands.kv_nbytes_per_token) == (10, 0)


def test_packing_again_gives_the_same(folder: Path, tmp_path: Path) -> None:
    first = pack(folder, tmp_path).read_bytes()
    assert pack(folder, tmp_path).read_bytes() == first


def test_minilm(minilm_folder: Path, tmp_path: Path) -> None:
    manifest = read(pack(minilm_folder, tmp_path))
    assert (manifest.name, manifest.license) == ("all-minilm-l6-v2", "apache-2.0")
    # 22.7 million parameters in all, 10.6 million of them in matrices of the layers
    assert manifest.demands.weight_nbytes == 4 * (22_713_216 - 384 * 385)
    assert manifest.demands.flops_per_token == 2 * 6 * 12 * 384 * 384


def test_a_header_longer_than_what_is_read_first(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pack(folder, tmp_path / "a").read_bytes()
    monkeypatch.setattr("edgewise.store.safetensors_files.HEADER_NBYTES", 9)
    assert pack(folder, tmp_path / "b").read_bytes() == whole


@pytest.mark.parametrize(
    ("card", "license"),
    [
        ("---\nlicense: apache-2.0\n---\n", "apache-2.0"),
        ("---\na: b\n---\nlicense: mit\n", None),
        ("# license: mit\n", None),
        (None, None),
    ],
)
def test_licence(folder: Path, tmp_path: Path, card: str | None, license: str | None) -> None:
    (folder / "README.md").unlink()
    if card is not None:
        (folder / "README.md").write_text(card)
    assert read(pack(folder, tmp_path)).license == license


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def pickled_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])


def no_json(folder: Path) -> None:
    (folder / "1_Pooling" / "config.json").write_text("{")


def no_object(folder: Path) -> None:
    (folder / "config.json").write_text("[]")


def huge_document(folder: Path) -> None:
    (folder / "modules.json").write_text(" " * (1 << 20) + "[]")


def nested_document(folder: Path) -> None:
    (folder / "config.json").write_text("[" * 100_000)


def of_another_kind(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({**TINY.config(), "model_type": "t5"}))


def of_other_sizes(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(replace(TINY, layers=1, ffn=21).config()))


@pytest.mark.parametrize(
    ("damage", "error", "says"),
    [
        (no_config, FormatError, "config.json"),
        (no_tokenizer, FormatError, "tokenizer.json"),
        (no_weights, FormatError, "model.safetensors"),
        (pickled_weights, UnsupportedError, "pytorch_model.bin"),
        (cut_weights, FormatError, "byte"),
        (no_json, FormatError, "1_Pooling/config.json"),
        (no_object, FormatError, "config.json"),
        (huge_document, FormatError, "modules.json"),
        (nested_document, FormatError, "config.json"),
        (of_another_kind, UnsupportedError, "'t5'; need one of bert"),
        (of_other_sizes, EdgewiseError, "intermediate"),
    ],
)
def test_bad_folders(
    folder: Path, tmp_path: Path,
    damage: Callable[[Path], None], error: type[EdgewiseError], says: str,
) -> None:  # fmt: skip
    damage(folder)
    with pytest.raises(error, match=says):
        pack(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists(), "something was written"


INDEX = "model.safetensors.index.json"


def mapped(folder: Path, files: object) -> None:
    (folder / INDEX).write_text(json.dumps({"weight_map": files}))
    (folder / "model.safetensors").rename(folder / "one.safetensors")


def no_shard(folder: Path) -> None:
    mapped(folder, {"pooler.dense.bias": "one.safetensors", "b": "two.safetensors"})


def shard_elsewhere(folder: Path) -> None:
    (folder.parent / "outside.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    mapped(folder, {"a": "../outside.safetensors"})


def no_map(folder: Path) -> None:
    mapped(folder, ["one.safetensors"])


def empty_map(folder: Path) -> None:
    mapped(folder, {})


def no_index(folder: Path) -> None:
    mapped(folder, {})
    (folder / INDEX).write_text("[" * 100_000)


def of_no_shard(folder: Path) -> None:
    mapped(folder, {"unheard of": "one.safetensors"})


def twice(folder: Path) -> None:
    (folder / "two.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    name = "embeddings.LayerNorm.bias"
    mapped(folder, {name: "one.safetensors", "pooler.dense.bias": "two.safetensors"})


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (no_shard, "two.safetensors"),
        (shard_elsewhere, "names files beside it"),
        (no_map, "names files beside it"),
        (empty_map, "names files beside it"),
        (no_index, "names files beside it"),
        (of_no_shard, "'unheard of' in one.safetensors"),
        (twice, "in two files"),
    ],
)
def test_bad_shards(
    folder: Path, tmp_path: Path, damage: Callable[[Path], None], says: str
) -> None:
    damage(folder)
    with pytest.raises(FormatError, match=says):
        pack(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists(), "something was written"
