"""shims/locks.js in real browsers: between tabs and workers, and what a dead one held."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Page

from e2e.browsers import ROOT, engines
from e2e.server import SiteServer

HOLD = """async ([name, shared, wait]) => {
  const { hold } = await import("/shims/locks.js");
  const stop = new AbortController();
  const { held, over } = await hold(name, shared, wait, stop.signal);
  globalThis.letGo = () => { stop.abort(); return over; };
  return held;
}"""
FREE = """async ([name, shared]) => {
  const { hold } = await import("/shims/locks.js");
  const stop = new AbortController();
  const { held, over } = await hold(name, shared, false, stop.signal);
  stop.abort();
  await over;
  return held;
}"""
WORKER = """async () => {
  const text = `import { hold } from "${location.origin}/shims/locks.js";
    const { held } = await hold("a", false, true, new AbortController().signal);
    postMessage(held);`;
  const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  globalThis.worker = new Worker(url, { type: "module" });
  return new Promise((resolve) => { globalThis.worker.onmessage = ({ data }) => resolve(data); });
}"""
WAIT = """async () => {
  const { hold } = await import("/shims/locks.js");
  const stop = new AbortController();
  globalThis.waited = hold("a", false, true, stop.signal);
  globalThis.letGo = async () => { stop.abort(); await (await globalThis.waited).over; };
}"""
GIVE_UP = "() => globalThis.letGo().catch((error) => error.name)"
LET_GO = "() => globalThis.letGo()"


def free(page: Page, name: str = "a", *, shared: bool = False) -> Any:
    return page.evaluate(FREE, [name, shared])


@engines("chromium", "firefox")
def test_locks(
    new_context: Callable[[], BrowserContext],
    tmp_path: Path,
    site_server: Callable[[Path], SiteServer],
) -> None:
    (tmp_path / "shims").symlink_to(ROOT / "shims")
    (tmp_path / "page.html").write_text("<!doctype html><title>Locks</title>")
    url = f"{site_server(tmp_path).url}/page.html"
    context = new_context()
    one, two = context.new_page(), context.new_page()
    one.goto(url)
    two.goto(url)

    assert one.evaluate(HOLD, ["a", True, True])
    assert two.evaluate(HOLD, ["a", True, False])
    assert not free(one), "two hold it shared"
    two.evaluate(LET_GO)
    assert not free(two), "one still does"
    assert free(two, shared=True)
    assert free(two, "b")
    two.evaluate(WAIT)
    assert two.evaluate(GIVE_UP) == "AbortError"
    two.evaluate(WAIT)
    one.close()
    assert two.evaluate("async () => (await globalThis.waited).held"), (
        "the closed tab's lock is free"
    )
    two.evaluate(LET_GO)
    assert two.evaluate(WORKER)
    assert not free(two, shared=True)
    two.evaluate("() => globalThis.worker.terminate()")
    assert two.evaluate(HOLD, ["a", False, True]), "the dead worker's lock is free"
