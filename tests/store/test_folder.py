"""The folder against a dict: what is visible is whole and right, whatever went wrong before."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from edgewise.errors import HashMismatchError, QuotaError, StoreError
from edgewise.store.folder import Folder
from tests.store.models import digest

T = TypeVar("T")
DATA = st.binary(max_size=6)
NAME = st.sampled_from(["plan", "https://h/m.json?x=1/../..", "n" * 300, ".."])


def now(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError(f"{coroutine=} waits")


class Crash(BaseException):
    """The process is gone: no handler of the store runs."""


def crash(*_: object) -> None:
    raise Crash


def files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


class FolderMachine(RuleBasedStateMachine):
    """put, get, remove, texts, corruption, crashes and restarts against two dicts."""

    stored: Bundle[str] = Bundle("stored")

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.folder = Folder(self.root)
        self.objects: dict[str, bytes] = {}
        self.texts: dict[str, str] = {}
        self.corrupt: set[str] = set()

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    @rule(target=stored, data=DATA)
    def put(self, data: bytes) -> str:
        self.folder.put(digest(data), data)
        self.objects[digest(data)] = data
        self.corrupt.discard(digest(data))
        return digest(data)

    @rule(data=DATA, other=DATA)
    def put_under_a_wrong_hash(self, data: bytes, other: bytes) -> None:
        if data != other:
            with pytest.raises(HashMismatchError, match=digest(other)):
                self.folder.put(digest(other), data)

    @rule(data=DATA)
    def crash_before_the_rename(self, data: bytes) -> None:
        with mock.patch.object(os, "replace", crash), pytest.raises(Crash):
            self.folder.put(digest(data), data)

    @rule(name=NAME, text=st.text(max_size=4))
    def crash_in_a_text(self, name: str, text: str) -> None:
        with mock.patch.object(os, "fsync", crash), pytest.raises(Crash):
            now(self.folder.put_text(name, text))

    @rule(data=DATA)
    def full_disk(self, data: bytes) -> None:
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        before = files(self.root)
        with mock.patch.object(os, "replace", side_effect=full), pytest.raises(QuotaError):
            self.folder.put(digest(data), data)
        assert files(self.root) == before, "a failed write left something behind"

    @rule(hash=stored, at=st.integers(0, 5), how=st.sampled_from(["flip", "cut", "grow"]))
    def damage(self, hash: str, at: int, how: str) -> None:
        path = self.root / "objects" / hash[:2] / hash[2:]
        if not path.exists() or hash in self.corrupt:
            return
        data = bytearray(path.read_bytes())
        if how == "grow":
            data += b"!"
        elif at >= len(data):
            return
        elif how == "cut":
            del data[at:]
        else:
            data[at] ^= 1
        path.write_bytes(data)
        self.corrupt.add(hash)

    @rule(hash=stored)
    def get(self, hash: str) -> None:
        if hash in self.corrupt:
            self.corrupt.discard(hash)
            self.objects.pop(hash)
        assert self.folder.get(hash) == self.objects.get(hash)

    @rule(hash=consumes(stored))
    def remove(self, hash: str) -> None:
        self.corrupt.discard(hash)
        was_there = self.objects.pop(hash, None) is not None
        assert now(self.folder.remove(hash)) == was_there

    @rule(name=NAME, text=st.text(max_size=4))
    def put_text(self, name: str, text: str) -> None:
        now(self.folder.put_text(name, text))
        self.texts[name] = text

    @rule(name=NAME)
    def get_text(self, name: str) -> None:
        assert now(self.folder.get_text(name)) == self.texts.get(name)

    @rule(name=NAME)
    def remove_text(self, name: str) -> None:
        was_there = self.texts.pop(name, None) is not None
        assert now(self.folder.remove_text(name)) == was_there

    @rule()
    def restart(self) -> None:
        self.folder = Folder(self.root)

    @invariant()
    def sees_what_is_there(self) -> None:
        assert now(self.folder.list()) == sorted(self.objects)
        asked = [*self.objects, digest(b"never put anywhere")]
        assert now(self.folder.has(asked)) == [*(True for _ in self.objects), False]


TestFolder = FolderMachine.TestCase
TestFolder.settings = settings(max_examples=25, stateful_step_count=40)


def test_a_damaged_text_is_gone(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    now(folder.put_text("plan", "one\ntwo"))
    (path,) = files(tmp_path / "texts")
    path.write_bytes(path.read_bytes().replace(b"two", b"tow"))
    assert now(folder.get_text("plan")) is None
    assert files(tmp_path / "texts") == []


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    shutil.rmtree(tmp_path / "tmp")
    with pytest.raises(StoreError, match="No such file") as refused:
        folder.put(digest(b"x"), b"x")
    assert type(refused.value) is StoreError


def test_estimate_and_persist(tmp_path: Path) -> None:
    room = now(Folder(tmp_path).estimate())
    assert room.usage is not None
    assert room.quota is not None
    assert 0 < room.usage < room.quota
    assert now(Folder(tmp_path).persist())
