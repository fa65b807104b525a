"""The store of CPython: a folder. What `shims/store.js` is over Cache Storage, over files.

    objects/ab/cdef…   the object whose SHA-256 is abcdef…
    texts/…            a named document: a digest in the first line, of the name in the second (as
                       JSON) and the text
    locks/…            files that are locked, never read
    told/…             what was told last of a name: see `told`
    tmp/               bytes on their way; what lies there after a crash is nothing

Bytes are written to tmp/, synced, and renamed into place, so an object is whole or not there.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path
from typing import TypeAlias

from ..errors import HashMismatchError, QuotaError, StoreError
from .base import Estimate, Run, RunResult
from .flock import flock
from .http import RangeRequest
from .told import hear, tell

STALL_S = 30.0  # no byte for this long: the connection is dead

Bytes: TypeAlias = bytes | bytearray | memoryview


class Folder:
    """An `ObjectStore` under `root`, which is made; several processes may share it."""

    def __init__(self, root: Path, *, stall_s: float = STALL_S) -> None:
        self.root, self.stall_s = root, stall_s
        for name in ("objects", "texts", "locks", "told", "tmp"):
            (root / name).mkdir(parents=True, exist_ok=True)

    async def has(self, hashes: Sequence[str]) -> list[bool]:
        return [self._object(hash).is_file() for hash in hashes]

    async def list(self) -> Sequence[str]:
        return sorted(p.parent.name + p.name for p in (self.root / "objects").glob("??/*"))

    def get(self, hash: str) -> bytes | None:
        """The object, or None where there is none; a corrupt one is deleted, and None too."""
        path = self._object(hash)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        if hashlib.sha256(data).hexdigest() == hash:
            return data
        path.unlink(missing_ok=True)
        return None

    def put(self, hash: str, data: Bytes) -> None:
        """Stores an object. Raises HashMismatchError or QuotaError, and then stores nothing."""
        got = hashlib.sha256(data).hexdigest()
        if got != hash:
            raise _mismatch(hash, got, "Folder.put")
        self._commit(self._object(hash), data)

    async def remove(self, hash: str) -> bool:
        return _unlink(self._object(hash))

    async def remove_all(self, hashes: Sequence[str]) -> int:
        return sum([await self.remove(hash) for hash in hashes])

    async def check(self, hash: str) -> bool:
        return await self.read(hash) is not None

    async def read(self, hash: str) -> bytes | None:
        return await asyncio.to_thread(self.get, hash)

    async def write(self, hash: str, data: bytes) -> None:
        await asyncio.to_thread(self.put, hash, data)

    async def get_text(self, name: str) -> str | None:
        path = self._text(name)
        try:
            digest, _, data = path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        head, _, text = data.partition(b"\n")
        if hashlib.sha256(data).hexdigest().encode() == digest and head == _head(name):
            return text.decode()
        path.unlink(missing_ok=True)
        return None

    async def put_text(self, name: str, text: str) -> None:
        data = _head(name) + b"\n" + text.encode()
        self._commit(self._text(name), hashlib.sha256(data).hexdigest().encode() + b"\n" + data)

    async def remove_text(self, name: str) -> bool:
        return _unlink(self._text(name))

    async def texts(self) -> Mapping[str, int]:
        return dict(sorted(filter(None, map(_named, (self.root / "texts").iterdir()))))

    def lock(
        self, name: str, *, shared: bool = False, wait: bool = True
    ) -> AbstractAsyncContextManager[bool]:
        return flock(self._path("locks", name), shared=shared, wait=wait)

    def tell(self, name: str, text: str) -> None:
        tell(self._path("told", name), text)

    def hear(self, name: str, on_text: Callable[[str], None]) -> AbstractAsyncContextManager[None]:
        return hear(self._path("told", name), on_text)

    async def estimate(self) -> Estimate:
        disk = shutil.disk_usage(self.root)
        return Estimate(usage=disk.total - disk.free, quota=disk.total)

    async def persist(self) -> bool:
        return True  # nobody clears a folder behind our back

    async def fetch_run(
        self, run: Run, *, on_bytes: Callable[[int], None], etag: str | None = None
    ) -> RunResult:
        done: list[str] = []
        request = RangeRequest(run, etag, self.stall_s)
        error: StoreError | None = None
        try:
            async with aclosing(request.pieces(on_bytes)) as pieces:
                async for data in pieces:
                    done.append(await asyncio.to_thread(self._take, run, len(done), data))
        except StoreError as caught:
            error = caught
        return RunResult(tuple(done), error, request.retry, request.ranged, request.etag)

    def _take(self, run: Run, index: int, data: memoryview) -> str:
        """Verifies and stores a run's segment; its hash."""
        got, need = hashlib.sha256(data).hexdigest(), run.segments[index].hash
        if need is not None and got != need:
            begin = run.offset + sum(segment.nbytes for segment in run.segments[:index])
            raise _mismatch(need, got, f"{run.url} bytes {begin}-{begin + len(data) - 1}")
        self._commit(self._object(got), data)
        return got

    def _object(self, hash: str) -> Path:
        assert re.fullmatch("[0-9a-f]{64}", hash), f"{hash=} is no SHA-256"
        return self.root / "objects" / hash[:2] / hash[2:]

    def _text(self, name: str) -> Path:
        return self._path("texts", name)

    def _path(self, kind: str, name: str) -> Path:
        # names may be URLs, longer than a file name may be
        return self.root / kind / hashlib.sha256(name.encode()).hexdigest()

    def _commit(self, path: Path, data: Bytes) -> None:
        """Makes `data` visible at `path` at once, or leaves everything as it was."""
        temp = None
        try:
            handle, temp = tempfile.mkstemp(dir=self.root / "tmp")
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            path.parent.mkdir(exist_ok=True)
            os.replace(temp, path)
            _sync_folder(path.parent)
        except OSError as error:
            if temp is not None:
                Path(temp).unlink(missing_ok=True)
            raise _failed(error, path, len(data)) from error


def _head(name: str) -> bytes:
    return json.dumps(name).encode()


def _named(path: Path) -> tuple[str, int] | None:
    """The name of the document in a file, and its bytes; None where it is gone or damaged."""
    try:
        with path.open("rb") as file:
            file.readline()
            name = json.loads(file.readline())
            nbytes = os.fstat(file.fileno()).st_size - file.tell()
    except (FileNotFoundError, ValueError):
        return None
    return (name, nbytes) if isinstance(name, str) else None


def _failed(error: OSError, path: Path, nbytes: int) -> StoreError:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return StoreError("the store's folder cannot be written", got=str(error), where=str(path))
    return QuotaError(
        "the disk has no room for another object",
        got=f"{shutil.disk_usage(path.parent).free} bytes free",
        need=f"{nbytes} bytes",
        where=str(path),
        fix="remove other models or free space on the disk",
    )


def _sync_folder(path: Path) -> None:
    """A rename is on the disk when its folder is. Only POSIX can open one."""
    if os.name == "posix":
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _unlink(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _mismatch(need: str, got: str, where: str) -> HashMismatchError:
    return HashMismatchError(
        "bytes differ from the hash that names them",
        got=got,
        need=need,
        where=where,
        fix="fetch them again; if it stays so, the file there is another one",
    )
