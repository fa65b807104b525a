"""The browser's store: Cache Storage through `shims/store.js`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import js
from pyodide.ffi import create_proxy, jsnull, to_js

from ...errors import from_dict
from ...store.base import Estimate, Run, RunResult
from .bridge import answer, plain


class BrowserStore:
    """Cache Storage through shims/store.js: `store.base.ObjectStore`."""

    def __init__(self, shims: Any) -> None:
        self._store, self._locks, self._told = shims.store, shims.locks, shims.told

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
        """Fetches a run by one request. Errors are in the result."""
        stop = js.AbortController.new()
        arrived = create_proxy(on_bytes)
        options = plain({"signal": stop.signal, "onBytes": arrived, "etag": etag or jsnull})
        segments = to_js([[s.hash or jsnull, s.nbytes] for s in run.segments])
        try:
            return _run_result(
                await answer(self._store.fetchRun(run.url, run.offset, segments, options))
            )
        finally:
            stop.abort()
            arrived.destroy()

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

    def tell(self, name: str, text: str) -> None:
        """Says something to who hears `name` now, in other tabs and workers of the origin."""
        self._told.tell(name, text)

    @asynccontextmanager
    async def hear(self, name: str, on_text: Callable[[str], None]) -> AsyncIterator[None]:
        """Calls `on_text` with what is told meanwhile."""
        proxy = create_proxy(on_text)
        end = self._told.hear(name, proxy)
        try:
            yield
        finally:
            end()
            proxy.destroy()

    async def estimate(self) -> Estimate:
        """How much room there is."""
        found = await answer(self._store.estimate())
        return Estimate(_int_or_none(found.usage), _int_or_none(found.quota))

    async def persist(self) -> bool:
        """Whether the browser keeps the store under pressure."""
        return bool(await answer(self._store.persist()))


def _run_result(result: Any) -> RunResult:
    data = json.loads(js.JSON.stringify(result))
    error = data.get("error")
    return RunResult(tuple(data["done"]), from_dict(error) if error else None, data["retry"],
                     data["ranged"], data["etag"])  # fmt: skip


def _int_or_none(value: Any) -> int | None:
    return None if value is None or value is jsnull else int(value)
