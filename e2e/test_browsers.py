"""The browsers are what the other tests take them for, and the host is one that they can trust."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from e2e.browsers import Engine, engines
from e2e.server import SiteServer

PAGES = Path(__file__).parent / "pages"


@pytest.fixture
def opened(page: Page, site_server: Callable[[Path], SiteServer]) -> Page:
    """The page of this test, opened."""
    page.goto(f"{site_server(PAGES).url}/browsers.html")
    page.wait_for_selector("html[data-ready]", state="attached")
    return page


@engines()
def test_page_is_isolated(opened: Page) -> None:
    assert opened.evaluate("crossOriginIsolated && typeof SharedArrayBuffer === 'function'")


@engines()
def test_webgpu_in_a_worker(opened: Page, engine: Engine) -> None:
    facts: dict[str, Any] = opened.evaluate("workerFacts()")
    assert facts["isolated"]
    if not engine.webgpu:
        assert facts["features"] is None
        return
    assert facts["doubled"] == [2 * i for i in range(200)]
    assert engine.features <= set(facts["features"])
    assert not engine.lacks & set(facts["features"])


@engines()
def test_webnn(opened: Page, engine: Engine) -> None:
    assert opened.evaluate("hasWebNN()") is engine.webnn


@engines()
def test_range(opened: Page) -> None:
    whole = (PAGES / "gpu_worker.js").read_bytes()

    def fetch(**headers: str) -> dict[str, Any]:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        part: dict[str, Any] = opened.evaluate("h => fetchPart('gpu_worker.js', h)", named)
        return part

    part = fetch(Range="bytes=10-19")
    assert (part["status"], bytes(part["bytes"])) == (206, whole[10:20])
    assert part["range"] == f"bytes 10-19/{len(whole)}"
    same = fetch(Range="bytes=-5", If_Range=part["etag"])
    assert (same["status"], bytes(same["bytes"])) == (206, whole[-5:])
    changed = fetch(Range="bytes=10-", If_Range='"another"')
    assert (changed["status"], bytes(changed["bytes"])) == (200, whole)
