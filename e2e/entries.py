"""What lies in a page's Cache Storage, looked at and damaged behind the back of shims/store.js."""

from __future__ import annotations

from playwright.sync_api import Page

KEYS = """async () => {
  const kept = await (await caches.open("edgewise-objects-1")).keys();
  return kept.map((request) => request.url);
}"""
CHANGE = """async ([key, at, flips, end]) => {
  const cache = await caches.open("edgewise-objects-1");
  const { headers } = await cache.match(key);
  const bytes = new Uint8Array(await (await cache.match(key)).arrayBuffer());
  for (const flip of flips) bytes[at + flip] ^= 1;
  await cache.put(key, new Response(bytes.slice(0, end ?? bytes.length), { headers }));
}"""


def entries(page: Page) -> dict[str, list[tuple[str, int | None]]]:
    """The keys of all entries and the objects in each, in order: hash and bytes (alone: None)."""
    found = {}
    for key in page.evaluate(KEYS):
        items = [item.split(".") for item in key.split("/objects/")[1].split(",")]
        found[key] = [(item[0], int(item[1]) if item[1:] else None) for item in items]
    return found


def stored(page: Page) -> set[str]:
    """The hashes of all objects."""
    return {hash for objects in entries(page).values() for hash, _ in objects}


def damage(page: Page, hash: str, at: int = 0) -> None:
    """Flips a bit of the object's byte at `at`."""
    key, place = _place(page, hash)
    page.evaluate(CHANGE, [key, place, [at], None])


def truncate(page: Page, hash: str) -> None:
    """Cuts the object's entry short, in the middle of where it begins."""
    key, place = _place(page, hash)
    page.evaluate(CHANGE, [key, 0, [], place + 1])


def _place(page: Page, hash: str) -> tuple[str, int]:
    for key, objects in entries(page).items():
        at = 0
        for each, nbytes in objects:
            if each == hash:
                return key, at
            at += nbytes or 0
    raise AssertionError(f"{hash=} is not there")
