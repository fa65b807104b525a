"""A model as one file: out, in, and every way in which the file may be wrong."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from edgewise.errors import EdgewiseError, FormatError, QuotaError, StoreError
from edgewise.store import library
from edgewise.store.archive import export_file, import_file
from edgewise.store.folder import Folder
from edgewise.store.records import find, pin
from tests.store.test_library import HOST, Small, add, letters, piece
from tests.store.waiting import run


@run
async def test_out_and_in(tmp_path: Path) -> None:
    old, new, path = Folder(tmp_path / "old"), Small(tmp_path / "new"), tmp_path / "one.tar"
    url = await add(old, "one", "abc")
    await add(old, "two", "cd")
    await old.put_text("plan 1f one", "of this machine")
    await export_file(old, "one", path)
    with tarfile.open(path) as tar:
        assert tar.getnames()[1:] == [*(f"objects/{piece(x)}" for x in "abc"), "documents/0"]
        member = tar.extractfile(f"objects/{piece('b')}")
        assert member is not None
        assert member.read() == b"b" * 100
    record = await import_file(new, path)
    assert (record.url, record.name) == (url, "one")
    assert await letters(new) == "abc"
    assert await new.get_text(f"manifest {url}") == "{}"
    (held,) = await library.models(new)
    assert (held.missing, held.running, held.record.objects) == (
        0, False, (await find(old, url)).objects,
    )  # fmt: skip
    assert held.record.used_s > 0
    await pin(new, url)
    await import_file(new, path)
    assert (await find(new, url)).pinned, "importing it again changes nothing"
    assert list(tmp_path.glob("*.part")) == []


@run
async def test_a_file_cut_or_changed_anywhere_brings_nothing(tmp_path: Path) -> None:
    old, path = Folder(tmp_path / "old"), tmp_path / "one.tar"
    await add(old, "one", "ab")
    await export_file(old, "one", path)
    whole = path.read_bytes()
    for number, at in enumerate(range(0, len(whole) - 1024, 512)):
        new = Small(tmp_path / f"cut{number}")
        path.write_bytes(whole[:at])
        with pytest.raises(FormatError):
            await import_file(new, path)
        assert await letters(new) == ""
        assert await new.texts() == {}
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(EdgewiseError):
            await import_file(new, path)
        assert await letters(new) == ""
        assert await new.texts() == {}
    path.write_bytes(whole)
    new = Small(tmp_path / "new")
    new.quota = 50
    with pytest.raises(QuotaError, match="need 200 more bytes"):
        await import_file(new, path)
    assert await new.texts() == {}
    new.quota = 10**9
    await import_file(new, path)
    assert await letters(new) == "ab"


@run
async def test_a_file_that_fails_leaves_a_model_that_was_there(tmp_path: Path) -> None:
    store, path = Small(tmp_path / "old"), tmp_path / "one.tar"
    await add(store, "one", "ab")
    await export_file(store, "one", path)
    path.write_bytes(path.read_bytes().replace(b"b" * 100, b"c" * 100))
    with pytest.raises(StoreError):
        await import_file(store, path)
    assert await letters(store) == "ab"
    assert (await find(store, "one")).url == f"{HOST}/one.json"


@run
async def test_a_file_names_no_other_models_documents(tmp_path: Path) -> None:
    store, path = Small(tmp_path / "old"), tmp_path / "one.tar"
    url = await add(store, "one", "ab")
    await export_file(store, "one", path)
    whole = path.read_bytes()
    for other in (f"manifest {url}".replace("one", "own"), f"golden11 {url}"):
        path.write_bytes(whole.replace(f"manifest {url}".encode(), other.encode()))
        with pytest.raises(FormatError, match="of this model"):
            await import_file(Small(tmp_path / "new"), path)


@run
async def test_only_a_whole_model_is_exported(tmp_path: Path) -> None:
    store, path = Small(tmp_path / "old"), tmp_path / "one.tar"
    await add(store, "one", "ab")
    await store.remove(piece("b"))
    path.write_bytes(b"before")
    with pytest.raises(StoreError, match="not whole"):
        await export_file(store, "one", path)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.glob("*.part")) == []
