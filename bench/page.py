"""What the page costs in Chromium here: bytes, time until it is ready and answers, memory.

    PYTHONPATH=pyapp:. .venv/bin/python bench/page.py [--visits N] [--out FILE]

After `make site`. A cold visit is one in a fresh profile, a warm one the next in the same profile
and a new browser. The site is served as `edgewise serve` serves it, without a model of its own.
WebGPU runs on the CPU here: what waits for a kernel is slow, what waits for Python, the network
or the store is not. One JSON line a measurement goes to FILE (build/bench/page.jsonl), a table to
the terminal.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import BrowserContext, Page, sync_playwright
from starlette.applications import Starlette
from starlette.routing import Mount

from bench.gpu import browser
from e2e.browsers import SWIFTSHADER
from e2e.server import serve_asgi
from edgewise.server.static import Isolated, Site

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "build" / "site"
CHROMIUM = Path(shutil.which("chromium") or "/usr/bin/chromium")
FLAGS = [
    *SWIFTSHADER,
    "--enable-features=Vulkan",
    # performance.measureUserAgentSpecificMemory answers at once
    "--enable-blink-features=ForceEagerMeasureMemory",
]
WAIT_MS = 300_000
SAMPLE_S = 0.1
PORT = 8917  # two visits with one profile need one address

#: Notes when things first hold, in milliseconds since navigation.
WATCH = """
window.marks = {};
const look = () => {
  const now = performance.now(), mark = (name, found) => { if (found) marks[name] ??= now; };
  const text = (id) => document.querySelector(id)?.textContent ?? "";
  mark("can_type", document.querySelector("#question"));
  mark("python_runs", !/Looking at/.test(text("#device-summary")) && text("#device-summary"));
  mark("ready", /^Ready/.test(text("#status")));
  mark("first_token", text("#echo-1 [data-part=text]"));
  requestAnimationFrame(look);
};
look();
"""
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
BROTLI = """
const zlib = require("zlib"), fs = require("fs");
const best = {params: {[zlib.constants.BROTLI_PARAM_QUALITY]: 9}};
console.log(JSON.stringify(process.argv.slice(1).map((f) => {
  const bytes = fs.readFileSync(f);
  return [bytes.length, Math.min(bytes.length, zlib.brotliCompressSync(bytes, best).length)];
})));
"""


def wire() -> dict[str, Any]:
    """Bytes of a first visit without weights, as they are and with brotli."""
    index = json.loads((SITE / "build.json").read_text())
    late = {"service-worker.js"}
    names = ["build.json", *(f["path"] for f in index["files"] if f["path"] not in late)]
    names += [path.relative_to(SITE).as_posix() for path in SITE.glob("models/*.json")]
    made = subprocess.run(
        ["node", "-e", BROTLI, *(str(SITE / name) for name in names)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    sizes = dict(zip(names, json.loads(made.stdout), strict=True))
    largest = sorted(sizes.items(), key=lambda item: -item[1][1])[:6]
    return {
        "what": "wire",
        "nbytes": sum(raw for raw, _ in sizes.values()),
        "brotli_nbytes": sum(small for _, small in sizes.values()),
        "largest": {name: small for name, (_, small) in largest},
    }


@contextmanager
def site() -> Iterator[str]:
    """The address of the built site."""
    app = Starlette(routes=[Mount("/", Isolated(Site(directory=SITE, html=True)))])
    with serve_asgi(app) as address:
        yield address


@contextmanager
def profile(folder: str) -> Iterator[BrowserContext]:
    """A browser with this profile."""
    with sync_playwright() as driver:
        context = driver.chromium.launch_persistent_context(
            folder, executable_path=CHROMIUM, args=FLAGS
        )
        context.set_default_timeout(WAIT_MS)
        yield context
        context.close()


def visit(
    address: str, folder: str, during: Callable[[Page], None] | None = None
) -> dict[str, Any]:
    """Open the page with a question typed at once, until its first token."""
    received: dict[str, int] = {"weights": 0, "other": 0}
    with profile(folder) as context:
        page = context.new_page()
        page.add_init_script(WATCH)

        def count(response: Any) -> None:
            kind = "weights" if response.url.endswith(".gguf") else "other"
            received[kind] += int(response.headers.get("content-length", 0))

        page.on("response", count)
        page.goto(f"{address}/?policy=local&tokens=2", wait_until="commit")
        page.locator("#question").fill("Why is the sky blue?")
        page.keyboard.press("Enter")
        if during:
            during(page)
        wait(page, "first_token")
        marks = page.evaluate("window.marks")
        marks["first_paint"] = page.evaluate(PAINT)
    return {"marks": {name: round(ms) for name, ms in marks.items()}, "received": received}


def seen(page: Page, mark: str) -> bool:
    """Whether the page got there."""
    return bool(page.evaluate(f"Boolean(window.marks.{mark})"))


def wait(page: Page, mark: str) -> None:
    """Until the page gets there. Its content policy forbids Playwright's own way to wait."""
    end = time.monotonic() + WAIT_MS / 1e3
    while not seen(page, mark):
        if time.monotonic() > end:
            raise TimeoutError(f"no {mark}; the page shows: {page.inner_text('body')[:800]}")
        time.sleep(SAMPLE_S)


def renderers() -> list[psutil.Process]:
    """Chromium's page processes that this one started."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "--type=renderer" in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


class Memory:
    """The page's renderer process, sampled while the block runs: bytes that are its own alone."""

    def __init__(self) -> None:
        self.peak = 0
        self.samples: list[tuple[int, int]] = []  # ms since the start, bytes
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        start = time.monotonic()
        while not self._stop.wait(SAMPLE_S):
            # the page's process is the largest; the others are spare
            own = max(
                (nbytes for process in renderers() if (nbytes := private(process))), default=0
            )
            self.samples.append((round(1e3 * (time.monotonic() - start)), own))
            self.peak = max(self.peak, own)


def private(process: psutil.Process) -> int:
    """Bytes of memory that are this process's alone; 0 when it is gone."""
    try:
        return int(process.memory_full_info().uss)
    except psutil.Error:
        return 0


def memory(address: str) -> dict[str, Any]:
    """Peaks of a cold visit: what the browser counts for the worker, and the whole process."""
    worker: dict[str, int] = {}
    peak = 0

    def watch(page: Page) -> None:
        nonlocal peak, worker
        while not seen(page, "ready"):
            found = page.evaluate("performance.measureUserAgentSpecificMemory()")
            mine = {
                "/".join(entry["types"]) or "other": entry["bytes"]
                for entry in found["breakdown"]
                if any("Worker" in a["scope"] for a in entry["attribution"])
            }
            if sum(mine.values()) > peak:
                peak, worker = sum(mine.values()), mine
            time.sleep(SAMPLE_S)

    with tempfile.TemporaryDirectory() as folder:
        with Memory() as cold:
            marks = visit(address, folder)["marks"]
        with Memory() as warm:
            visit(address, folder)
    with tempfile.TemporaryDirectory() as folder:
        visit(address, folder, watch)
    with tempfile.TemporaryDirectory() as folder, Memory() as base, profile(folder) as context:
        page = context.new_page()
        page.add_init_script(WATCH)
        page.goto(f"{address}/?policy=server&server={address}")
        wait(page, "python_runs")
    return {
        "what": "memory",
        "worker_peak_nbytes": peak,
        "worker_at_peak": worker,
        "process_peak_nbytes": {"cold": cold.peak, "warm": warm.peak, "no_model": base.peak},
        "marks": marks,
        "samples": cold.samples,
    }


def python(folder: Path) -> dict[str, Any]:
    """The task API in Pyodide: what the plan costs, Python's share of a token, and its heap."""
    inside = ROOT / "bench" / "gpu" / "pages"
    with tempfile.NamedTemporaryFile(suffix=".log") as log:
        return browser.report(
            "python.html?tokens=8&answers=1&prefetch=1",
            [inside, SITE],
            chromium=CHROMIUM,
            software=True,
            timeout_s=WAIT_MS / 1e3,
            log=Path(log.name),
            profile=folder,
            port=PORT,
        )


def measure(visits: int) -> Iterator[dict[str, Any]]:
    """Every measurement as a row."""
    yield wire()
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("first", "second"):
            yield {"what": "python", "visit": kind, **python(Path(folder))}
    with site() as address:
        yield memory(address)
        for _ in range(visits):
            with tempfile.TemporaryDirectory() as folder:
                for kind in ("cold", "warm"):
                    yield {"what": "visit", "visit": kind, **visit(address, folder)}


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown; times are medians."""
    lines = ["| from navigation (ms) | cold | warm |", "| --- | --- | --- |"]
    visits = {
        kind: [row["marks"] for row in rows if row["what"] == "visit" and row["visit"] == kind]
        for kind in ("cold", "warm")
    }
    for mark in ("first_paint", "can_type", "python_runs", "ready", "first_token"):
        cells = [
            f"{statistics.median(marks.get(mark, 0) for marks in visits[kind]):,.0f}"
            for kind in visits
            if visits[kind]
        ]
        lines.append(f"| {mark.replace('_', ' ')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--visits", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench" / "page.jsonl")
    given = parser.parse_args()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    rows = []
    with given.out.open("w") as out:
        for row in measure(given.visits):
            row["load_average"] = os.getloadavg()[0]  # what else this machine was doing
            print(json.dumps(row)[:1500], flush=True)
            print(json.dumps(row), file=out, flush=True)
            rows.append(row)
    print(table(rows))


if __name__ == "__main__":
    main()
