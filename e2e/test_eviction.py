"""Two chat pages and room for one model: what runs stays, and what was closed makes room."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import BrowserContext, Page

from e2e.asking import ask, exchange, kept_offline, shown_error, token_ids
from e2e.browsers import engines
from e2e.conftest import BUILT_SITE
from e2e.server import SiteServer
from edgewise.store.manifest import Manifest
from tests.tiny_chat import TinyChat, make

QUESTION = "Tell me a secret"
ROOM = 40_000  # less than the weights of a model
#: How many objects are stored; an entry's key names all that it holds.
STORED = """async () => {
  const keys = await (await caches.open("edgewise-objects-1")).keys();
  return keys.flatMap((key) => key.url.split(",")).length;
}"""
RECORDS = """async () => {
  const keys = await (await caches.open("edgewise-texts-1")).keys();
  const names = keys.map((key) => new URL(key.url).searchParams.get("name"));
  return names.filter((name) => name.startsWith("model "));
}"""
#: Put before the shim of the store: room for one model and a half, without documents.
ESTIMATE = """
navigator.storage.estimate = async () => {
  const cache = await caches.open("edgewise-objects-1");
  let usage = 0;
  for (const key of await cache.keys()) {
    usage += Number((await cache.match(key))?.headers.get("content-length"));
  }
  return { usage, quota: QUOTA };
};
"""


def answered(page: Page, number: int, tiny: TinyChat) -> None:
    exchange(page, number, "done")
    prompt = tiny.prompt({"role": "user", "content": QUESTION})
    assert token_ids(page, number) == tiny.greedy(prompt, 3)


@engines("chromium", "firefox")
def test_room_is_made_by_a_model_that_nobody_runs(
    new_context: Callable[[], BrowserContext],
    site_server: Callable[[Path], SiteServer],
    tmp_path: Path,
) -> None:
    models = [make(tmp_path / str(seed), seed) for seed in (5, 6)]
    hosts = [site_server(model.manifest.parent) for model in models]
    weights = Manifest.from_json(models[0].manifest.read_text()).demands.weight_nbytes
    folder = tmp_path / "site"
    shutil.copytree(BUILT_SITE, folder, ignore=shutil.ignore_patterns("models"))
    shim = folder / "shims" / "store.js"
    shim.write_text(ESTIMATE.replace("QUOTA", str(weights * 3 // 2)) + shim.read_text())
    site = site_server(folder)
    context = new_context()
    first, second = context.new_page(), context.new_page()

    def visit(page: Page, index: int) -> None:
        model = f"{hosts[index].url}/{models[index].manifest.name}"
        page.goto(f"{site.url}/?policy=local&target=wasm&tokens=3&model={model}")

    visit(first, 0)
    ask(first, QUESTION)
    answered(first, 1, models[0])
    objects = first.evaluate(STORED)

    visit(second, 1)
    shown_error(second, "QuotaError")
    assert hosts[1].sent("/tiny.gguf") == 0, "it is said before the first byte"
    assert second.evaluate(STORED) == objects
    first.close()
    ask(second, QUESTION)
    answered(second, 1, models[1])
    assert second.evaluate(STORED) == objects, "the other model went whole"


@engines("chromium")  # no other browser lets a test set the quota of a page
def test_room_that_the_browser_does_not_tell_of(
    new_context: Callable[[], BrowserContext],
    site: SiteServer,
    site_server: Callable[[Path], SiteServer],
    tmp_path: Path,
) -> None:
    """Chromium says that there is room for gigabytes, whatever the quota is."""
    page = new_context().new_page()
    models = [make(tmp_path / str(seed), seed) for seed in (5, 6)]
    for number, model in enumerate(models):
        host = site_server(model.manifest.parent)
        page.goto(
            f"{site.url}/?policy=local&target=wasm&tokens=3&model={host.url}/{model.manifest.name}"
        )
        ask(page, QUESTION)
        answered(page, 1, model)
        if number == 0:
            kept_offline(page)
            used = page.evaluate("async () => (await navigator.storage.estimate()).usage")
            origin = {"origin": site.url, "quotaSize": used + ROOM}
            browser = page.context.new_cdp_session(page)
            browser.send("Storage.overrideQuotaForOrigin", origin)
    assert page.evaluate(RECORDS) == [f"model {host.url}/{model.manifest.name}"], "one went"
