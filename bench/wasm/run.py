"""Edgewise on Wasm and its peers, in turn in one browser on one machine.

    make bench                                 everything, from nothing: about an hour
    PYTHONPATH=pyapp:. .venv/bin/python -m bench.wasm.run [SUITE …] [--threads 1,2] [--rounds N]

Suites are those of cases.py (`--list`), also by the beginning of their names. Each engine has a
page of its own, loaded and warm; then the engines take turns of a few seconds, Edgewise between
every two of them. Absolute times of a shared machine drift; a ratio is formed with the turns of
Edgewise just before and after. Needs what peers.py sets up. Every turn is a JSON line in
build/bench/wasm.jsonl (--lines), which report.py reads.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from playwright.sync_api import Error

from bench.gpu import browser as server
from bench.wasm import plans, report
from bench.wasm.cases import LLM, OURS, SUITES, Engine, Suite, told
from bench.wasm.engines import SOFTWARE_GPU, Running, Session, chromium
from bench.wasm.machine import Load
from tools import build_wasm

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / ".cache" / "peers"
MODELS = ROOT / ".cache" / "models"
OUT = ROOT / "build" / "bench" / "wasm"
BETWEEN = 2  # peers that take their turns between two of ours


@dataclass(frozen=True, slots=True)
class Bench:
    """Where everything is, and how much to do.

    engines  parts of names; those that contain one take part, and Edgewise
    """

    suites: list[Suite]
    threads: list[int]
    rounds: int
    engines: list[str]
    shim: str
    chromium: Path
    lines: Path


def order(engines: Sequence[str]) -> list[str]:
    """One round: Edgewise first, last and between every two others, where it is there.

    ["edgewise", "a", "b", "c"] -> ["edgewise", "a", "b", "edgewise", "c", "edgewise"]
    """
    peers = [name for name in engines if name != OURS]
    if len(peers) == len(engines):
        return peers
    turns = [OURS]
    for at in range(0, len(peers), BETWEEN):
        turns += [*peers[at : at + BETWEEN], OURS]
    return turns


def started(session: Session, suite: Suite, bench: Bench, threads: int) -> dict[str, Running]:
    """The engines that load; of the others the reason is printed."""
    running: dict[str, Running] = {}
    for engine in suite.engines:
        mine = engine.name == OURS
        if not mine and not any(part in engine.name for part in bench.engines or [""]):
            continue
        try:
            asked = ours(suite, bench, threads) if mine else engine
            running[engine.name] = session.start(asked, threads)
            about = json.dumps(running[engine.name].about)
            print(f"  {engine.name}: {about}", flush=True)
        except (Error, RuntimeError, OSError) as error:
            print(f"  {engine.name} does not run: {str(error)[:600]}", flush=True)
    return running


def ours(suite: Suite, bench: Bench, threads: int) -> Engine:
    """Edgewise through the shim that is asked for, with the plan for so many threads."""
    return Engine(OURS, "edgewise", {"told": told(suite.name, threads), "shim": bench.shim})


def wanted(engine: Engine, name: str, task: Mapping[str, Any]) -> dict[str, Any] | None:
    """A task as this engine does it; None where it takes too long."""
    if name == "512" and not engine.long:
        return None
    if "tokens" in task:
        return {**task, "tokens": min(task["tokens"], engine.tokens)}
    return dict(task)


def rounds(suite: Suite, running: Mapping[str, Running], bench: Bench) -> Iterator[dict[str, Any]]:
    """Every turn of every round as a row; the first round only warms up."""
    engines = {engine.name: engine for engine in suite.engines}
    for number in range(bench.rounds + 1):
        for name, task in suite.tasks.items():
            for each in order(list(running)):
                given = wanted(engines[each], name, task)
                if given is None:
                    continue
                start = time.monotonic()
                try:
                    with Load() as load:
                        made = running[each].turn(given)
                except (Error, RuntimeError) as error:
                    print(f"  {each}, {name}: {str(error)[:600]}", flush=True)
                    continue
                at = round((start + time.monotonic()) / 2, 2)
                if number:
                    rounded = {key: float(f"{value:.5g}") for key, value in made.items()}
                    yield {"round": number, "task": name, "engine": each, "at": at,
                           "foreign": load.foreign, **rounded}  # fmt: skip


def differences(suite: Suite, running: Mapping[str, Running]) -> dict[str, Any]:
    """How far Edgewise's output is from the peer's; and, in 8 bit, both from the f32 model's.

    Rounding to 8 bit is chaotic: one activation on the other side of a half changes all that comes
    after it, between two builds of the same runtime too. So the distance from f32 says more.
    """
    arrays = {name: np.frombuffer(engine.outputs(), np.float32) for name, engine in running.items()}
    found: dict[str, Any] = {}
    if "-q8" in suite.name:
        right = plans.computed(suite.name.replace("-q8", "-f32"), [PEERS / "models", MODELS])
        found["mean_from_f32"] = {
            name: float(np.abs(array - right).mean()) for name, array in arrays.items()
        }
    mine = arrays.pop(OURS, None)
    for array in arrays.values():
        found["largest"] = float(np.abs(array).max())
        if mine is not None:
            found["max_abs"] = float(np.abs(mine - array).max())
            found["mean_abs"] = float(np.abs(mine - array).mean())
    return found


def measure(bench: Bench, lines: TextIO) -> None:
    """All suites at all numbers of threads."""
    folders = [OUT, ROOT / "bench" / "wasm" / "pages", PEERS / "npm" / "node_modules",
               PEERS / "models", MODELS, ROOT]  # fmt: skip
    flags = SOFTWARE_GPU if bench.shim == "webgpu" else []
    with server.serving(folders) as serving, chromium(bench.chromium, flags) as browser:
        address = f"http://127.0.0.1:{serving.server_address[1]}"

        def keep(**row: object) -> None:
            print(json.dumps(row), file=lines, flush=True)

        def session() -> Session:
            return Session(browser, address, PEERS, MODELS)

        with session() as opened:
            first = ours(SUITES[LLM], bench, 1)
            try:
                plans.compile_all(opened, first, bench.suites, bench.threads, OUT)
            except Error as error:
                print(f"Edgewise has no device: {str(error)[:300]}", flush=True)
        keep(what="machine", browser=browser.version, shim=bench.shim, **Load.machine())
        for threads in bench.threads:
            for suite in bench.suites:
                start = time.monotonic()
                print(f"{suite.name}, {report.counted(threads)}", flush=True)
                with session() as opened:
                    running = started(opened, suite, bench, threads)
                    key = {"suite": suite.name, "threads": threads}
                    for name, engine in running.items():
                        keep(what="engine", **key, engine=name, about=engine.about)
                    if suite.name != LLM:
                        keep(what="difference", **key, **differences(suite, running))
                    for row in rounds(suite, running, bench):
                        keep(what="turn", **key, **row)
                print(f"  {time.monotonic() - start:.0f} s", flush=True)


def arguments() -> Bench:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suites", nargs="*", help="all unless named")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engines", default="", help="parts of names, with commas")
    parser.add_argument("--shim", default="wasm", help="of Edgewise")
    parser.add_argument("--chromium", type=Path,
                        default=Path(shutil.which("chromium") or "/usr/bin/chromium"))  # fmt: skip
    parser.add_argument("--lines", type=Path, default=ROOT / "build" / "bench" / "wasm.jsonl")
    given = parser.parse_args()
    if given.list:
        sys.exit("\n".join(SUITES))
    begins = tuple(given.suites) or ("",)
    return Bench(
        [suite for name, suite in SUITES.items() if name.startswith(begins)],
        [int(n) for n in given.threads.split(",")], given.rounds,
        [part for part in given.engines.split(",") if part], given.shim, given.chromium,
        given.lines,
    )  # fmt: skip


def main() -> None:
    """Measure, and print the tables."""
    bench = arguments()
    shutil.rmtree(OUT, ignore_errors=True)  # a plan that is refused now may lie there
    OUT.mkdir(parents=True)
    build_wasm.main()
    bench.lines.parent.mkdir(parents=True, exist_ok=True)
    with bench.lines.open("w") as lines:
        measure(bench, lines)
    print(report.tables([bench.lines]))


if __name__ == "__main__":
    main()
