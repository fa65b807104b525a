"""Measures Edgewise and its peers in headless Chromium on this machine's GPU.

    PYTHONPATH=pyapp python3 -m bench.gpu.run --out FOLDER [--chromium PATH] [--software] [STEP …]

Steps, in this order unless named: facts, edgewise, answer, python, wllama, ort; `best` is a part
of edgewise. Each leaves FOLDER/STEP.json (some one for each variant) and a line; one that fails
leaves its reason and the others go on. Reads build/site, build/bench/inputs (prompts.json: see
prompts.py) and build/bench/peers (wllama/, ort/, onnx/: see parts.sh), or what --site, --inputs and
--peers name. Needs Python 3.11 and a browser, nothing else.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.gpu import browser
from bench.gpu import compile as plans

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ENOUGH = {"runs": 5, "tokens": 128}
SMALL = {"runs": 1, "tokens": 8, "answers": 1, "small": 1}


@dataclass(frozen=True, slots=True)
class Bench:
    """Where everything is, and how much to do."""

    out: Path
    site: Path
    inputs: Path
    peers: Path
    chromium: Path
    software: bool
    deadline: float
    all: Path

    @property
    def counts(self) -> dict[str, int]:
        """How often and how long; few on a CPU."""
        return SMALL if self.software else ENOUGH

    @property
    def manifest(self) -> Path:
        """The packed model that is measured."""
        return next((self.site / "models").glob("*.manifest.json"))

    @property
    def model(self) -> str:
        """The name of its file."""
        return str(json.loads(self.manifest.read_text())["file"]["url"])

    def page(self, name: str, query: dict[str, object], timeout_s: float) -> dict[str, Any]:
        """What a page reports. Raises browser.Failed, also when the time is up."""
        left = self.deadline - time.monotonic()
        if left < 10:
            raise browser.Failed("no time left")
        address = f"{name}.html?" + "&".join(f"{key}={value}" for key, value in query.items())
        data = ROOT / "tests" / "data"
        whole = [] if name in ("answer", "python") else [ROOT]
        return browser.report(
            address,
            # shims/ are the checkout's, as the compiler is, except where the whole site is measured
            [HERE / "pages", self.inputs, self.peers, self.out, *whole, self.site, data],
            chromium=self.chromium,
            software=self.software,
            timeout_s=min(left, timeout_s * (4 if self.software else 1)),
            log=self.out / f"{name}.log",
        )


def facts(bench: Bench) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the device is and what its parts cost; then the plans for it."""
    found = bench.page("facts", {"small": 1} if bench.software else {}, 60)
    yield "facts", found
    (bench.out / "device.json").write_text(json.dumps(found["facts"]))
    rows = plans.compile_all(found["facts"], bench.manifest, bench.out / "plans")
    yield "plans", {"plans": rows}


def edgewise(bench: Bench) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every plan without Python. Only the best one gets all of it on a slow device."""
    rows = json.loads((bench.out / "plans" / "plans.json").read_text())
    for row in rows[-1:] if bench.software else rows:
        query = {"plan": row["name"], "model": bench.model, **bench.counts}
        yield f"edgewise-{row['name']}", bench.page("edgewise", query, 150)


def best(bench: Bench) -> Iterator[tuple[str, dict[str, Any]]]:
    """The best plan again, next to a peer that was measured in another call."""
    rows = json.loads((bench.out / "plans" / "plans.json").read_text())
    query = {"plan": rows[0]["name"], "model": bench.model, **bench.counts}
    yield "best", bench.page("edgewise", query, 150)


def answer(bench: Bench) -> Iterator[tuple[str, dict[str, Any]]]:
    """The real page answers what is typed into it."""
    yield "answer", bench.page("answer", dict(bench.counts), 90)


def python(bench: Bench) -> Iterator[tuple[str, dict[str, Any]]]:
    """The task API in Pyodide."""
    yield "python", bench.page("python", dict(bench.counts), 90)


def wllama(bench: Bench) -> Iterator[tuple[str, dict[str, Any]]]:
    """The peer on llama.cpp."""
    yield "wllama", bench.page("wllama", {"model": bench.model, **bench.counts}, 150)


def ort(bench: Bench) -> Iterator[tuple[str, dict[str, Any]]]:
    """The peer on ONNX Runtime."""
    half = [] if bench.software else [("jspi", "f16")]
    for build, sort in [("jspi", "f32"), ("webgpu", "f32"), *half]:
        query = {"build": build, "precision": sort, **bench.counts}
        yield f"ort-{build}-{sort}", bench.page("ort", query, 100)


#: `best` only where it is named.
STEPS: dict[str, Callable[[Bench], Iterator[tuple[str, dict[str, Any]]]]] = {
    "facts": facts,
    "edgewise": edgewise,
    "answer": answer,
    "python": python,
    "wllama": wllama,
    "ort": ort,
    "best": best,
}


def run(bench: Bench, steps: list[str]) -> int:
    """How many steps failed."""
    failed = 0
    everything: dict[str, Any] = {}
    for step in steps:
        start = time.monotonic()
        results = STEPS[step](bench)
        while True:
            try:
                name, result = next(results)
            except StopIteration:
                break
            except Exception as error:  # noqa: BLE001  the next step may work
                failed += 1
                print(f"{step} FAILED: {type(error).__name__}: {error}", flush=True)
                (bench.out / f"{step}.failed").write_text(str(error))
                break
            (bench.out / f"{name}.json").write_text(json.dumps(result, indent=1))
            everything[name] = result
            bench.all.write_text(json.dumps(everything, indent=1))
            taken = time.monotonic() - start
            print(f"{name} after {taken:.1f} s: {json.dumps(result)[:700]}", flush=True)
    return failed


def arguments() -> tuple[Bench, list[str]]:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("steps", nargs="*", help=", ".join(STEPS))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--site", type=Path, default=ROOT / "build" / "site")
    parser.add_argument("--inputs", type=Path, default=ROOT / "build" / "bench" / "inputs")
    parser.add_argument("--peers", type=Path, default=ROOT / "build" / "bench" / "peers")
    parser.add_argument("--chromium", type=Path, default=Path("/usr/bin/chromium"))
    parser.add_argument("--software", action="store_true", help="WebGPU on the CPU, tiny counts")
    parser.add_argument("--all", type=Path, help="one file with all results of this run")
    parser.add_argument("--seconds", type=float, default=450, help="for all steps together")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    bench = Bench(given.out, given.site, given.inputs, given.peers, given.chromium,
                  given.software, time.monotonic() + given.seconds,
                  given.all or given.out / "all.json")  # fmt: skip
    return bench, given.steps or [name for name in STEPS if name != "best"]


if __name__ == "__main__":
    sys.exit(1 if run(*arguments()) else 0)
