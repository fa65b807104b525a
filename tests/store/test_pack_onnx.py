"""Packed ONNX models: where the bytes are, what a page needs, and files that lead astray."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgewise.errors import FormatError, UnsupportedError
from edgewise.formats.onnx_check import tensors_of
from edgewise.formats.onnx_json import from_json
from edgewise.host.cpython import CPythonHost
from edgewise.store.manifest import Manifest
from edgewise.store.pack import pack
from edgewise.tasks.onnx import open_model
from tests.importers.onnx.oracle import Array, model, node, theirs
from tests.store.models import digest

RNG = np.random.default_rng(3)
X = RNG.normal(size=(5, 64)).astype(np.float32)


def proto() -> onnx.ModelProto:
    """Weights of several types; a table of whole numbers says a shape; a double is added."""
    nodes = [
        node("MatMul", "x w", "a"), node("Add", "a b", "c"), node("MatMul", "c half", "d"),
        node("Gather", "sizes at", "shape"), node("Reshape", "d shape", "e"),
        node("Cast", "double", "f", to=onnx.TensorProto.FLOAT), node("Add", "e f", "y"),
    ]  # fmt: skip
    sizes = np.full(2000, 5)
    sizes[7:10] = [5, 8, 10]
    held = {
        "w": RNG.normal(size=(64, 80)).astype(np.float32),
        "b": RNG.normal(size=80).astype(np.float32),
        "half": (RNG.normal(size=(80, 80)) / 9).astype(np.float32),
        "sizes": sizes, "at": np.array([7, 8, 9]),
        "double": RNG.normal(size=(2, 5, 8, 10)),
    }  # fmt: skip
    return model(nodes, {"x": X}, ["y"], held)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "My Model.onnx"
    path.parent.mkdir()
    onnx.save(proto(), path)
    return path


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """Each tensor in a file of its own."""
    path = tmp_path / "in" / "split.onnx"
    path.parent.mkdir()
    onnx.save(proto(), path, save_as_external_data=True, all_tensors_to_one_file=False,
              size_threshold=1024)  # fmt: skip
    return path


def read(path: Path) -> Manifest:
    return Manifest.from_json(path.read_text())


def run(address: str | Mapping[str, bytes], inputs: Mapping[str, Array], store: Path) -> list[Any]:
    async def answer() -> list[Any]:
        opened = await open_model(address, target="reference", host=CPythonHost(store))
        made = await opened.run(inputs)
        await opened.close()
        return [made[name] for name in opened.outputs]

    return asyncio.run(answer())


def check(found: list[Any], path: Path) -> None:
    for mine, official in zip(found, theirs(path, {"x": X}), strict=True):
        np.testing.assert_allclose(mine, official, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["plain", "split"])
def test_every_hash_and_every_tensor(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    path = request.getfixturevalue(kind)
    written = pack(path, tmp_path / "out")
    manifest = read(written)
    parts = [(written.parent / file.url).read_bytes() for file in manifest.files]
    assert [file.sha256 for file in manifest.files] == [digest(part) for part in parts]
    assert len(parts) == (1 if kind == "plain" else 5)
    whole = b"".join(parts)
    for offset, segment in zip(manifest.offsets, manifest.segments, strict=True):
        assert segment.hash == digest(whole[offset : offset + segment.nbytes])
    official = {each.name: each for each in onnx.load(path).graph.initializer}
    for key, ref in manifest.tensors.items():
        span = manifest.segments_of(key)
        assert (span.begin, span.end) == (0, ref.nbytes), "a tensor does not begin a segment"
        array = numpy_helper.to_array(official[key.split("@")[0]])
        assert whole[ref.offset : ref.offset + ref.nbytes] == array.tobytes()
    assert {key.split("@")[0] for key in manifest.tensors} == {"w", "half"}


def test_names_and_documents(plain: Path, tmp_path: Path) -> None:
    written = pack(plain, tmp_path / "out")
    manifest = read(written)
    assert written.name == "my-model.manifest.json"
    assert (manifest.architecture, manifest.file.format) == ("onnx", "onnx")
    assert manifest.demands.weight_nbytes > 4 * (64 * 80 + 80 * 80)
    assert manifest.structure is not None
    text = (tmp_path / "out" / str(manifest.structure.url)).read_text()
    assert (digest(text.encode()), len(text)) == (
        manifest.structure.sha256, manifest.structure.nbytes)  # fmt: skip
    held = {tensor.name: tensor.data is not None for tensor in tensors_of(from_json(text))}
    assert held == {"w": False, "half": False, "b": True, "sizes": True, "at": True, "double": True}


@pytest.mark.parametrize("kind", ["plain", "split"])
def test_it_runs_without_the_onnx_package(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = request.getfixturevalue(kind)
    written = pack(path, tmp_path / "out")
    expected = theirs(path, {"x": X})
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "onnx", None)
        (found,) = run(str(written), {"x": X}, tmp_path / "store")
    np.testing.assert_allclose(found, expected[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["plain", "split"])
def test_a_file_and_bytes_run_as_they_are(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    path = request.getfixturevalue(kind)
    check(run(str(path), {"x": X}, tmp_path / "store"), path)
    dropped = {each.name: each.read_bytes() for each in path.parent.iterdir()}
    check(run(dropped, {"x": X}, tmp_path / "store"), path)


def test_other_opsets_are_named_together_and_nothing_is_written(tmp_path: Path) -> None:
    nodes = [node("Foo", "x", "a"), node("Bar", "a", "b", "some.domain"), node("Relu", "b", "y")]
    onnx.save(model(nodes, {"x": X}, ["y"]), tmp_path / "odd.onnx")
    with pytest.raises(UnsupportedError, match=r"Foo(.|\n)*Bar"):
        pack(tmp_path / "odd.onnx", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def data_file(split: Path) -> Path:
    return max(split.parent.iterdir(), key=lambda path: path.stat().st_size)


def test_data_that_is_missing(split: Path, tmp_path: Path) -> None:
    data_file(split).unlink()
    with pytest.raises(FormatError, match="no file"):
        pack(split, tmp_path / "out")


def test_data_that_is_cut_short(split: Path, tmp_path: Path) -> None:
    os.truncate(data_file(split), 100)
    with pytest.raises(FormatError, match="100 bytes"):
        pack(split, tmp_path / "out")


@pytest.mark.parametrize("target", ["/etc/hostname", "../secret", "/dev/zero", "."])
def test_data_that_leads_elsewhere(split: Path, tmp_path: Path, target: str) -> None:
    (tmp_path / "secret").write_bytes(bytes(1 << 20))
    path = data_file(split)
    path.unlink()
    path.symlink_to(target)
    with pytest.raises(FormatError, match="elsewhere"):
        pack(split, tmp_path / "out")
    with pytest.raises(FormatError, match="elsewhere"):
        run(str(split), {"x": X}, tmp_path / "store")


def test_links_as_hugging_faces_cache_has_them(split: Path, tmp_path: Path) -> None:
    """The snapshot's folder links model and data to blobs in another one."""
    folder = tmp_path / "snapshot"
    folder.mkdir()
    for path in split.parent.iterdir():
        (folder / path.name).symlink_to(os.path.relpath(path, folder))
    assert len(read(pack(folder / split.name, tmp_path / "out")).files) == 5


@pytest.mark.parametrize("content", [b"", b"GGUF", bytes(9)])
def test_what_is_no_model(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(content)
    with pytest.raises(FormatError):
        pack(tmp_path / "bad.onnx", tmp_path / "out")


def test_a_structure_of_another_model_is_refused(plain: Path, tmp_path: Path) -> None:
    """Places outside of the manifest's files are found before anything is downloaded."""
    written = pack(plain, tmp_path / "out")
    manifest = read(written)
    assert manifest.structure is not None
    path = tmp_path / "out" / str(manifest.structure.url)
    changed = path.read_text().replace('[64,80],"",', '[64,80],"elsewhere.bin",')
    assert changed != path.read_text()
    path.write_text(changed)
    text = written.read_text().replace(manifest.structure.sha256, digest(changed.encode()))
    written.write_text(text)
    with pytest.raises(FormatError):
        run(str(written), {"x": X}, tmp_path / "store")


@pytest.mark.parametrize("address", ["https://a.test/x.onnx", "hf://org/name/onnx/x.onnx"])
def test_an_address_needs_a_pack(address: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="edgewise pack"):
        run(address, {"x": X}, tmp_path)
