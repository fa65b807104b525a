"""What is fetched ahead is fetched once, and files in the store are read by byte range."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import threading
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
        for name in ("store", "prefetch", "file", "locks", "told")
    )
    return page.evaluate(f"async (argument) => {{ {imports} {body} }}", argument)


def ranges(model: SiteServer) -> list[tuple[int, int]]:
    """Bytes of the file that were asked for, as [start, end), in order of place."""
    asked = [r.range for r in model.log if r.path == "/m.gguf" and r.range]
    pairs = (text.removeprefix("bytes=").split("-") for text in asked)
    return sorted((int(start), int(end) + 1) for start, end in pairs)


@engines("chromium", "firefox_no_gpu")
def test_each_byte_once(page: Page, model: SiteServer) -> None:
    """It holds the file's lock meanwhile, tells how much is left, and leaves what is there."""
    body = """
        await store.put(argument.hashes[4], new Uint8Array(argument.stored));
        const told_left = [];
        const name = "download " + location.origin + "/m.gguf";
        const deaf = told.hear(name, (text) => told_left.push(Number(text)));
        const free = async (wait) => {
            const end = new AbortController();
            const { held, over } = await locks.hold(name, false, wait, end.signal);
            end.abort();
            await over;
            return held;
        };
        const over = prefetch.start(location.origin + "/m.json");
        while (await free(false)) await new Promise((go) => setTimeout(go));
        await free(true);
        const there = await store.has(argument.hashes);
        await over;
        deaf();
        return [told_left, there];"""
    stored = WHOLE[STARTS[4] : STARTS[5]]
    argument = {"hashes": [hash for hash, _ in SEGMENTS], "stored": list(stored)}
    model.hold("/m.gguf", 1001)
    over = threading.Timer(1.0, model.release)  # so that the lock is seen to be held
    over.start()
    left, there = call(page, model, body, argument)
    assert there == [False] + [True] * 8
    assert left
    assert left == sorted(left, reverse=True)
    assert 0 <= left[-1] <= left[0] < len(WHOLE) - len(stored)
    covered = ranges(model)
    assert covered[0][0] == 1000
    assert covered[-1][1] == len(WHOLE)
    gaps = [(a[1], b[0]) for a, b in pairwise(covered) if a[1] != b[0]]
    assert gaps == [(STARTS[4], STARTS[5])]


@engines("chromium")
def test_no_manifest(page: Page, model: SiteServer) -> None:
    body = """
        await prefetch.start(location.origin + "/none.json");
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
