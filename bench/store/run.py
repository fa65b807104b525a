"""What verifying and storing by hash costs a download: against plain `fetch` and `cache.put`.

    PYTHONPATH=pyapp:. .venv/bin/python -m bench.store.run [--rounds N] [--browsers A,B]

The model's file comes from this machine to a page without Python, in rounds in which both ways
take turns. Profiles are on the disk: what a browser keeps in memory alone is stored otherwise.
Printed are the least of each and the median of the rounds' ratios; a shared machine shows in
their difference. Needs build/models (`make serve` once).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from playwright.sync_api import Page, sync_playwright

from e2e.browsers import ENGINES, ROOT
from e2e.server import SiteServer

MODEL = ROOT / "build" / "models" / "smollm2-135m-instruct.manifest.json"
WAYS = ("plain", "edgewise")


@contextmanager
def opened(browser: str, folder: Path, url: str) -> Iterator[Page]:
    """The page in a browser whose profile is on the disk."""
    with sync_playwright() as driver:
        if browser == "chromium":  # its other contexts keep everything in memory
            context = driver.chromium.launch_persistent_context(
                folder / "profile", executable_path="/usr/bin/chromium", args=["--no-sandbox"]
            )
        else:
            context = ENGINES[browser].launch(driver).new_context()
        page = context.new_page()
        page.goto(f"{url}/bench/store/pages/throughput.html")
        page.wait_for_selector("html[data-ready]", state="attached")
        yield page
        (context.browser or context).close()


def measure(browser: str, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each way, a number a round; the first round warms up and is left out."""
    manifest = json.loads(MODEL.read_text())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        site = folder / "site"
        site.mkdir()
        for part in ("shims", "bench"):
            (site / part).symlink_to(ROOT / part)
        (site / "model.gguf").symlink_to((MODEL.parent / manifest["file"]["url"]).resolve())
        with SiteServer(site) as server, opened(browser, folder, server.url) as page:
            found: dict[str, list[float]] = {way: [] for way in WAYS}
            for _ in range(rounds + 1):
                for way in WAYS:
                    asked = [way, f"{server.url}/model.gguf", manifest["segments"]]
                    found[way].append(page.evaluate("(asked) => measure(...asked)", asked))
    return {way: times[1:] for way, times in found.items()}


def main() -> None:
    """Measures and prints a line of Markdown for each browser."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--rounds", type=int, default=8)
    options.add_argument("--browsers", default="chromium,firefox")
    asked = options.parse_args()
    print("| browser | plain, ms | verified, ms | least to least | median of ratios |")
    print("| --- | --- | --- | --- | --- |")
    for browser in asked.browsers.split(","):
        times = measure(browser, asked.rounds)
        plain, ours = times["plain"], times["edgewise"]
        ratio = median(a / b for a, b in zip(plain, ours, strict=True))
        print(f"| {browser} | {min(plain):.0f} | {min(ours):.0f} "
              f"| {min(plain) / min(ours):.2f} | {ratio:.2f} |")  # fmt: skip


if __name__ == "__main__":
    main()
