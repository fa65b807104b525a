"""The browser's store: Cache Storage through `shims/store.js`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Container, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import compress, groupby
from typing import Any

import js
from pyodide.ffi import create_proxy, jsnull, to_js

from ...errors import from_dict
from ...store.base import Estimate, Run, RunResult
from .bridge import answer, plain


class BrowserStore:
    """Cache Storage through shims/store.js: `store.base.ObjectStore`."""

    def __init__(self, shims: Any) -> None:
        self._store, self._prefetch, self._locks = shims.store, shims.prefetch, shims.locks

    async def has(self, hashes: Sequence[str]) -> list[bool]:
        """Which objects are there."""
        return list(await answer(self._store.has(to_js(list(hashes)))))

    async def list(self) -> Sequence[str]:
        """The hashes of all objects."""
        return tuple(await answer(self._store.list()))

    async def remove(self, hash: str) -> bool:
        """Deletes an object; False when it was not there."""
        return bool(await answer(self._store.remove(hash)))

    async def remove_all(self, hashes: Sequence[str]) -> int:
        """Deletes objects; how many were there."""
        return sum(await answer(self._store.removeAll(to_js(list(hashes)))))

    async def check(self, hash: str) -> bool:
        """Whether an object is there and right; a wrong one is deleted."""
        return bool(await answer(self._store.check(hash)))

    async def read(self, hash: str) -> bytes | None:
        """An object's bytes, verified."""
        data = await answer(self._store.get(hash))
        return None if data is None else bytes(data.to_bytes())

    async def write(self, hash: str, data: bytes) -> None:
        """Stores an object. Raises HashMismatchError, QuotaError."""
        await answer(self._store.put(hash, to_js(data)))

    async def fetch_run(
        self, run: Run, *, on_bytes: Callable[[int], None], etag: str | None = None
    ) -> RunResult:
        """Fetches what the worker's prefetch does not bring. Errors are in the result."""
        stop = js.AbortController.new()
        arrived = create_proxy(on_bytes)
        options = plain({"signal": stop.signal, "onBytes": arrived, "etag": etag or jsnull})
        try:
            await answer(self._prefetch.wait(run.url, run.offset, run.nbytes, arrived, stop.signal))
            result = RunResult(())
            stored = await self.has(_hashes(run))
            for part, there in _parts(run, set(compress(_hashes(run), stored))):
                got = RunResult(_hashes(part)) if there else await self._fetch(part, options)
                result = replace(got, done=result.done + got.done)
                if result.error is not None:
                    break
            return result
        finally:
            stop.abort()
            arrived.destroy()

    async def _fetch(self, run: Run, options: Any) -> RunResult:
        segments = to_js([[s.hash or jsnull, s.nbytes] for s in run.segments])
        return _run_result(
            await answer(self._store.fetchRun(run.url, run.offset, segments, options))
        )

    async def get_text(self, name: str) -> str | None:
        """A small document, verified."""
        text = await answer(self._store.getText(name))
        return None if text is None else str(text)

    async def put_text(self, name: str, text: str) -> None:
        """Stores or replaces a document. Raises QuotaError."""
        await answer(self._store.putText(name, text))

    async def remove_text(self, name: str) -> bool:
        """Deletes a document; False when it was not there."""
        return bool(await answer(self._store.removeText(name)))

    async def texts(self) -> Mapping[str, int]:
        """The names of all documents, and their bytes."""
        return dict((await answer(self._store.texts())).to_py())

    @asynccontextmanager
    async def lock(
        self, name: str, *, shared: bool = False, wait: bool = True
    ) -> AsyncIterator[bool]:
        """Holds a lock among all tabs and workers of the origin; gives whether it is held."""
        stop = js.AbortController.new()
        try:
            lock = await answer(self._locks.hold(name, shared, wait, stop.signal))
            try:
                yield bool(lock.held)
            finally:
                stop.abort()
                await lock.over
        finally:
            stop.abort()  # also when the wait was cancelled

    async def estimate(self) -> Estimate:
        """How much room there is."""
        found = await answer(self._store.estimate())
        return Estimate(_int_or_none(found.usage), _int_or_none(found.quota))

    async def persist(self) -> bool:
        """Whether the browser keeps the store under pressure."""
        return bool(await answer(self._store.persist()))


def _parts(run: Run, stored: Container[str | None]) -> Iterator[tuple[Run, bool]]:
    """The run cut where stored and missing segments meet, and which of both each part is."""
    offset = run.offset
    for there, group in groupby(run.segments, lambda segment: segment.hash in stored):
        part = Run(run.url, offset, tuple(group))
        yield part, there
        offset += part.nbytes


def _hashes(run: Run) -> tuple[str, ...]:
    return tuple(segment.hash for segment in run.segments if segment.hash)


def _run_result(result: Any) -> RunResult:
    data = json.loads(js.JSON.stringify(result))
    error = data.get("error")
    return RunResult(tuple(data["done"]), from_dict(error) if error else None, data["retry"],
                     data["ranged"], data["etag"])  # fmt: skip


def _int_or_none(value: Any) -> int | None:
    return None if value is None or value is jsnull else int(value)
