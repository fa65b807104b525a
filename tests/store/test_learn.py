"""What was learnt of a file belongs to its SHA-256, and takes nothing away that is known."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from edgewise.store import learn
from edgewise.store.folder import Folder
from edgewise.store.manifest import Manifest
from tests.store.models import digest, manifest_of, random_bytes, unknown

SIZES = [100, 50, 200]
MODEL = manifest_of(random_bytes(sum(SIZES)), SIZES)
HASHES = [segment.hash for segment in MODEL.segments]
URL = "https://a.test/model.gguf"


def opened(sha256: str | None) -> Manifest:
    """The file as an address gives it, of which a hub may say the SHA-256."""
    return replace(unknown(MODEL), file=replace(MODEL.file, sha256=sha256))


def recalled(store: Folder, manifest: Manifest) -> list[str | None]:
    found, _ = asyncio.run(learn.recall(store, URL, manifest))
    return [segment.hash for segment in found.segments]


@pytest.fixture
def store(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def keep(store: Folder, manifest: Manifest, *hashes: str | None) -> None:
    asyncio.run(learn.record(store, URL, manifest.with_hashes(hashes), None))


def test_learnt_and_known_are_put_together(store: Folder) -> None:
    whole = opened(digest(b"a"))
    keep(store, whole, HASHES[0], None, None)
    assert recalled(store, whole) == [HASHES[0], None, None]
    assert recalled(store, whole.with_hashes([None, HASHES[1], HASHES[2]])) == HASHES


@pytest.mark.parametrize(
    ("then", "now", "holds"),
    [("a", "a", True), ("a", "b", False), ("a", None, False), (None, "a", True),
     (None, None, True)],
)  # fmt: skip
def test_of_another_file_nothing_is_known(
    store: Folder, then: str | None, now: str | None, holds: bool
) -> None:
    """Sizes are the same; the address is, too."""
    before, after = (opened(each and digest(each.encode())) for each in (then, now))
    keep(store, before, *HASHES)
    assert recalled(store, after) == (HASHES if holds else [None] * len(SIZES))
