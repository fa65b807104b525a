"""Two tabs of one browser that want the same model: one download on the host's log, progress in
both, and when the tab that fetches is closed the other one goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page

from e2e.browsers import engines
from e2e.python_page import BOOT_TIMEOUT_MS, PythonPage, lay_out
from e2e.server import SiteServer
from tests.store.models import manifest_of, random_bytes

SIZES = [100_000] * 100
DATA = random_bytes(sum(SIZES))
MODEL = manifest_of(DATA, SIZES)
PATH = "/model.gguf"
HELD_AT = MODEL.offsets[60]  # where a segment begins: who asks again gets no byte twice
# reports every chunk, as a clock of seconds would not
DOWNLOAD = """
    import asyncio
    from itertools import count
    from edgewise.store.download import download
    from edgewise.store.manifest import Manifest

    state = host.__dict__.setdefault("seen", {"nbytes": 0, "task": None})

    async def fetch():
        def on_progress(progress):
            state["nbytes"] = progress.done_nbytes
        await download(host.store, Manifest.from_json(manifest), base, parallel=parallel,
                       on_progress=on_progress, clock=count().__next__)

    state["task"] = asyncio.ensure_future(fetch())
"""
UNTIL = """
    import asyncio
    while host.seen["nbytes"] < nbytes and not host.seen["task"].done():
        await asyncio.sleep(0.02)
    return host.seen["task"].done()
"""
STORED = """
    import asyncio
    while (await host.store.has(hashes)).count(True) < count:
        await asyncio.sleep(0.02)
"""
END = "await host.seen['task']; return sorted(await host.store.list())"


class Tab:
    """A page with Python, and its download."""

    def __init__(self, page: Page, folder: Path, server: SiteServer) -> None:
        self.page, self._server = page, server
        page.goto(f"{server.url}/pages/python.html")
        page.wait_for_selector("html[data-ready]", state="attached", timeout=BOOT_TIMEOUT_MS)
        self._python = PythonPage(page, folder)

    def _run(self, code: str, **names: Any) -> Any:
        return self._python.run(code, **names)

    def download(self, parallel: int = 1) -> None:
        """Begins."""
        base = f"{self._server.url}/tiny.manifest.json"
        self._run(DOWNLOAD, manifest=MODEL.to_json(), base=base, parallel=parallel)

    def until(self, nbytes: int) -> None:
        """Waits until it shows at least so much."""
        assert self._run(UNTIL, nbytes=nbytes) is False, "it ended before"

    def until_stored(self, count: int) -> None:
        """Waits until so many objects of the model are stored."""
        self._run(STORED, count=count, hashes=[segment.hash for segment in MODEL.segments])

    def end(self) -> bool:
        """Waits for it; whether all is stored."""
        there = set(self._run(END))
        return there >= {segment.hash for segment in MODEL.segments}


@pytest.fixture
def server(tmp_path: Path, site_server: Callable[[Path], SiteServer]) -> SiteServer:
    lay_out(tmp_path)
    (tmp_path / "model.gguf").write_bytes(DATA)
    return site_server(tmp_path)


@engines("chromium", "firefox")
def test_one_download_for_two_tabs(
    new_context: Callable[[], BrowserContext], server: SiteServer, tmp_path: Path
) -> None:
    context = new_context()
    tabs = [Tab(context.new_page(), tmp_path, server) for _ in range(2)]

    # Both at once: exactly one download, and the one that waits sees it coming.
    server.hold(PATH, HELD_AT)
    for tab in tabs:
        tab.download(parallel=4)
    for tab in tabs:
        tab.until(HELD_AT // 2)
    server.release()
    assert [tab.end() for tab in tabs] == [True, True]
    assert server.sent(PATH) == len(DATA)

    # The one that fetches is closed in the middle.
    tabs[1].page.evaluate("caches.delete('edgewise-objects-1')")
    server.log.clear()
    server.hold(PATH, HELD_AT)
    tabs[0].download()
    tabs[0].until_stored(60)
    tabs[1].download()
    tabs[0].page.close()
    server.abandon()
    assert tabs[1].end()
    assert server.sent(PATH) <= len(DATA) * 1.01
