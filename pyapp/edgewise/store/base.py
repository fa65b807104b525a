"""What a store can do, for those who fill and read one: the same in a browser and in CPython.

Object bytes do not pass through here but to export and import: in the browser they go from the
network to Cache Storage and from there to the device without entering Python. `folder.Folder` and
`host/browser/` implement it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from ..errors import EdgewiseError


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a file: its SHA-256 in lower-case hex (None: not known yet) and its bytes."""

    hash: str | None
    nbytes: int


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive segments of the file at `url`, the first at `offset`: one HTTP request."""

    url: str
    offset: int
    segments: tuple[Segment, ...]

    @property
    def nbytes(self) -> int:
        return sum(segment.nbytes for segment in self.segments)


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run brought.

    done    hashes stored, in order: a prefix of the run's segments.
    error   why it ended early; it concerns the first segment that is not in `done`.
    retry   whether the same request may do better later.
    ranged  False when the server sent the whole file instead of the range.
    etag    of the response, else when it was last modified, where the server shows one.
    """

    done: tuple[str, ...]
    error: EdgewiseError | None = None
    retry: bool = False
    ranged: bool = True
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes used and allowed; None where the machine does not say."""

    usage: int | None
    quota: int | None


class ObjectStore(Protocol):
    """Objects by hash and small texts by name. Nothing is visible before it is verified."""

    async def has(self, hashes: Sequence[str]) -> list[bool]:
        """Which objects are there. Their bytes are verified when read, not here."""
        ...

    async def list(self) -> Sequence[str]:
        """The hashes of all objects."""
        ...

    async def check(self, hash: str) -> bool:
        """Reads an object; False where there is none, or was one that its hash does not name:
        it is deleted."""
        ...

    async def remove(self, hash: str) -> bool:
        """Deletes an object; False when it was not there."""
        ...

    async def remove_all(self, hashes: Sequence[str]) -> int:
        """Deletes objects, sooner than one by one; how many were there."""
        ...

    async def read(self, hash: str) -> bytes | None:
        """An object's bytes, verified; None as `check` says. For tools: a device does not ask."""
        ...

    async def write(self, hash: str, data: bytes) -> None:
        """Stores an object. Raises HashMismatchError or QuotaError, and then stores nothing."""
        ...

    async def fetch_run(
        self, run: Run, *, on_bytes: Callable[[int], None], etag: str | None = None
    ) -> RunResult:
        """Fetches, verifies and stores the run's segments by one Range request.

        on_bytes  called with each number of bytes that arrived.
        etag      what the file had before (see `RunResult`): another one ends the run with a
                  DownloadError.

        Errors of network, hash and room are in the result. Cancelling ends the request.
        """
        ...

    async def get_text(self, name: str) -> str | None:
        """A small document (manifest, plan), verified by the digest stored with it."""
        ...

    async def put_text(self, name: str, text: str) -> None:
        """Stores or replaces a document at once or not at all. Raises QuotaError."""
        ...

    async def remove_text(self, name: str) -> bool:
        """Deletes a document; False when it was not there."""
        ...

    async def texts(self) -> Mapping[str, int]:
        """The names of all documents, and their bytes."""
        ...

    def lock(
        self, name: str, *, shared: bool = False, wait: bool = True
    ) -> AbstractAsyncContextManager[bool]:
        """Holds a lock among all who use the store, in other tasks, processes and tabs too.

        shared  with others that hold it shared; else alone.
        wait    until it is free; False: taken at once or not at all.

        Gives whether it is held. What dies releases its locks. Cancelling ends the wait.
        """
        ...

    def tell(self, name: str, text: str) -> None:
        """Says something to who hears `name` now, in other tabs and processes too."""
        ...

    def hear(self, name: str, on_text: Callable[[str], None]) -> AbstractAsyncContextManager[None]:
        """Calls `on_text` with what is told meanwhile; of texts in quick succession maybe only with
        the last."""
        ...

    async def estimate(self) -> Estimate:
        """How much room there is."""
        ...

    async def persist(self) -> bool:
        """Asks that the store survive pressure on the disk; whether it will."""
        ...
