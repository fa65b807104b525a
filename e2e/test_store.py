"""shims/store.js in real browsers, on the page and in a worker, against a host that fails."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from e2e.browsers import ROOT, engines
from e2e.server import SiteServer
from tests.store.hostile import host, send, send_range
from tests.store.models import digest, manifest_of, random_bytes

SIZES = [20_000, 3_000, 30_000, 1, 40_000, 2_000, 10_000]
DATA = random_bytes(sum(SIZES))
MODEL = manifest_of(DATA, SIZES)
SEGMENTS = [[segment.hash, segment.nbytes] for segment in MODEL.segments]
HASHES = [segment.hash or "" for segment in MODEL.segments]
STARTS = list(MODEL.offsets)
PATH = "/model.gguf"
RUNS = "chromium", "firefox"
REPLACE = """async ([cache, key, text]) => {
  const bytes = new TextEncoder().encode(text);
  const open = await caches.open(cache);
  const { headers } = await open.match(key);
  await open.put(key, new Response(bytes, { headers }));
}"""


class Store:
    """The store of one page, called from the window or from its worker."""

    def __init__(self, page: Page, where: str) -> None:
        self.page, self.where = page, where

    def ask(self, name: str, *args: object) -> Any:
        """The whole answer: `value` or `error`, and `arrived` of fetchRun."""
        call = "([where, name, args]) => call(where, name, args)"
        return self.page.evaluate(call, [self.where, name, list(args)])

    def __call__(self, name: str, *args: object) -> Any:
        answer = self.ask(name, *args)
        assert "error" not in answer, answer
        return answer["value"]

    def fails(self, name: str, *args: object) -> dict[str, str]:
        answer: dict[str, dict[str, str]] = self.ask(name, *args)
        assert "error" in answer, answer
        return answer["error"]

    def get(self, hash: str) -> bytes | None:
        found = self("get", hash)
        return None if found is None else bytes(found)

    def holds(self) -> list[bool]:
        """Which of the model's segments are there, whole and right."""
        wanted = [DATA[a : a + n] for a, n in zip(STARTS, SIZES, strict=True)]
        return [self.get(hash) == data for hash, data in zip(HASHES, wanted, strict=True)]


@pytest.fixture
def server(tmp_path: Path, site_server: Callable[[Path], SiteServer]) -> SiteServer:
    for folder in ("shims", "e2e"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    (tmp_path / "model.gguf").write_bytes(DATA)
    return site_server(tmp_path)


@pytest.fixture(params=["window", "worker"])
def store(request: pytest.FixtureRequest, page: Page, server: SiteServer) -> Store:
    page.goto(f"{server.url}/e2e/pages/store.html")
    page.wait_for_selector("html[data-ready]", state="attached")
    server.log.clear()
    return Store(page, request.param)


def reload(store: Store) -> None:
    store.page.reload()
    store.page.wait_for_selector("html[data-ready]", state="attached")


def ranges(server: SiteServer) -> list[str | None]:
    """What was asked for of the model; browsers ask for icons as well."""
    return [request.range for request in server.log if request.path == PATH]


@engines(*RUNS)
def test_objects(store: Store) -> None:
    data = b"some bytes"
    assert store("has", [digest(data)]) == [False]
    assert store.get(digest(data)) is None
    store("put", digest(data), list(data))
    store("put", digest(b""), [])
    assert store("has", [digest(b"x"), digest(data), digest(b"")]) == [False, True, True]
    assert store.get(digest(data)) == data
    assert store.get(digest(b"")) == b""
    assert sorted(store("list")) == sorted([digest(data), digest(b"")])
    assert store("remove", digest(data)) is True
    assert store("remove", digest(data)) is False
    assert store("list") == [digest(b"")]


@engines(*RUNS)
def test_bytes_under_a_wrong_hash_are_refused(store: Store) -> None:
    error = store.fails("put", digest(b"one"), list(b"two"))
    assert error["code"] == "HashMismatchError"
    assert (error["got"], error["need"]) == (digest(b"two"), digest(b"one"))
    assert error["fix"]
    assert store("list") == []


@engines(*RUNS)
def test_a_damaged_object_is_found_when_read(store: Store) -> None:
    hash = digest(b"right")
    store("put", hash, list(b"right"))
    key = f"https://edgewise.invalid/objects/{hash}"
    store.page.evaluate(REPLACE, ["edgewise-objects-1", key, "wrong"])
    assert store("has", [hash]) == [True], "only reading can find it"
    assert store.get(hash) is None
    assert store("has", [hash]) == [False]
    store("put", hash, list(b"right"))
    assert store.get(hash) == b"right"


@engines(*RUNS)
def test_texts(store: Store) -> None:
    names = ["plan", "..", "a/b?c#d", "é " * 100]
    assert store("getText", "plan") is None
    for name in names:
        store("putText", name, f"text of {name}\n\U0001f642")
    store("putText", "plan", "")
    assert store("getText", "plan") == ""
    assert [store("getText", n) for n in names[1:]] == [
        f"text of {n}\n\U0001f642" for n in names[1:]
    ]
    assert store("removeText", "..") is True
    assert store("removeText", "..") is False
    assert store("getText", "..") is None
    assert store("list") == [], "texts are no objects"


@engines(*RUNS)
def test_a_damaged_text_is_gone(store: Store) -> None:
    store("putText", "plan", "right")
    key = "https://edgewise.invalid/texts?name=plan"
    store.page.evaluate(REPLACE, ["edgewise-texts-1", key, "wrong"])
    assert store("getText", "plan") is None
    assert store("removeText", "plan") is False


@engines(*RUNS)
def test_room_and_persistence(store: Store) -> None:
    room = store("estimate")
    assert 0 <= room["usage"] < room["quota"]
    if store.where == "worker":  # on the page Firefox asks the person, who is not here
        assert isinstance(store("persist"), bool)


@engines(*RUNS)
def test_a_run_is_one_request(store: Store, server: SiteServer) -> None:
    answer = store.ask("fetchRun", PATH, 0, SEGMENTS)
    assert answer["arrived"] == len(DATA)
    run = answer["value"]
    assert run["done"] == HASHES
    assert (run.get("error"), run["ranged"], run["retry"]) == (None, True, False)
    assert run["etag"].startswith('"')
    assert ranges(server) == [f"bytes=0-{len(DATA) - 1}"]
    assert store.holds() == [True] * len(SIZES)
    assert sorted(store("list")) == sorted(HASHES)


@engines(*RUNS)
def test_what_is_stored_outlives_the_page_and_the_host(store: Store, server: SiteServer) -> None:
    store("fetchRun", PATH, STARTS[2], SEGMENTS[2:4])
    reload(store)
    server.offline = True
    assert store("has", HASHES) == [i in (2, 3) for i in range(len(SIZES))]
    assert store.holds() == [i in (2, 3) for i in range(len(SIZES))]


@engines(*RUNS)
def test_a_byte_flipped_on_the_way(store: Store, server: SiteServer) -> None:
    server.flip(PATH, STARTS[4] + 7)
    run = store("fetchRun", PATH, 0, SEGMENTS)
    assert run["done"] == HASHES[:4]
    error = run["error"]
    assert (error["code"], error["need"]) == ("HashMismatchError", HASHES[4])
    assert error["where"] == f"{PATH} bytes {STARTS[4]}-{STARTS[5] - 1}"
    assert store.holds() == [i < 4 for i in range(len(SIZES))]
    assert store("list").count(error["got"]) == 0, "the wrong bytes were stored"
    rest = store("fetchRun", PATH, STARTS[4], SEGMENTS[4:])
    assert rest["done"] == HASHES[4:]
    assert store.holds() == [True] * len(SIZES)
    assert ranges(server)[1:] == [f"bytes={STARTS[4]}-{len(DATA) - 1}"]


@engines(*RUNS)
def test_cut_at_60_percent_then_only_the_rest(store: Store, server: SiteServer) -> None:
    sizes = [128 * 1024] * 128
    data = random_bytes(sum(sizes))
    (server.root / "model.gguf").write_bytes(data)
    hashes = [segment.hash or "" for segment in manifest_of(data, sizes).segments]
    segments = [[hash, sizes[0]] for hash in hashes]
    server.cut(PATH, int(len(data) * 0.6))
    run = store("fetchRun", PATH, 0, segments)
    assert (run["error"]["code"], run["retry"]) == ("DownloadError", True)
    assert run["error"]["got"].startswith("a broken connection")
    # what lay in the browser's pipe, not read yet, is lost with the connection: up to 2 MB
    n = len(run["done"])
    assert 0.6 * len(data) - 2**21 <= n * sizes[0] <= 0.6 * len(data)
    assert run["done"] == hashes[:n]
    reload(store)
    assert store("has", hashes) == [i < n for i in range(len(sizes))]
    server.log.clear()
    rest = store("fetchRun", PATH, n * sizes[0], segments[n:])
    assert rest["done"] == hashes[n:]
    assert server.sent(PATH) == len(data) - n * sizes[0]
    assert store.get(hashes[0]) == data[: sizes[0]]
    assert store("has", hashes) == [True] * len(sizes)


@engines(*RUNS)
def test_a_host_without_range(store: Store, server: SiteServer) -> None:
    server.ranges = False
    answer = store.ask("fetchRun", PATH, STARTS[2], SEGMENTS[2:4])
    assert answer["value"]["done"] == HASHES[2:4]
    assert answer["value"]["ranged"] is False
    assert answer["arrived"] == SIZES[2] + SIZES[3], "skipped bytes are no progress"
    assert store.holds() == [i in (2, 3) for i in range(len(SIZES))]


@engines(*RUNS)
def test_hashes_that_are_not_known_are_learnt(store: Store, server: SiteServer) -> None:
    run = store("fetchRun", PATH, 0, [[None, nbytes] for nbytes in SIZES])
    assert run["done"] == HASHES
    assert store.holds() == [True] * len(SIZES)
    same = store("fetchRun", PATH, 0, SEGMENTS[:1], {"etag": run["etag"]})
    assert same["done"] == HASHES[:1]
    (server.root / "model.gguf").write_bytes(DATA + b"!")
    other = store("fetchRun", PATH, 0, SEGMENTS[:1], {"etag": run["etag"]})
    assert (other["done"], other["error"]["code"], other["retry"]) == ([], "DownloadError", False)
    assert other["etag"] not in (None, run["etag"])
    assert other["error"]["need"] == f"the file {run['etag']}"
    assert [r.if_range for r in server.log if r.path == PATH] == [None, run["etag"], run["etag"]]
    assert server.log[-1].status == 200, "the whole new file, not a range of it"


@engines(*RUNS)
def test_answers_that_are_none(store: Store, server: SiteServer) -> None:
    missing = store("fetchRun", "/nope", 0, SEGMENTS[:1])
    assert (missing["error"]["code"], missing["retry"]) == ("DownloadError", False)
    assert missing["error"]["got"] == "HTTP 404"
    beyond = store("fetchRun", PATH, len(DATA), SEGMENTS[:1])
    assert beyond["error"]["got"] == f"HTTP 416 (bytes */{len(DATA)})"
    short = store("fetchRun", PATH, len(DATA) - 5, SEGMENTS[:1])
    shown = f"bytes {len(DATA) - 5}-{len(DATA) - 1}/{len(DATA)}"
    assert short["error"]["got"] == f"content-range: {shown}"
    server.offline = True
    gone = store("fetchRun", PATH, 0, SEGMENTS[:1])
    assert (gone["error"]["code"], gone["retry"]) == ("DownloadError", True)
    assert gone["error"]["got"].startswith("no answer")
    assert store("list") == []


@engines(*RUNS)
def test_a_host_on_another_origin_that_hides_its_headers(store: Store) -> None:
    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        if number == 2:
            return send(handler, 503, access_control_allow_origin="*")
        return send_range(handler, DATA, access_control_allow_origin="*", etag='"1"')

    with host(answer) as (url, asked):
        run = store("fetchRun", url, STARTS[2], SEGMENTS[2:4], {"etag": '"0"'})
        assert (run["done"], run["etag"]) == (HASHES[2:4], None)
        wrong = store("fetchRun", url, STARTS[2] + 1, SEGMENTS[2:3])
        assert wrong["error"]["code"] == "HashMismatchError"
        later = store("fetchRun", url, 0, SEGMENTS[:1])
        assert (later["error"]["got"], later["retry"]) == ("HTTP 503", True)
    assert len(asked) == 3, "a preflight was sent"


@engines(*RUNS)
def test_abort_and_silence(store: Store) -> None:
    over, left = threading.Event(), threading.Semaphore(0)

    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        headers: dict[str, str | int] = {
            "access-control-allow-origin": "*",
            "content_range": f"bytes 0-{len(DATA) - 1}/{len(DATA)}",
            "content_length": len(DATA),
        }
        with contextlib.suppress(ConnectionError):  # either notices that the other side left
            send(handler, 206, DATA[: STARTS[2] + 5], **headers)
            handler.rfile.read(1)
        left.release()
        over.wait()

    with host(answer) as (url, _):
        silent = store("fetchRun", url, 0, SEGMENTS, {"stallMs": 300})
        assert (silent["done"], silent["retry"]) == (HASHES[:2], True)
        assert silent["error"]["got"] == "nothing for 300 ms"
        assert left.acquire(timeout=10), "the silent connection stayed open"
        aborted = store.fails("fetchRun", url, 0, SEGMENTS, {"abortAt": 1})
        assert aborted["name"] == "AbortError"
        assert left.acquire(timeout=10), "the aborted connection stayed open"
        over.set()
    assert store("has", HASHES)[:2] == [True, True]


@engines("chromium")  # no other browser lets a test set the quota of a page
def test_no_room(store: Store, server: SiteServer) -> None:
    browser = store.page.context.new_cdp_session(store.page)
    origin = {"origin": server.url}
    browser.send("Storage.overrideQuotaForOrigin", {**origin, "quotaSize": 30_000})
    run = store("fetchRun", PATH, 0, SEGMENTS)
    assert run["done"] == HASHES[: len(run["done"])]
    error = run["error"]
    assert (error["code"], run["retry"]) == ("QuotaError", False)
    assert int(error["need"].removesuffix(" more bytes")) >= SIZES[len(run["done"])]
    assert store.fails("put", digest(DATA), list(DATA))["code"] == "QuotaError"
    assert store.fails("putText", "plan", "x" * 100_000)["code"] == "QuotaError"
    assert all(store.get(hash) for hash in run["done"])
    browser.send("Storage.overrideQuotaForOrigin", origin)
    at = len(run["done"])
    store("fetchRun", PATH, STARTS[at], SEGMENTS[at:])
    assert store.holds() == [True] * len(SIZES)
