"""Cross-Origin Storage in each shape that it had, by an implementation that the tests put into the
page: no browser has one.

Sites are `a.localhost`, `b.localhost`, …, which browsers resolve to this machine.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from e2e.asking import BOOT_MS, ask, exchange, fact, token_ids
from e2e.browsers import ROOT, engines
from e2e.cross_origin import SHAPES, CrossOriginStorage
from e2e.model_hub import ModelHub
from e2e.server import SiteServer
from e2e.sites import MODEL, WEIGHTS, site_with
from tests.store.models import digest, random_bytes
from tests.tiny_chat import TinyChat, make

DATA = random_bytes(3_000)
NAME = digest(DATA)
PARTS = [list(DATA[:1_000]), list(DATA[1_000:])]
RUNS = "chromium", "firefox"
QUESTION = "Is it the same model?"
N_TOKENS = 3


def at(site: SiteServer, name: str) -> str:
    """A site of its own on this host."""
    return site.url.replace("127.0.0.1", f"{name}.localhost")


def small_page(context: BrowserContext, url: str) -> Page:
    page = context.new_page()
    page.goto(f"{url}/e2e/pages/share.html")
    page.wait_for_selector("html[data-ready]", state="attached")
    return page


def find(page: Page) -> Any:
    return page.evaluate("name => find(name)", NAME)


def offer(page: Page, parts: list[list[int]] = PARTS) -> Any:
    return page.evaluate("([name, parts]) => offer(name, parts)", [NAME, parts])


@engines(*RUNS)
@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape(
    new_context: Callable[[], BrowserContext],
    site_server: Callable[[Path], SiteServer],
    tmp_path: Path,
    shape: str,
) -> None:
    for folder in ("shims", "e2e"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    server, storage, context = site_server(tmp_path), CrossOriginStorage(), new_context()
    storage.enter(context, shape)
    page = small_page(context, at(server, "a"))
    assert find(page) == {"value": None}
    wrong = offer(page, PARTS[:1])
    assert wrong["error"]["name"] == "DataError"
    assert storage.files == {}
    assert offer(page) == {"value": True}
    assert storage.files == {NAME: DATA}

    page = small_page(context, at(server, "b"))
    assert bytes(find(page)["value"]) == DATA
    storage.mood = "lying"
    assert find(page) == {"value": None}
    storage.mood = "refusing"
    assert find(page)["error"]["name"] == "NotAllowedError"
    storage.mood = "read-only"
    assert offer(page)["error"]["name"] == "QuotaExceededError"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyChat:
    return make(tmp_path_factory.mktemp("tiny"))


class Visits:
    """Visits of the real page with the tiny model, each by a fresh profile that has `storage`."""

    def __init__(self, new_context: Callable[[], BrowserContext], server: SiteServer) -> None:
        self.storage, self.server, self._new_context = CrossOriginStorage(), server, new_context

    def answered(self, tiny: TinyChat, name: str, shape: str, model: str = MODEL) -> Page:
        """The page of a site, once it answered rightly."""
        context = self._new_context()
        self.storage.enter(context, shape)
        self.server.log.clear()
        page = context.new_page()
        asked = f"policy=local&target=webgpu&tokens={N_TOKENS}"
        page.goto(f"{at(self.server, name)}/?{asked}&model={model}")
        ask(page, QUESTION)
        exchange(page, 1, "done", timeout=BOOT_MS)
        prompt = tiny.prompt({"role": "user", "content": QUESTION})
        assert token_ids(page, 1) == tiny.greedy(prompt, N_TOKENS)
        return page

    @property
    def sent(self) -> int:
        return self.server.sent(WEIGHTS)


@pytest.fixture
def visits(
    new_context: Callable[[], BrowserContext],
    site_server: Callable[[Path], SiteServer],
    tmp_path: Path,
    tiny: TinyChat,
) -> Visits:
    return Visits(new_context, site_server(site_with(tmp_path / "site", tiny)))


@engines("chromium")
def test_the_second_site_downloads_no_weight(visits: Visits, tiny: TinyChat) -> None:
    data = (tiny.manifest.parent / "tiny.gguf").read_bytes()

    # Nobody was here before: the network it is. What it brought is left for others.
    page = visits.answered(tiny, "a", SHAPES[0])
    said = fact(page, "File tiny.gguf")
    assert said.startswith("This site's own storage; ")
    assert "Cross-Origin Storage: it says that the file is not there." in said
    assert "The hub: this site names none." in said
    expect(page.locator("#facts")).to_contain_text("Cross-Origin Storage keeps it.")
    assert len(data) <= visits.sent < 1.01 * len(data), "holes smaller than a request come again"
    assert visits.storage.files == {digest(data): data}

    page = visits.answered(tiny, "b", SHAPES[1])
    assert fact(page, "File tiny.gguf").startswith("Cross-Origin Storage; nothing downloaded")
    assert visits.sent == 0


def left(visits: Visits, tiny: TinyChat) -> bytes:
    """The model's file, as another site left it."""
    data = (tiny.manifest.parent / "tiny.gguf").read_bytes()
    visits.storage.files[digest(data)] = data
    return data


@engines("firefox")
def test_what_another_site_left_is_not_downloaded(visits: Visits, tiny: TinyChat) -> None:
    left(visits, tiny)
    page = visits.answered(tiny, "a", SHAPES[2])
    assert fact(page, "File tiny.gguf").startswith("Cross-Origin Storage; nothing downloaded")
    assert visits.sent == 0


@engines("firefox")
def test_a_wrong_byte_there_is_mended(visits: Visits, tiny: TinyChat) -> None:
    data = left(visits, tiny)
    visits.storage.mood = "spoilt"
    page = visits.answered(tiny, "a", SHAPES[0])
    assert "Some of it was wrong or gone there" in fact(page, "File tiny.gguf")
    assert 0 < visits.sent < len(data) // 2, "one object"


@engines("chromium")
def test_a_person_who_refuses(visits: Visits, tiny: TinyChat) -> None:
    data = left(visits, tiny)
    visits.storage.mood = "refusing"
    page = visits.answered(tiny, "a", SHAPES[2])
    said = fact(page, "File tiny.gguf")
    assert said.startswith("This site's own storage; ")
    assert "Cross-Origin Storage: NotAllowedError: " in said
    assert visits.sent > len(data) // 2


@engines("chromium")
def test_an_address_on_a_model_hub(visits: Visits, tiny: TinyChat, tmp_path: Path) -> None:
    """Of a file that nobody packed: its header is read, and its SHA-256 is all that is known."""
    data = left(visits, tiny)
    (tmp_path / "files").mkdir()
    with ModelHub(tmp_path / "files") as hub:
        hub.add("org/tiny", {"tiny.gguf": data})
        model = f"{hub.url}/org/tiny/resolve/main/tiny.gguf"
        page = visits.answered(tiny, "a", SHAPES[0], model)
        asked = [request.range for request in hub.network.log if request.method == "GET"]
    assert fact(page, "File tiny.gguf").startswith("Cross-Origin Storage; nothing downloaded")
    assert len(asked) == 1, "the header"
