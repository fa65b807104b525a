"""Several who want one file over one folder: one fetches, all see how far it is, and when that one
goes the next goes on. Bytes are counted on the host."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from e2e.server import SiteServer
from edgewise.store.download import download
from edgewise.store.folder import Folder
from edgewise.store.manifest import Manifest
from edgewise.store.progress import Progress
from tests.store.models import manifest_of, random_bytes, unknown

SIZES = [30_000] * 20
DATA = random_bytes(sum(SIZES))
MODEL = manifest_of(DATA, SIZES)
PATH = "/model.gguf"
HELD_AT = MODEL.offsets[12] + 1000
SOON_S = 20
OTHER = """
import asyncio, sys
from pathlib import Path
from edgewise.store.download import download
from edgewise.store.folder import Folder
from edgewise.store.manifest import Manifest
folder, url = Folder(Path(sys.argv[1])), sys.argv[2]
manifest = Manifest.from_json(Path(sys.argv[3]).read_text())
asyncio.run(download(folder, manifest, url, parallel=1))
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SiteServer]:
    root = tmp_path / "site"
    root.mkdir()
    (root / "model.gguf").write_bytes(DATA)
    (root / "copy.gguf").write_bytes(DATA)
    with SiteServer(root) as running:
        yield running


class Wanting:
    """A download of its own, as another process would have it; it reports every chunk."""

    def __init__(self, root: Path, url: str, model: Manifest = MODEL) -> None:
        self.seen: list[Progress] = []
        work = download(Folder(root), model, f"{url}/tiny.json", parallel=1,
                        on_progress=self.seen.append, clock=count().__next__)  # fmt: skip
        self.task = asyncio.ensure_future(work)

    async def until(self, nbytes: int) -> None:
        """Waits until it shows at least so much."""
        async with asyncio.timeout(SOON_S):
            while not self.seen or self.seen[-1].done_nbytes < nbytes:
                await asyncio.sleep(0.01)


def complete(root: Path) -> bool:
    folder = Folder(root)
    return all(folder.get(segment.hash or "") is not None for segment in MODEL.segments)


def test_two_at_once_fetch_it_once(server: SiteServer, tmp_path: Path) -> None:
    async def main() -> None:
        server.hold(PATH, HELD_AT)
        first = Wanting(tmp_path, server.url)
        await first.until(HELD_AT)
        other_name = replace(MODEL, file=replace(MODEL.file, url="copy.gguf"))
        others = [Wanting(tmp_path, server.url), Wanting(tmp_path, server.url, other_name)]
        server.release()
        await asyncio.gather(first.task, *(other.task for other in others))
        for other in others:
            assert other.seen[-1].done_nbytes == len(DATA)

    asyncio.run(main())
    assert complete(tmp_path)
    assert server.sent(PATH) == len(DATA)
    assert server.sent("/copy.gguf") == 0


def test_who_waits_sees_how_far_it_is(server: SiteServer, tmp_path: Path) -> None:
    async def main() -> None:
        server.hold(PATH, MODEL.offsets[2])
        first, second = Wanting(tmp_path, server.url), Wanting(tmp_path, server.url)
        await first.until(MODEL.offsets[2])
        server.release()
        server.hold(PATH, HELD_AT)
        await second.until(MODEL.offsets[3])
        assert not second.task.done()
        server.release()
        await asyncio.gather(first.task, second.task)

    asyncio.run(main())
    assert server.sent(PATH) == len(DATA)


@pytest.mark.parametrize("learning", [False, True])
def test_when_the_first_goes_the_second_goes_on(
    server: SiteServer, tmp_path: Path, learning: bool
) -> None:
    model = unknown(MODEL) if learning else MODEL

    async def main() -> None:
        server.hold(PATH, HELD_AT)
        first = Wanting(tmp_path, server.url, model)
        await first.until(HELD_AT)
        second = Wanting(tmp_path, server.url, model)
        first.task.cancel()
        await asyncio.gather(first.task, return_exceptions=True)
        server.release()
        assert await second.task == MODEL

    asyncio.run(main())
    assert complete(tmp_path)
    if not learning:  # else what one request brought is known when it ends
        assert server.sent(PATH) <= len(DATA) + SIZES[0]


def test_another_process_is_killed_in_the_middle(server: SiteServer, tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(MODEL.to_json())
    server.hold(PATH, HELD_AT)
    command = [sys.executable, "-c", OTHER, str(tmp_path), f"{server.url}/tiny.json"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    async def main() -> None:
        held_by = Folder(tmp_path)
        with subprocess.Popen([*command, str(tmp_path / "m.json")], env=environment) as other:
            async with asyncio.timeout(SOON_S):
                while len(await held_by.list()) < 12:
                    await asyncio.sleep(0.01)
            second = Wanting(tmp_path, server.url)
            await asyncio.sleep(0)
            other.kill()
        server.release()
        await second.task

    asyncio.run(main())
    assert complete(tmp_path)
    assert server.sent(PATH) <= len(DATA) + SIZES[0]
