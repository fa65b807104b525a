"""Fixtures of the browser tests.

    engine        the Engine row that `@engines(...)` asks for; its browser runs
    browser       that browser, started once for all tests in it
    new_context   a function: a fresh profile (own caches), closed after the test
    page          a page in a fresh profile
    site_server   a function: serve a folder; build/site is `site`
    site          the built site, served
    python        Python in a page, with NumPy: see python_page.py

A test that fails leaves screenshots, the console and the host's log in build/e2e/.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    WebError,
    sync_playwright,
)
from playwright.sync_api import Error as PlaywrightError

from e2e.browsers import ENGINES, ROOT, Engine
from e2e.python_page import python  # noqa: F401  a fixture of its own file
from e2e.server import SiteServer
from e2e.wasm_page import wasm  # noqa: F401

BUILT_SITE = ROOT / "build" / "site"
ARTEFACTS = ROOT / "build" / "e2e"
#: A browser test may start a browser, boot Pyodide and compute a model on the CPU.
TIMEOUT_S = 300
ACTION_TIMEOUT_MS = 60_000

CONSOLE = pytest.StashKey[list[str]]()
SERVERS = pytest.StashKey[list[SiteServer]]()
FAILED = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give browser tests their own time limit, unless one states its own."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember a failure, so that fixtures can leave what helps to understand it."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """Playwright's driver."""
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="session")
def engine(request: pytest.FixtureRequest) -> Engine:
    """The row of the browser that the test runs in."""
    return ENGINES[request.param]


@pytest.fixture(scope="session")
def browser(playwright: Playwright, engine: Engine) -> Iterator[Browser]:
    """The browser of `engine`, started when its first test comes."""
    running = engine.launch(playwright)
    yield running
    running.close()


@pytest.fixture
def new_context(
    request: pytest.FixtureRequest, browser: Browser
) -> Iterator[Callable[[], BrowserContext]]:
    """Make fresh profiles; the console of all their pages is kept for a failure."""
    contexts: list[BrowserContext] = []
    console = request.node.stash.setdefault(CONSOLE, [])

    def said(message: ConsoleMessage) -> None:
        console.append(f"{message.type}: {message.text}")

    def raised(error: WebError) -> None:
        console.append(f"uncaught: {error.error}")

    def make() -> BrowserContext:
        context = browser.new_context()
        context.set_default_timeout(ACTION_TIMEOUT_MS)
        context.on("console", said)
        context.on("weberror", raised)
        contexts.append(context)
        return context

    yield make
    if request.node.stash.get(FAILED, False):
        leave_artefacts(request.node, [page for context in contexts for page in context.pages])
    for context in contexts:
        context.close()


@pytest.fixture
def page(new_context: Callable[[], BrowserContext]) -> Page:
    """A page in a fresh profile."""
    return new_context().new_page()


@pytest.fixture
def site_server(request: pytest.FixtureRequest) -> Iterator[Callable[[Path], SiteServer]]:
    """Serve folders until the test ends."""
    servers = request.node.stash.setdefault(SERVERS, [])
    with ExitStack() as stack:

        def serve(folder: Path) -> SiteServer:
            server = stack.enter_context(SiteServer(folder))
            servers.append(server)
            return server

        yield serve


@pytest.fixture
def site(site_server: Callable[[Path], SiteServer]) -> SiteServer:
    """The built site, served."""
    assert (BUILT_SITE / "build.json").exists(), "build/site is missing: run `make site`"
    return site_server(BUILT_SITE)


def leave_artefacts(item: pytest.Item, pages: list[Page]) -> None:
    """Write a failed test's screenshots, console and requests to build/e2e/<its name>/."""
    folder = ARTEFACTS / re.sub(r"[^\w.-]+", "-", item.nodeid.removeprefix("e2e/")).strip("-")
    folder.mkdir(parents=True, exist_ok=True)
    console: list[str] = item.stash.get(CONSOLE, [])
    (folder / "console.txt").write_text("\n".join(console) + "\n")
    requests = [str(request) for server in item.stash.get(SERVERS, []) for request in server.log]
    (folder / "requests.txt").write_text("\n".join(requests) + "\n")
    for number, page in enumerate(pages):
        try:
            page.screenshot(path=folder / f"page-{number}.png", timeout=5_000)
        except PlaywrightError as error:  # a crashed page has no picture, and that is worth a line
            (folder / f"page-{number}.txt").write_text(f"{page.url}: {error}\n")


@pytest.fixture
def plans(page: Page, tmp_path: Path, site_server: Callable[[Path], SiteServer]) -> Page:
    """The page that runs plans, with its device open."""
    (tmp_path / "shims").symlink_to(ROOT / "shims")
    (tmp_path / "pages").symlink_to(ROOT / "e2e" / "pages")
    page.goto(f"{site_server(tmp_path).url}/pages/kernels.html")
    page.wait_for_selector("html[data-ready]", state="attached")
    return page
