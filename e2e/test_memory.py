"""A page whose site may store nothing keeps the model in memory, for as long as it is open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

from e2e.asking import ask, exchange, fact, token_ids
from e2e.browsers import engines
from e2e.server import SiteServer
from e2e.sites import MODEL, site_with
from tests.tiny_chat import TinyChat, make

QUESTION = "Where is it?"
#: Put before the shim of the store: what a browser says that was told to keep nothing of a site.
NO_STORAGE = """
CacheStorage.prototype.open = async () => { throw new DOMException("denied", "SecurityError"); };
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyChat:
    return make(tmp_path_factory.mktemp("tiny"))


@engines("chromium")
def test_a_site_that_may_store_nothing(
    page: Page, site_server: Callable[[Path], SiteServer], tmp_path: Path, tiny: TinyChat
) -> None:
    folder = site_with(tmp_path / "site", tiny)
    shim = folder / "shims" / "store.js"
    text = NO_STORAGE + shim.read_text()
    shim.unlink()  # it is the built site's own file until here
    shim.write_text(text)
    page.goto(f"{site_server(folder).url}/?policy=local&target=webgpu&tokens=3&model={MODEL}")
    ask(page, QUESTION)
    exchange(page, 1, "done")
    prompt = tiny.prompt({"role": "user", "content": QUESTION})
    assert token_ids(page, 1) == tiny.greedy(prompt, 3)
    said = fact(page, "File tiny.gguf")
    assert said.startswith("This page's memory; ")
    assert "This site's own storage: the browser gives it none." in said
