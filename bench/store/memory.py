"""Whether a download's memory is flat: the browser's peak for a file, and for one four times that.

    PYTHONPATH=pyapp:. .venv/bin/python -m bench.store.memory [--browsers A,B]

Memory is what all processes of the browser have for themselves (USS), above what it was when the
page was there, looked at every 50 ms; the median of three downloads' peaks is printed.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median

import psutil

from bench.store.run import WAYS, opened
from e2e.browsers import ROOT
from e2e.server import SiteServer

SEGMENT_NBYTES = 552_960  # the commonest of SmolLM2-135M
COUNTS = (178, 712)  # 98 MB, 394 MB
EVERY_S = 0.05
TIMES = 3


def in_use() -> int:
    """Bytes that the browser's processes have for themselves."""
    total = 0
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if not process.name().startswith(("node", "python")):
                total += process.memory_full_info().uss
    return total


@contextmanager
def watched() -> Iterator[list[int]]:
    """What is in use while in the block."""
    seen, over = list[int](), threading.Event()

    def look() -> None:
        while not over.wait(EVERY_S):
            seen.append(in_use())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def peak(browser: str, way: str, count: int) -> float:
    """MB above the beginning that a download of so many segments takes at most."""
    piece = random.Random(0).randbytes(SEGMENT_NBYTES)
    pieces = [number.to_bytes(4, "little") + piece[4:] for number in range(count)]
    segments = [(hashlib.sha256(each).hexdigest(), len(each)) for each in pieces]
    with tempfile.TemporaryDirectory() as name:
        site = Path(name) / "site"
        site.mkdir()
        for part in ("shims", "bench"):
            (site / part).symlink_to(ROOT / part)
        with (site / "model.gguf").open("wb") as file:
            file.writelines(pieces)
        del pieces
        found = []
        with SiteServer(site) as server, opened(browser, Path(name), server.url) as page:
            before = in_use()
            for _ in range(TIMES):
                with watched() as seen:
                    asked = [way, f"{server.url}/model.gguf", segments]
                    page.evaluate("(asked) => measure(...asked)", asked)
                found.append((max(seen) - before) / 1e6)
    return median(found)


def main() -> None:
    """Prints a line of Markdown for each browser and way."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--browsers", default="chromium,firefox")
    print(
        "| browser | way | "
        + " | ".join(f"{n * SEGMENT_NBYTES / 1e6:.0f} MB" for n in COUNTS)
        + " |"
    )
    print("| --- | --- | --- | --- |")
    for browser in options.parse_args().browsers.split(","):
        for way in WAYS:
            peaks = [f"{peak(browser, way, count):.0f} MB" for count in COUNTS]
            print(f"| {browser} | {way} | " + " | ".join(peaks) + " |", flush=True)


if __name__ == "__main__":
    main()
