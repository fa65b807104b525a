"""A download that finds less room than there should be."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from e2e.server import SiteServer
from edgewise.errors import QuotaError
from edgewise.store import library
from edgewise.store.base import Run
from edgewise.store.download import download
from edgewise.store.folder import Folder
from edgewise.store.manifest import Manifest
from edgewise.store.records import running, use
from tests.store.models import digest, manifest_of, random_bytes
from tests.store.test_download import DATA, MODEL, PATH, fetch, stored
from tests.store.test_download import server as server  # a fixture


def test_room_that_is_less_than_was_said_is_made(server: SiteServer, tmp_path: Path) -> None:
    class Full(Folder):
        """As a browser that does not say how much room there is."""

        def _take(self, run: Run, index: int, data: memoryview) -> str:
            there = sum(path.stat().st_size for path in (self.root / "objects").glob("??/*"))
            if there + len(data) > 1.5 * len(DATA):
                raise QuotaError("the disk has no room for another object", need="1 byte")
            return super()._take(run, index, data)

    store, other = Full(tmp_path), random_bytes(len(DATA), seed=1)
    old, lock = manifest_of(other, [len(other)]), running("old")
    asyncio.run(use(store, "old", old))
    store.put(digest(other), other)

    async def while_it_runs() -> Manifest:
        async with store.lock(lock, shared=True):
            return await download(store, MODEL, f"{server.url}/tiny.manifest.json")

    with pytest.raises(QuotaError):
        asyncio.run(while_it_runs())
    assert store.get(digest(other)) == other
    fetch(store, server.url)
    assert all(stored(store))
    assert asyncio.run(library.models(store)) == []
    assert server.sent(PATH) < 2.5 * len(DATA)
