"""Two sites and a hub, each of a registrable domain of its own, in one browser: what one downloads
the other finds, if the person and the browser allow it, and nothing else.

Chromium 147 alone: the newer one that Debian has crashes at `requestStorageAccess({caches: true})`,
Firefox gives no unpartitioned Cache Storage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, FrameLocator, Page, Playwright, expect

from e2e.asking import BOOT_MS, fact
from e2e.browsers import ROOT, SWIFTSHADER, WEBNN_CHROMIUM, engines
from e2e.server import SiteServer
from e2e.sites import MODEL, SITES, WEIGHTS, SecureSite, certificate, site_with
from tests.store.models import digest, random_bytes
from tests.tiny_chat import TinyChat, make

DATA = random_bytes(30_000)
PARTS = [list(DATA[:10_000]), list(DATA[10_000:])]
NAMES = 32  # that a page may ask for: site/hub/hub.js
N_OBJECTS = "caches.open('edgewise-objects-1').then((c) => c.keys()).then((all) => all.length)"
NOT_OPENED = "the browser did not open the shared store (NotAllowedError)"


@dataclass(frozen=True)
class World:
    """A browser, two sites, and the hub at `hub.url`/hub/."""

    context: BrowserContext
    a: SiteServer
    b: SiteServer
    hub: SiteServer

    @property
    def address(self) -> str:
        return f"{self.hub.url}/hub/"

    def grant(self) -> None:
        """What the person would say to the browser's own question, which headless does not show."""
        devtools = self.context.new_cdp_session(self.context.pages[0])
        for site in (self.a, self.b):
            for origin, embedded in ((site.url, self.hub.url), (self.hub.url, site.url)):
                devtools.send("Browser.setPermission", {
                    "permission": {"name": "storage-access"}, "setting": "granted",
                    "origin": origin, "embeddedOrigin": embedded})  # fmt: skip

    def visit_hub(self) -> Page:
        page = self.context.pages[0]
        page.goto(self.address)
        page.get_by_role("button", name="Use it in this browser").click()
        return page

    def meet(self, site: SiteServer) -> Page:
        """The small page on a site, with the hub in it."""
        page = self.context.new_page()
        page.goto(f"{site.url}/e2e/pages/share.html")
        page.wait_for_selector("html[data-ready]", state="attached")
        page.evaluate("address => meet(address)", self.address)
        return page


MakeRoot = Callable[[str], Path]


@pytest.fixture(scope="module")
def open_world(
    playwright: Playwright, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[MakeRoot], World]]:
    """A function: a fresh browser, and sites with the folder that is made for a hub's address."""
    if not WEBNN_CHROMIUM.exists():
        pytest.skip("the Chromium with WebNN is missing: run tools/setup.py")
    folder = tmp_path_factory.mktemp("world")
    pem = certificate(folder)
    (folder / "hub").mkdir()
    (folder / "hub" / "shims").symlink_to(ROOT / "shims")
    (folder / "hub" / "hub").symlink_to(ROOT / "site" / "hub")
    with ExitStack() as stack:

        def small_pages(hub: str) -> Path:
            root = folder / "pages"
            if not root.exists():
                root.mkdir()
                (root / "shims").symlink_to(ROOT / "shims")
                (root / "e2e").symlink_to(ROOT / "e2e")
            return root

        def open_(make_root: MakeRoot = small_pages) -> World:
            hub = stack.enter_context(SecureSite(folder / "hub", "hub.test", pem))
            root = make_root(f"{hub.url}/hub/")
            a = stack.enter_context(SecureSite(root, "a.test", pem))
            b = stack.enter_context(SecureSite(root, "b.test", pem))
            context = playwright.chromium.launch_persistent_context(
                tmp_path_factory.mktemp("profile"),
                executable_path=WEBNN_CHROMIUM,
                args=[*SWIFTSHADER, *SITES],
            )
            stack.callback(context.close)
            return World(context, a, b, hub)

        yield open_


@pytest.fixture
def world(open_world: Callable[[], World]) -> World:
    """A fresh browser that was to the hub."""
    fresh = open_world()
    fresh.visit_hub()
    return fresh


@pytest.fixture(scope="module")
def shared(open_world: Callable[[], World]) -> World:
    """A browser in which both sites may share; what they left there stays."""
    fresh = open_world()
    fresh.visit_hub()
    fresh.grant()
    for site in (fresh.a, fresh.b):
        page = fresh.meet(site)
        allow(page)
        assert find(page) == {"value": None}
    return fresh


def frame(page: Page) -> FrameLocator:
    return page.frame_locator("iframe")


def allow(page: Page) -> None:
    frame(page).get_by_role("button", name="Share models with this site").click()


def find(page: Page, data: bytes = DATA) -> Any:
    return page.evaluate("name => find(name)", digest(data))


def offer(page: Page, parts: list[list[int]] = PARTS, data: bytes = DATA) -> Any:
    return page.evaluate("([name, parts]) => offer(name, parts)", [digest(data), parts])


def test_what_one_site_left_another_finds(world: World) -> None:
    world.grant()
    first = world.meet(world.a)
    allow(first)
    expect(frame(first).locator("#said")).to_contain_text("Models are shared with a.test")
    assert find(first) == {"value": None}
    assert offer(first) == {"value": True}

    second = world.meet(world.b)
    expect(frame(second).locator("#question")).to_be_visible()
    allow(second)
    assert bytes(find(second)["value"]) == DATA
    assert offer(second) == {"value": True}, "it is there: nothing is sent"

    # What was allowed is remembered, for this site.
    again = world.meet(world.b)
    assert bytes(find(again)["value"]) == DATA
    expect(frame(again).locator("#question")).to_be_hidden()

    # The person takes it back; then all that is there is removed.
    frame(again).get_by_role("button", name="Change").click()
    frame(again).get_by_role("button", name="Don't share").click()
    assert find(again)["error"]["name"] == "NotAllowedError"
    hub = world.visit_hub()
    expect(hub.locator("#files li")).to_have_text([digest(DATA)])
    hub.get_by_role("button", name="Remove all of it").click()
    expect(hub.locator("#files li")).to_have_count(0)


DIGESTS = """async ([bytes, cuts]) => {
  const { Sha256 } = await import("/shims/sha256.js");
  return cuts.map((pieces) => {
    const hash = new Sha256();
    let at = 0;
    for (const piece of pieces) hash.update(Uint8Array.from(bytes.slice(at, (at += piece))));
    return hash.hex();
  });
}"""


def test_digests_of_bytes_in_pieces(shared: World) -> None:
    """Around the ends of blocks (64) and of what fits the last one (55)."""
    lengths = (0, 1, 54, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 129, 200)
    cuts = [(first, second) for first in lengths for second in lengths]
    got = shared.meet(shared.a).evaluate(DIGESTS, [list(DATA[:400]), cuts])
    assert got == [digest(DATA[: first + second]) for first, second in cuts]


def test_bytes_that_are_not_their_name_are_not_kept(shared: World) -> None:
    page = shared.meet(shared.a)
    wrong = [PARTS[0], [*PARTS[1][:-1], PARTS[1][-1] ^ 1]]
    assert offer(page, wrong) == {"value": False}
    assert offer(page, PARTS[:1]) == {"value": False}
    assert find(shared.meet(shared.b)) == {"value": None}


def test_a_site_gets_what_it_names_and_nothing_else(shared: World) -> None:
    page = shared.meet(shared.a)
    requests: list[object] = [{}, {"list": True}, {"find": "*"}, {"find": None}, {"find": ""},
                              {"find": digest(DATA)[:-1]}, {"find": digest(DATA).upper()},
                              {"find": "../files"}, {"keys": 1}, {"offer": digest(DATA)},
                              {"offer": "x", "parts": None}]  # fmt: skip
    for request in requests:
        answer = page.evaluate("request => raw(request)", request)
        assert answer == {"id": "raw", "refused": {
            "name": "NotSupportedError",
            "message": "a file is asked for by its SHA-256, and in no other way"}}  # fmt: skip
    # Guessing names ends early, and offering is no way around.
    names = [digest(bytes([n])) for n in range(NAMES + 1)]
    answers = [page.evaluate("name => raw({find: name})", name) for name in names]
    assert all(answer.get("file", "none") is None for answer in answers[:-1])
    assert answers[-1]["refused"]["name"] == "NotAllowedError"


HOSTILE = """([hub, how]) => new Promise((resolve) => {
  const frame = document.createElement("iframe");
  addEventListener("message", ({ data }) => typeof data === "string" && resolve(data));
  const inner = `<iframe src="${hub}"></iframe><script>
    addEventListener("message", ({ data, source }) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = ({ data }) => parent.postMessage("answered " + JSON.stringify(data), "*");
      source.postMessage("site", "*", [port2]);
      port1.postMessage({ id: 1, find: "0".repeat(64) });
      parent.postMessage("greeted", "*");
    });
    setTimeout(() => parent.postMessage("silence", "*"), 2000);
  </` + "script>";
  if (how === "sandboxed") frame.sandbox = "allow-scripts";
  frame.srcdoc = inner;
  document.body.append(frame);
})"""


@pytest.mark.parametrize("how", ["sandboxed", "nested"])
def test_a_frame_in_a_frame_is_served_to_nobody(shared: World, how: str) -> None:
    page = shared.meet(shared.a)
    assert find(page) == {"value": None}
    assert page.evaluate(HOSTILE, [shared.address, how]) == "silence"


def test_a_second_port_is_not_taken(shared: World) -> None:
    page = shared.meet(shared.a)
    assert find(page) == {"value": None}
    answer = page.evaluate("""() => new Promise((resolve) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = ({ data }) => resolve(data);
      frames[0].postMessage("site", "*", [port2]);
      port1.postMessage({ id: 1, find: "0".repeat(64) });
      setTimeout(() => resolve("silence"), 500);
    })""")
    assert answer == "silence"


def test_another_frame_is_not_taken_for_the_hub(shared: World) -> None:
    page = shared.meet(shared.a)
    stolen = page.evaluate(
        """address => new Promise((resolve) => {
      addEventListener("message", ({ data }) => data === "given" && resolve(data));
      const frame = document.createElement("iframe");
      frame.srcdoc = `<script>
        addEventListener("message", () => parent.postMessage("given", "*"));
        setInterval(() => parent.postMessage("hub", "*"), 1);
      </` + "script>";
      document.body.append(frame);
      meet(address); // its frame comes later, and another one speaks already
      setTimeout(() => resolve("nothing"), 1000);
    })""",
        shared.address,
    )
    assert stolen == "nothing"
    assert find(page) == {"value": None}


def test_a_browser_that_refuses(world: World) -> None:
    page = world.meet(world.a)
    allow(page)
    assert find(page) == {"error": {"name": "NotAllowedError", "message": NOT_OPENED}}
    expect(frame(page).locator("#said")).to_contain_text("does not let a.test")
    assert offer(page)["error"]["name"] == "NotAllowedError"


def test_a_hub_that_is_not_there(shared: World) -> None:
    page = shared.context.new_page()
    page.goto(f"{shared.a.url}/e2e/pages/share.html")
    page.wait_for_selector("html[data-ready]", state="attached")
    page.evaluate("address => meet(address)", f"{shared.hub.url}/none/")
    error = find(page)["error"]
    assert error["name"] == "NetworkError"
    assert "no hub answers" in error["message"]


@engines("firefox")
def test_a_browser_without_a_store_for_all_sites(
    page: Page, site_server: Callable[[Path], SiteServer], tmp_path: Path
) -> None:
    for name, folder in (("shims", "shims"), ("e2e", "e2e"), ("hub", "site/hub")):
        (tmp_path / name).symlink_to(ROOT / folder)
    url = site_server(tmp_path).url
    page.goto(f"{url.replace('127.0.0.1', 'a.localhost')}/e2e/pages/share.html")
    page.wait_for_selector("html[data-ready]", state="attached")
    page.evaluate("address => meet(address)", f"{url.replace('127.0.0.1', 'hub.localhost')}/hub/")
    assert find(page)["error"]["name"] == "NotSupportedError"
    expect(frame(page).locator("#question")).to_be_hidden()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyChat:
    return make(tmp_path_factory.mktemp("tiny"))


def opened(world: World, site: SiteServer, answer: str | None = None) -> Page:
    """The real page on a site, with the hub's question answered, once its model is open."""
    page = world.context.new_page()
    page.goto(f"{site.url}/?policy=local&target=webgpu&model={MODEL}")
    if answer:
        frame(page).get_by_role("button", name=answer).click()
    expect(page.locator("#status, #error:visible")).to_contain_text(
        ["Ready."], timeout=BOOT_MS
    )  # with an error there are two, and the message shows it
    return page


def test_the_second_site_downloads_no_weight(
    open_world: Callable[[MakeRoot], World], tmp_path: Path, tiny: TinyChat
) -> None:
    world = open_world(lambda hub: site_with(tmp_path / "site", tiny, hub))
    world.visit_hub()
    world.grant()
    page = opened(world, world.a, "Share models with this site")
    said = fact(page, "File tiny.gguf")
    assert said.startswith("This site's own storage; ")
    assert "The hub: it says that the file is not there." in said
    expect(page.locator("#facts")).to_contain_text("The hub keeps it.")
    nbytes = (tiny.manifest.parent / "tiny.gguf").stat().st_size
    assert nbytes <= world.a.sent(WEIGHTS) < 1.01 * nbytes, "small holes come again"
    page.close()

    page = opened(world, world.b, "Share models with this site")
    assert fact(page, "File tiny.gguf").startswith("The hub; nothing downloaded")
    assert world.b.sent(WEIGHTS) == 0
    assert page.evaluate(N_OBJECTS) == 0, "it is read where it lies"

    # The person takes it back: into the site's own storage, and the page says why.
    frame(page).get_by_role("button", name="Change").click()
    frame(page).get_by_role("button", name="Don't share").click()
    page.close()
    page = opened(world, world.b)
    said = fact(page, "File tiny.gguf")
    assert said.startswith("This site's own storage; ")
    assert "The hub: NotAllowedError: sharing was declined for b.test" in said
    assert world.b.sent(WEIGHTS) > 0
