"""Models on Edgewise and on ONNX Runtime Web, in turn in one page of one browser.

    PYTHONPATH=pyapp:. python3 -m bench.models.run --out FOLDER [--chromium PATH] [STEP …]

Steps, in this order unless named: facts (and the plans), gpu (both on WebGPU), cpu (native WebNN
where there is one, and Wasm), profile (each dispatch's GPU time). --cases NAME,NAME does some
only; --software is for a machine without a GPU. Each case leaves a JSON line in
FOLDER/models.jsonl; one that fails leaves its reason. Reads .cache/models and
build/bench/peers/ort (see parts.sh), or what --models and --peers name. Needs Python with NumPy
and onnx, and a browser.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench.gpu import browser
from bench.models import compile as plans
from bench.models.cases import CASES, MINILM
from edgewise.targets.webnn.facts import probes

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "bench" / "models" / "pages", ROOT / "bench" / "gpu" / "pages"]
ENOUGH = {"rounds": 8, "runs": 5, "warm": 8}
LARGE = {"minilm-16x128", "detection-640x480"}
SMALL = {"rounds": 3, "runs": 1, "warm": 2}
CPU = {"rounds": 5, "runs": 3, "warm": 4}
REFERENCE = "ort-wasm"  # what the outputs of all engines are compared with


@dataclass(frozen=True, slots=True)
class Bench:
    """Where everything is, and how much to do."""

    out: Path
    models: Path
    peers: Path
    chromium: Path
    software: bool
    threads: int
    cases: list[str]
    deadline: float
    lines: Path
    peer: str

    def page(
        self, query: dict[str, object], timeout_s: float, *, cpu: bool = False
    ) -> dict[str, Any]:
        """What the page reports; `cpu` in a browser that needs no GPU.

        Raises browser.Failed, also when the time is up.
        """
        left = self.deadline - time.monotonic()
        if left < 5:
            raise browser.Failed("no time left")
        asked = "&".join(f"{key}={quote(str(value))}" for key, value in query.items())
        return browser.report(
            f"models.html?{asked}",
            [*PAGES, self.out, self.peers, self.models, plans.DATA, ROOT],
            chromium=self.chromium,
            software=self.software or cpu,
            timeout_s=min(left, timeout_s * (4 if self.software else 1)),
            log=self.out / "browser.log",
            webnn=cpu,
        )

    @property
    def small(self) -> list[str]:
        """The cases that WebGPU runs in a bearable time."""
        return [name for name in self.cases if not (self.software and name in LARGE)]

    def told(self, name: str) -> dict[str, Any]:
        """What was compiled for a case."""
        row: dict[str, Any] = json.loads((self.out / f"{name}.json").read_text())
        return row


def facts(bench: Bench) -> Iterator[dict[str, Any]]:
    """What the browser has; then the plans for it."""
    found = bench.page({"facts": "webgpu"}, 60)
    native = bench.page({"facts": "webnn", "probes": probes()}, 60, cpu=True)["webnn"]
    yield {"what": "facts", **found, "webnn": native and native["browser"]}
    found["webnn"] = native
    (bench.out / "facts.json").write_text(json.dumps(found))
    for row in plans.compile_all(found, bench.out, bench.models, bench.cases):
        kept = {
            engine: {k: v for k, v in plan.items() if k not in ("weights", "inputs", "outputs")}
            for engine, plan in row["plans"].items()
        }
        yield {"what": "plans", "case": row["case"], "plans": kept}


def compare(
    bench: Bench, what: str, cases: list[str], engines: Sequence[str], counts: dict[str, int]
) -> Iterator[Any]:
    """Each case on these engines in turn; the last is what they are compared with."""
    for name in cases:
        told = bench.told(name)["plans"]
        known = [e for e in engines if not e.startswith("edgewise") or e in told]
        query = {"case": name, "engines": ",".join(known), "reference": REFERENCE,
                 "threads": bench.threads, **counts}  # fmt: skip
        try:
            yield {
                "what": what,
                "threads": bench.threads,
                **bench.page(query, 90, cpu=what == "cpu"),
            }
        except browser.Failed as error:
            yield {"what": what, "case": name, "error": str(error)[-1500:]}


def gpu(bench: Bench) -> Iterator[dict[str, Any]]:
    """Both on WebGPU."""
    ours = ["edgewise-webgpu", "edgewise-webgpu-safetensors"]
    counts = SMALL if bench.software else ENOUGH
    yield from compare(bench, "gpu", bench.small, [*ours, *bench.peer.split(",")], counts)


def cpu(bench: Bench) -> Iterator[dict[str, Any]]:
    """Native WebNN on the CPU, and Wasm."""
    ours = ["edgewise-webnn", "edgewise-webnn-safetensors"]
    yield from compare(bench, "cpu", bench.cases, [*ours, "ort-webnn", "ort-wasm"], CPU)


def profile(bench: Bench) -> Iterator[dict[str, Any]]:
    """Each dispatch's time."""
    for name in bench.small:
        row = CASES[name]
        both = ["edgewise-webgpu-safetensors"] if MINILM in row.files.values() else []
        for engine in ["edgewise-webgpu", *both]:
            counts = {"runs": 1, "repeats": 1} if bench.software else {"runs": 5, "repeats": 8}
            query = {"case": name, "engines": engine, "profile": 1, **counts}
            try:
                yield {"what": "profile", **bench.page(query, 60)}
            except browser.Failed as error:
                yield {
                    "what": "profile",
                    "case": name,
                    "engine": engine,
                    "error": str(error)[-1500:],
                }


STEPS: dict[str, Callable[[Bench], Iterator[dict[str, Any]]]] = {
    "facts": facts,
    "gpu": gpu,
    "cpu": cpu,
    "profile": profile,
}


def run(bench: Bench, steps: list[str]) -> int:
    """How many rows tell of a failure."""
    failed = 0
    with bench.lines.open("a") as lines:
        for step in steps:
            start = time.monotonic()
            for row in STEPS[step](bench):
                print(json.dumps(row), file=lines, flush=True)
                failed += "error" in row or bool(row.get("failed"))
                print(f"{step} {time.monotonic() - start:.0f} s: {brief(row)}", flush=True)
    return failed


def brief(row: dict[str, Any]) -> str:
    """A line about a row."""
    if "engines" in row:
        found = [
            f"{e['engine']} {e['ms']['median']} ms ({e['ratios']['median']}x)"
            for e in row["engines"]
        ]
        apart = [
            f"{e['engine']} {name} off by {d['max_abs']} of {d['largest']:.2g}"
            for e in row["engines"]
            for name, d in e["difference"].items()
        ]
        return f"{row['case']}: {'; '.join(found)}; {', '.join(apart)}; {row['failed'] or ''}"
    if "steps" in row:
        top = [
            f"{s['kernel']} {s['origin']} {s['groups']} {s['repeated_us']} us" for s in row["steps"]
        ]
        return f"{row['case']} {row['engine']}: {row['run_ms']['median']} ms;\n  " + "\n  ".join(
            top[:12]
        )
    return json.dumps(row)[:600]


def arguments() -> tuple[Bench, list[str]]:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("steps", nargs="*", help=", ".join(STEPS))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", type=Path, default=plans.MODELS)
    parser.add_argument("--peers", type=Path, default=ROOT / "build" / "bench" / "peers")
    parser.add_argument("--chromium", type=Path, default=Path("/usr/bin/chromium"))
    parser.add_argument("--software", action="store_true", help="WebGPU on the CPU, tiny counts")
    parser.add_argument("--threads", type=int, default=4, help="of the peer's Wasm")
    parser.add_argument("--cases", help="names, with commas")
    parser.add_argument("--lines", type=Path, help="the file for the JSON lines")
    parser.add_argument("--peer", default="ort-webgpu", help="engines beside ours on WebGPU")
    parser.add_argument("--seconds", type=float, default=450, help="for all steps together")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    cases = given.cases.split(",") if given.cases else list(CASES)
    bench = Bench(given.out, given.models, given.peers, given.chromium, given.software,
                  given.threads, cases, time.monotonic() + given.seconds,
                  given.lines or given.out / "models.jsonl", given.peer)  # fmt: skip
    return bench, given.steps or list(STEPS)


if __name__ == "__main__":
    sys.exit(1 if run(*arguments()) else 0)
