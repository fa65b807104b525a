"""What a store knows of a file by its SHA-256, out of whatever manifests it keeps."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from edgewise.store import learn
from edgewise.store.base import Segment
from edgewise.store.folder import Folder
from edgewise.store.known import PREFIX, Known, find
from edgewise.store.manifest import FileRef, Manifest, TensorRef
from tests.store.models import digest, manifest_of, random_bytes, unknown

SIZES = [64, 300, 20, 500]  # a header, a tensor, padding, a tensor
DATA = random_bytes(sum(SIZES))
SHA256 = digest(DATA)
PIECES = [DATA[:64], DATA[64:364], DATA[364:384], DATA[384:]]
TENSORS = {"a": TensorRef("I8", (300,), 64, 300), "b": TensorRef("I8", (500,), 384, 500)}
SEGMENTS = tuple(Segment(digest(piece), len(piece)) for piece in PIECES)
URL = "https://a.test/m/tiny.manifest.json"


@pytest.fixture
def model() -> Manifest:
    plain = manifest_of(DATA, SIZES)
    return replace(plain, segments=SEGMENTS, tensors=TENSORS)


@pytest.fixture
def store(tmp_path: Path) -> Folder:
    made = Folder(tmp_path)
    for index in (1, 3):
        made.put(SEGMENTS[index].hash or "", PIECES[index])
    return made


def keep(store: Folder, manifest: Manifest, url: str = URL) -> None:
    asyncio.run(store.put_text(f"{PREFIX}{url}", manifest.to_json()))


def found(store: Folder, sha256: str = SHA256) -> Known | None:
    return asyncio.run(find(store, sha256))


KNOWN = Known(SEGMENTS, frozenset({1, 3}), 64)


def test_by_a_manifest(store: Folder, model: Manifest) -> None:
    assert found(store) is None
    keep(store, model)
    assert found(store) == KNOWN
    assert found(store, digest(b"another")) is None


def test_one_of_several_files(store: Folder, model: Manifest) -> None:
    before = FileRef("first.data", "gguf", digest(b"x"), 1000)
    shifted = {
        name: replace(ref, offset=ref.offset + before.nbytes) for name, ref in TENSORS.items()
    }
    keep(store, replace(model, file=before, more_files=(model.file,), tensors=shifted,
                        segments=(Segment(digest(b"x"), 1000), *SEGMENTS)))  # fmt: skip
    assert found(store) == KNOWN
    assert found(store, digest(b"x")) is None, "a file without tensors"


def test_by_what_was_learnt(store: Folder, model: Manifest) -> None:
    opened = unknown(model)
    keep(store, replace(opened, file=replace(model.file, url="https://a.test/tiny.gguf")),
         "https://a.test/tiny.gguf")  # fmt: skip
    assert found(store) is None
    asyncio.run(learn.record(store, "https://a.test/tiny.gguf", model, None))
    assert found(store) == KNOWN


def test_nothing_that_is_not_all_here(store: Folder, model: Manifest) -> None:
    keep(store, model)
    asyncio.run(store.remove(SEGMENTS[1].hash or ""))
    assert found(store) is None


def test_no_file_that_begins_with_a_tensor(store: Folder, model: Manifest) -> None:
    """Nothing would be left to ask its server for."""
    keep(store, replace(model, tensors={**TENSORS, "a": TensorRef("I8", (364,), 0, 364)}))
    assert found(store) is None


def test_documents_that_are_no_manifest(store: Folder, model: Manifest) -> None:
    asyncio.run(store.put_text(f"{PREFIX}https://0.test/", f"{SHA256} and no JSON"))
    keep(store, model)
    assert found(store) == KNOWN
