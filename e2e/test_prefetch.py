"""What is fetched ahead is fetched once, and files in the store are read by byte range."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from e2e.browsers import ROOT, engines
from e2e.server import SiteServer

LENGTHS = [1000, 7, 5000, 1, 300_000, 64, 64, 200_000, 33]
WHOLE = random.Random(7).randbytes(sum(LENGTHS))
STARTS = list(accumulate(LENGTHS[:-1], initial=0))
SEGMENTS = [
    [hashlib.sha256(WHOLE[at : at + n]).hexdigest(), n]
    for at, n in zip(STARTS, LENGTHS, strict=True)
]


@pytest.fixture
def model(site_server: Callable[[Path], SiteServer], tmp_path: Path) -> SiteServer:
    """A host with the shims and a small file, its first segment being the header."""
    shutil.copytree(ROOT / "shims", tmp_path / "shims")
    (tmp_path / "m.gguf").write_bytes(WHOLE)
    (tmp_path / "blank.txt").write_text("")
    tensors = {f"t{at}": {"offset": at, "nbytes": n}
               for at, n in zip(STARTS[1:], LENGTHS[1:], strict=True)}  # fmt: skip
    manifest = {"file": {"url": "m.gguf", "nbytes": len(WHOLE)}, "segments": SEGMENTS,
                "tensors": tensors}  # fmt: skip
    (tmp_path / "m.json").write_text(json.dumps(manifest))
    return site_server(tmp_path)


def call(page: Page, model: SiteServer, body: str, argument: object) -> Any:
    page.goto(f"{model.url}/blank.txt")
    imports = "".join(
        f"const {name} = await import('/shims/{name}.js');"
        for name in ("store", "prefetch", "file")
    )
    return page.evaluate(f"async (argument) => {{ {imports} {body} }}", argument)


def ranges(model: SiteServer) -> list[tuple[int, int]]:
    """Bytes of the file that were asked for, as [start, end), in order of place."""
    asked = [r.range for r in model.log if r.path == "/m.gguf" and r.range]
    pairs = (text.removeprefix("bytes=").split("-") for text in asked)
    return sorted((int(start), int(end) + 1) for start, end in pairs)


@engines("chromium", "firefox_no_gpu")
def test_each_byte_once(page: Page, model: SiteServer) -> None:
    """Whoever waits for a range is told of its bytes, and finds its segments stored."""
    body = """
        await store.put(argument.hashes[4], new Uint8Array(argument.stored));
        prefetch.start(location.origin + "/m.json");
        const told = {};
        const signal = new AbortController().signal;
        const wait = async (name, url, at, n) => {
            told[name] = 0;
            const count = (more) => (told[name] += more);
            await prefetch.wait(location.origin + url, at, n, count, signal);
        };
        await Promise.all([
            wait("small", "/m.gguf", 1000, 7), wait("all", "/m.gguf", 1000, argument.total - 1000),
            wait("header", "/m.gguf", 0, 1000), wait("other", "/other.gguf", 1000, 7),
        ]);
        return [told, await store.has(argument.hashes)];"""
    stored = WHOLE[STARTS[4] : STARTS[5]]
    argument = {"hashes": [hash for hash, _ in SEGMENTS], "stored": list(stored),
                "total": len(WHOLE)}  # fmt: skip
    told, there = call(page, model, body, argument)
    assert there == [False] + [True] * 8
    assert told == {"small": 7, "all": len(WHOLE) - 1000 - len(stored), "header": 0, "other": 0}
    covered = ranges(model)
    assert covered[0][0] == 1000
    assert covered[-1][1] == len(WHOLE)
    gaps = [(a[1], b[0]) for a, b in pairwise(covered) if a[1] != b[0]]
    assert gaps == [(STARTS[4], STARTS[5])]


@engines("chromium", "firefox_no_gpu")
def test_a_wait_can_be_given_up(page: Page, model: SiteServer) -> None:
    body = """
        prefetch.start(location.origin + "/m.json");
        const stop = new AbortController();
        const url = location.origin + "/m.gguf";
        const waiting = prefetch.wait(url, 1000, 7000, () => {}, stop.signal);
        stop.abort("enough");
        return waiting.then(() => "done", (reason) => reason);"""
    assert call(page, model, body, None) == "enough"


@engines("chromium")
def test_no_manifest(page: Page, model: SiteServer) -> None:
    body = """
        prefetch.start(location.origin + "/none.json");
        const { signal } = new AbortController();
        await prefetch.wait(location.origin + "/m.gguf", 0, 9, () => {}, signal);
        return store.list();"""
    assert call(page, model, body, None) == []


@engines("chromium", "firefox_no_gpu")
def test_reader(page: Page, model: SiteServer) -> None:
    rng = random.Random(11)
    cuts = [sorted(rng.sample(range(len(WHOLE) + 1), 2)) for _ in range(30)]
    cuts += [[0, len(WHOLE)], [0, 1000], [999, 1001], [6007, 6008]]
    body = """
        const whole = new Uint8Array(await (await fetch("/m.gguf")).arrayBuffer());
        let at = 0;
        for (const [hash, n] of argument.segments) {
            await store.put(hash, whole.slice(at, (at += n)));
        }
        const tail = new Uint8Array([1, 2, 3, 4, 5]);
        const read = file.reader(JSON.stringify(argument.segments), tail);
        const same = async ([start, end]) => {
            const bytes = await read(start, end - start);
            const right = bytes.every((byte, i) => byte === whole[start + i]);
            return right && bytes.length === end - start;
        };
        const results = [];
        for (const cut of argument.cuts) results.push(await same(cut));
        const tails = [];
        for (const [start, n] of [[whole.length - 2, 4], [whole.length + 1, 3]]) {
            tails.push(Array.from(await read(start, n)));
        }
        await store.remove(argument.segments[4][0]);
        const gone = await read(7000, 10).catch((error) => error);
        return [results, tails, gone.code, gone.need];"""
    results, tails, code, need = call(page, model, body, {"segments": SEGMENTS, "cuts": cuts})
    assert [cut for cut, same in zip(cuts, results, strict=True) if not same] == []
    assert tails == [[*WHOLE[-2:], 1, 2], [2, 3, 4]]
    assert (code, need) == ("HashMismatchError", SEGMENTS[4][0])
