"""Packing: what the manifest says is what other readers find in the file, and bad files say why."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import gguf
import pytest

from edgewise.errors import EdgewiseError, FormatError, UnsupportedError
from edgewise.formats.gguf import parse
from edgewise.store.manifest import Manifest
from edgewise.store.pack import manifest_from_header, pack, tokenizer_text
from tests.importers.tiny import Tiny
from tests.store.models import digest
from tests.tiny_chat import make


def tokenizer(writer: gguf.GGUFWriter) -> None:
    writer.add_license("mit")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(["a", "b", "<s>", "ab", "é"])
    writer.add_token_types([1, 1, 3, 1, 1])
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(2)
    writer.add_chat_template("{{ messages }}")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "My Model-Q4_K_M.gguf"
    path.parent.mkdir()
    Tiny(vocab=5, tied=False).write(path, seed=1, more=tokenizer)
    return path


def read(path: Path) -> Manifest:
    return Manifest.from_json(path.read_text())


def check_hashes(manifest: Manifest, data: bytes) -> None:
    assert (manifest.file.sha256, manifest.file.nbytes) == (digest(data), len(data))
    for offset, segment in zip(manifest.offsets, manifest.segments, strict=True):
        assert segment.hash == digest(data[offset : offset + segment.nbytes])


def check_bytes(manifest: Manifest, file: Path) -> None:
    """Every hash is right, and every tensor lies where the `gguf` package finds it."""
    data = file.read_bytes()
    check_hashes(manifest, data)
    official = {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}
    assert official.keys() == manifest.tensors.keys()
    for name, ref in manifest.tensors.items():
        tensor = official[name]
        assert (ref.type, ref.nbytes) == (tensor.tensor_type.name, tensor.n_bytes)
        assert ref.shape == tuple(reversed(tensor.shape.tolist()))
        assert data[ref.offset : ref.offset + ref.nbytes] == tensor.data.tobytes()
        span = manifest.segments_of(name)
        assert (span.begin, span.end) == (0, ref.nbytes), "a tensor does not begin a segment"


def test_smollm2(model_path: Path, tmp_path: Path) -> None:
    path = pack(model_path, tmp_path)
    manifest = read(path)
    assert path.name == "smollm2-135m-instruct.manifest.json"
    check_hashes(manifest, (tmp_path / manifest.file.url).read_bytes())
    assert (manifest.task, manifest.license) == ("text-generation", "apache-2.0")
    assert manifest.config["layers"] == 30
    assert manifest.chat is not None
    assert (manifest.chat.bos, manifest.chat.stop_ids) == ("<|im_start|>", (2,))
    demands = manifest.demands
    assert demands.context == 8192
    assert demands.kv_nbytes_per_token == 2 * 30 * 3 * 64 * 4
    # 134.5 million parameters, of which 61 norms of 576 are no matrices
    assert demands.flops_per_token == 2 * (134_515_008 - 61 * 576)
    assert demands.weight_nbytes == demands.nbytes_per_token == 98_362_432 - 1_785_664


def test_a_packed_folder_is_whole(model: Path, tmp_path: Path) -> None:
    before = model.read_bytes()
    out = tmp_path / "out"
    manifest = read(pack(model, out))
    assert sorted(path.name for path in out.iterdir()) == [
        "My-Model-Q4_K_M.gguf", "my-model.manifest.json", "my-model.tokenizer.json",
    ]  # fmt: skip
    assert (out / manifest.file.url).samefile(model), "the model was copied"
    assert model.read_bytes() == before
    check_bytes(manifest, out / manifest.file.url)
    ref = manifest.tokenizer
    assert ref is not None
    text = (out / (ref.url or "")).read_bytes()
    assert (ref.sha256, ref.nbytes) == (digest(text), len(text))
    assert json.loads(text)["model"]["vocab"]["é"] == 4
    assert manifest.license == "mit"


def test_an_embedding_of_its_own_is_looked_up(model: Path, tmp_path: Path) -> None:
    manifest = read(pack(model, tmp_path / "out"))
    table = manifest.tensors["token_embd.weight"]
    assert manifest.demands.weight_nbytes - manifest.demands.nbytes_per_token == table.nbytes
    matrices = [t.shape for t in manifest.tensors.values() if len(t.shape) == 2 and t is not table]
    assert manifest.demands.flops_per_token == 2 * sum(n * k for n, k in matrices)


def test_packing_again_and_in_place(model: Path) -> None:
    path = model.with_name("tiny.gguf")
    model.rename(path)
    first = pack(path, path.parent).read_bytes()
    assert pack(path, path.parent).read_bytes() == first
    assert path.is_file()
    assert not path.is_symlink()
    assert len(list(path.parent.iterdir())) == 3


def test_another_file_of_that_name_gives_way(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "My-Model-Q4_K_M.gguf").write_bytes(b"old")
    manifest = read(pack(model, out))
    check_bytes(manifest, out / manifest.file.url)


@pytest.mark.parametrize("refused", [["link"], ["link", "symlink"]])
def test_disks_without_links(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: list[str]
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    for name in refused:
        monkeypatch.setattr(os, name, refuse)
    out = tmp_path / "out"
    manifest = read(pack(model, out))
    assert (out / manifest.file.url).is_symlink() is ("symlink" not in refused)
    check_bytes(manifest, out / manifest.file.url)


def test_a_header_longer_than_what_is_read_first(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pack(model, tmp_path / "a").read_bytes()
    monkeypatch.setattr("edgewise.store.gguf_files.HEADER_NBYTES", 8)
    assert pack(model, tmp_path / "b").read_bytes() == whole


def test_by_url_without_a_pack(model: Path, tmp_path: Path) -> None:
    data = model.read_bytes()
    header = parse(data)
    url = "https://h.test/a/My%20Model-Q4_K_M.gguf?download=true#x"
    opened = manifest_from_header(header, url, len(data))
    assert Manifest.from_json(opened.to_json()) == opened
    assert {segment.hash for segment in opened.segments} == {None}
    assert (opened.file.url, opened.file.sha256) == (url, None)
    assert opened.name == "my-20model"
    packed = read(pack(model, tmp_path / "out"))
    assert opened.with_hashes([s.hash for s in packed.segments]).segments == packed.segments
    assert opened.demands == packed.demands
    assert opened.tokenizer is not None
    assert packed.tokenizer is not None
    assert opened.tokenizer.url is None
    assert opened.tokenizer.sha256 == packed.tokenizer.sha256
    assert hashlib.sha256(tokenizer_text(header.metadata).encode()).hexdigest() == (
        opened.tokenizer.sha256
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m-instruct"),
        ("Llama-3.2-1B-IQ4_XS.gguf", "llama-3.2-1b"),
        ("model.BF16.gguf", "model"),
        ("model-f32.gguf", "model"),
        ("Qwen-7B.gguf", "qwen-7b"),
        ("Q4_0.gguf", "q4_0"),
        ("..gguf", "model"),
        ("Big-Q8_0-00001-of-00003.gguf", "big"),
    ],
)
def test_names(model: Path, name: str, expected: str) -> None:
    data = model.read_bytes()
    assert manifest_from_header(parse(data), name, len(data)).name == expected


def cut_short(data: bytes) -> bytes:
    return data[:-1]


def header_only(data: bytes) -> bytes:
    return data[: parse(data).header_nbytes - 3]


def of_another_kind(data: bytes) -> bytes:
    at = data.index(b"llama", data.index(b"general.architecture"))
    return data[:at] + b"mamba" + data[at + 5 :]


def no_gguf(data: bytes) -> bytes:
    return b"PK" + data[2:]


@pytest.mark.parametrize(
    ("damage", "error", "says"),
    [
        (cut_short, FormatError, "token_embd|output|blk"),
        (header_only, FormatError, "byte"),
        (no_gguf, FormatError, "byte 0"),
        (of_another_kind, UnsupportedError, "got 'mamba'; need one of llama"),
    ],
)
def test_bad_files(
    model: Path, tmp_path: Path,
    damage: Callable[[bytes], bytes], error: type[EdgewiseError], says: str,
) -> None:  # fmt: skip
    model.write_bytes(damage(model.read_bytes()))
    with pytest.raises(error, match=says):
        pack(model, tmp_path / "out")
    assert not (tmp_path / "out").exists(), "something was written"


def test_parts_count_as_one_and_share_with_the_whole(tmp_path: Path) -> None:
    whole = read(make(tmp_path / "whole").manifest)
    parts = read(make(tmp_path / "parts", split=7).manifest)
    assert [file.url for file in parts.files] == [
        f"tiny-0000{index}-of-00003.gguf" for index in (1, 2, 3)
    ]
    assert (parts.name, parts.config, parts.demands) == (whole.name, whole.config, whole.demands)
    for name in whole.tensors:
        assert parts.segments_of(name).segments == whole.segments_of(name).segments
    joined = b"".join((tmp_path / "parts" / file.url).read_bytes() for file in parts.files)
    for offset, segment in zip(parts.offsets, parts.segments, strict=True):
        assert segment.hash == digest(joined[offset : offset + segment.nbytes])


@pytest.mark.parametrize("wrong", ["missing", "another", "repeated"])
def test_parts_that_do_not_belong_together(tmp_path: Path, wrong: str) -> None:
    folder = make(tmp_path / "parts", split=7).manifest.parent
    last = folder / "tiny-00003-of-00003.gguf"
    last.unlink()
    if wrong == "another":
        last.write_bytes((folder / "tiny-00002-of-00003.gguf").read_bytes())
    if wrong == "repeated":
        make(tmp_path / "whole")
        last.write_bytes((tmp_path / "whole" / "tiny.gguf").read_bytes())
    with pytest.raises(FormatError, match="tiny-00003-of-00003"):
        pack(folder / "tiny-00001-of-00003.gguf", tmp_path / "out")
    assert not (tmp_path / "out").exists(), "something was written"


def test_a_part_by_url_is_no_model(tmp_path: Path) -> None:
    folder = make(tmp_path / "parts", split=7).manifest.parent
    data = (folder / "tiny-00001-of-00003.gguf").read_bytes()
    with pytest.raises(UnsupportedError, match="one of 3 parts"):
        manifest_from_header(parse(data), "https://a.test/tiny-00001-of-00003.gguf", len(data))
