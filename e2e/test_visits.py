"""The real model over several visits of one browser: a download that breaks off, bytes that go bad
on the wire and in the cache, and in the end no network at all. Every visit must answer rightly.

What was fetched is counted on the host, to the byte.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from e2e.asking import ANSWER_MS, ORACLE, ask, exchange, fact, kept_offline, shown_error, token_ids
from e2e.browsers import engines
from e2e.entries import damage, stored
from e2e.server import SiteServer

MINUTES_S = 600
ASKED = ORACLE["list"]
N_TOKENS = 3


@dataclass(frozen=True)
class Segment:
    """Bytes [start, end) of the model's file."""

    hash: str
    start: int
    end: int


class Weights:
    """The model's file on the host: the segments with tensors, and what was sent of them."""

    def __init__(self, site: SiteServer) -> None:
        name = json.loads((site.root / "build.json").read_text())["models"][0]
        manifest = json.loads((site.root / name).read_text())
        starts = list(accumulate((nbytes for _, nbytes in manifest["segments"]), initial=0))
        first = min(tensor["offset"] for tensor in manifest["tensors"].values())
        self.site, self.path = site, f"/models/{manifest['file']['url']}"
        self.nbytes = manifest["file"]["nbytes"]
        self.segments = [
            Segment(hash, start, start + nbytes)
            for (hash, nbytes), start in zip(manifest["segments"], starts, strict=False)
            if start >= first
        ]

    def fetched(self) -> list[tuple[int, int]]:
        """What was asked for since the log was cleared, as [start, end), in order of place."""
        asked = [r.range or "" for r in self.site.log if r.path == self.path]
        pairs = (text.removeprefix("bytes=").split("-") for text in asked)
        return sorted((int(start), int(end) + 1) for start, end in pairs)

    def sent(self) -> int:
        """Bytes that were sent since the log was cleared."""
        return self.site.sent(self.path)


class Visits:
    """One browser's visits to the site, each in a page of its own."""

    def __init__(self, context: BrowserContext, site: SiteServer) -> None:
        self._context, self._site = context, site

    def begin(self) -> Page:
        for page in self._context.pages:
            page.close()
        self._site.log.clear()
        page = self._context.new_page()
        page.goto(f"{self._site.url}/?policy=local&tokens={N_TOKENS}")
        return page

    def with_an_answer(self) -> Page:
        page = self.begin()
        ask(page, ASKED["question"])
        exchange(page, 1, "done", timeout=ANSWER_MS)
        assert token_ids(page, 1) == ASKED["tokens"][:N_TOKENS]
        return page


@engines("chromium", "firefox")
@pytest.mark.timeout(MINUTES_S)
def test_visits(new_context: Callable[[], BrowserContext], site: SiteServer) -> None:
    weights, visits = Weights(site), Visits(new_context(), site)

    # The first visit's download breaks off at 60 %, for good.
    at = weights.nbytes * 6 // 10
    site.cut(weights.path, at, once=False)
    page = visits.begin()
    shown_error(page, "DownloadError")
    whole = {segment.hash for segment in weights.segments if segment.end <= at}
    assert stored(page) == whole
    expect(page.locator("#loading")).to_be_hidden()

    # The next one fetches the rest, with a wrong byte in the last segment: that comes twice.
    site.mend()
    rest = [segment for segment in weights.segments if segment.hash not in whole]
    last = rest[-1]
    site.flip(weights.path, last.start + 1000)
    page = visits.with_an_answer()
    assert stored(page) == {segment.hash for segment in weights.segments}
    assert weights.sent() == last.end - rest[0].start + (last.end - last.start)
    assert weights.fetched()[0][0] == rest[0].start
    assert weights.fetched()[-1] == (last.start, last.end)
    assert "read from the store" in fact(page, "Plan"), "the visit that failed had compiled it"

    # A byte goes bad in the cache: its segment alone is fetched, unasked.
    victim = weights.segments[len(weights.segments) // 2]
    damage(page, victim.hash, 1000)
    page = visits.with_an_answer()
    assert weights.fetched() == [(victim.start, victim.end)]
    assert "read from the store" in fact(page, "Plan")

    # Without a network: the page from its service worker, all else from the store.
    kept_offline(page)
    site.offline = True
    page = visits.with_an_answer()
    assert weights.fetched() == []
    assert {request.status for request in site.log} <= {0}
    assert "read from the store" in fact(page, "Plan")
    expect(page.get_by_role("alert")).to_be_hidden()
