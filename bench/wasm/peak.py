"""What Wasm can do at best in this browser on this machine: the roofline of every kernel.

    PYTHONPATH=pyapp:. .venv/bin/python -m bench.wasm.peak [--lines FILE.jsonl]

Compiles peak.c and runs it on one thread and on two, in turn; medians of the rounds. Billions a
second: bytes read from a block that no cache holds and from one that the second cache holds,
multiply-adds in f32 and of bytes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from bench.gpu import browser as server
from bench.wasm.cases import Engine
from bench.wasm.engines import Session, chromium
from bench.wasm.report import counted, number, table

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "build" / "bench" / "wasm"
ROUNDS = 5
THREADS = (1, 2)
TASKS = {
    "GB/s read, 96 MB a thread": {"name": "read", "nbytes": 96 << 20},
    "GB/s read, 256 KB a thread": {"name": "read", "nbytes": 256 << 10},
    "f32 multiply-adds, 1e9/s": {"name": "madd", "nbytes": 16 << 10},
    "8-bit, summed in i16, 1e9/s": {"name": "dot16", "nbytes": 16 << 10},
    "8-bit, summed in i32, 1e9/s": {"name": "dot32", "nbytes": 16 << 10},
}


def compiled() -> None:
    """peak.wasm, where pages find it."""
    OUT.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-freestanding", "-O3",
         "-mcpu=generic+simd128+relaxed_simd+bulk_memory", "-nostdlib", "-ffreestanding",
         "-Wl,--no-entry", "-Wl,--import-memory", "-Wl,--export=__heap_base", "-Wl,--strip-all",
         "-o", OUT / "peak.wasm", Path(__file__).with_suffix(".c")],
        check=True,
    )  # fmt: skip


def measured(path: Path) -> dict[str, dict[int, float]]:
    """Task -> threads -> billions a second."""
    found: dict[str, dict[int, list[float]]] = {
        task: {count: [] for count in THREADS} for task in TASKS
    }
    with (
        server.serving([OUT, ROOT / "bench" / "wasm" / "pages"]) as serving,
        chromium(path) as browser,
    ):
        address = f"http://127.0.0.1:{serving.server_address[1]}"
        with Session(browser, address, ROOT, ROOT) as session:
            pages = {n: session.page(Engine("peak", "peak", {}), n).open() for n in THREADS}
            for number in range(ROUNDS + 1):
                for task, asked in TASKS.items():
                    for count, page in pages.items():
                        rate = page.turn(asked)["rate"]
                        if number:  # the first round warms up
                            found[task][count].append(rate / 1e6)
    return {
        task: {count: statistics.median(rates) for count, rates in row.items()}
        for task, row in found.items()
    }


def main() -> None:
    """Compile, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=Path, help="a file that a JSON line is added to")
    parser.add_argument("--chromium", type=Path,
                        default=Path(shutil.which("chromium") or "/usr/bin/chromium"))  # fmt: skip
    given = parser.parse_args()
    compiled()
    found = measured(given.chromium)
    if given.lines:
        with given.lines.open("a") as lines:
            print(json.dumps({"what": "peak", "rates": found}), file=lines)
    rows = [[task, *(number(rate) for rate in row.values())] for task, row in found.items()]
    print("\n".join(table(["at best", *(counted(n) for n in THREADS)], rows)))


if __name__ == "__main__":
    main()
