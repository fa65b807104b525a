"""The W3C vectors on a browser's own WebNN: Python's plans through shims/webnn.js.

Plans are made here for what the browser says of itself, and run in one page. Parts that the
browser does not take run in between: on the reference here, or on WebGPU in the page.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from e2e.browsers import ROOT, Engine, engines
from e2e.server import SiteServer
from edgewise.graph.graph import Graph
from edgewise.host.base import WeightBytes
from edgewise.host.reference import FACTS, ReferenceDevice
from edgewise.plan.parts import PartPlan, PartsPlan
from edgewise.runtime.compiling import Compiled, compile_for
from edgewise.runtime.external import externalise
from edgewise.targets.device import DeviceFacts
from edgewise.targets.webnn.emit import emit
from edgewise.targets.webnn.facts import WebnnFacts, probes
from tests.ops import webnn_vectors
from tests.targets.vectors import Vector, vector

VECTORS = {
    f"{operator}: {case['name']}": (f"{operator}-{index}", case)
    for operator in webnn_vectors.operators()
    for index, case in enumerate(webnn_vectors.cases(operator))
}
Packed = str | list[Any]


def packed(data: bytes) -> Packed:
    """As e2e/pages/webnn.js has it: what repeats eight bytes is sent as those."""
    if len(data) > 1 << 20 and data == data[:8] * (len(data) // 8):
        return [base64.b64encode(data[:8]).decode(), len(data) // 8]
    return base64.b64encode(data).decode()


def unpacked(given: Packed) -> bytes:
    """The inverse of `packed`."""
    if isinstance(given, str):
        return base64.b64decode(given)
    return base64.b64decode(given[0]) * int(given[1])


class Browser:
    """The page with its devices open."""

    def __init__(self, page: Page) -> None:
        self._page = page
        facts = page.evaluate("probes => open(probes)", probes())
        self.webnn = WebnnFacts.from_dict(facts["webnn"])
        self.webgpu = DeviceFacts.from_dict(facts["webgpu"])

    def run(self, jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What comes of plans that run on their own."""
        found: list[dict[str, Any]] = self._page.evaluate("jobs => runAll(jobs)", jobs)
        return found


@pytest.fixture
def opened(page: Page, tmp_path: Path, site_server: Callable[[Path], SiteServer]) -> Browser:
    """The page that runs plans."""
    (tmp_path / "shims").symlink_to(ROOT / "shims")
    (tmp_path / "pages").symlink_to(ROOT / "e2e" / "pages")
    page.goto(f"{site_server(tmp_path).url}/pages/webnn.html")
    page.wait_for_selector("html[data-ready]", state="attached")
    return Browser(page)


class Run:
    """A case on its way through the parts of its plan."""

    def __init__(self, case: Vector, plan: PartsPlan, weights: bytes) -> None:
        self.case, self.plan, self.weights = case, plan, weights
        self.values = dict(case.inputs)
        self.error: str | None = None

    def part(self, index: int, target: str) -> PartPlan | None:
        """The part that is to run now, if it is for `target`."""
        if self.error is not None or index >= len(self.plan.parts):
            return None
        part = self.plan.parts[index]
        return part if part.target == target else None

    def job(self, part: PartPlan) -> dict[str, Any]:
        """What the page needs for a part."""
        return {
            "target": part.target,
            "plan": part.plan,
            "weights": packed(self.weights),
            "inputs": {name: packed(self.values[name]) for name in part.inputs},
            "outputs": list(part.outputs),
        }

    def take(self, result: dict[str, Any]) -> None:
        """A part's result in the page."""
        self.error = result.get("error")
        for name, text in result.get("outputs", {}).items():
            self.values[name] = unpacked(text)

    async def compute(self, part: PartPlan) -> None:
        """A part on the reference."""
        device = ReferenceDevice(_no_store)
        loaded = await device.load(part.plan, WeightBytes(self.weights), lambda done, total: None)
        for name in part.inputs:
            await loaded.write(name, self.values[name])
        await loaded.run("main", {})
        self.values |= {name: await loaded.read(name) for name in part.outputs}

    def verdict(self) -> str | None:
        """What is wrong in the end, or None."""
        if self.error is not None:
            return self.error
        outputs = {public: self.values[name] for public, name in self.plan.outputs.items()}
        return self.case.wrong(outputs)


async def _no_store(hash: str) -> bytes:
    raise AssertionError(f"no weights are stored: {hash=}")


def run_all(browser: Browser, runs: Mapping[str, Run]) -> dict[str, str]:
    """What is wrong with each case that has something wrong."""
    for index in range(max(len(run.plan.parts) for run in runs.values())):
        jobs = [
            (run, part)
            for run in runs.values()
            for target in ("webnn", "webgpu")
            if (part := run.part(index, target))
        ]
        results = browser.run([run.job(part) for run, part in jobs])
        for (run, _), result in zip(jobs, results, strict=True):
            run.take(result)
        for run in runs.values():
            if part := run.part(index, "reference"):
                asyncio.run(run.compute(part))
    verdicts = {name: run.verdict() for name, run in runs.items()}
    return {name: verdict for name, verdict in verdicts.items() if verdict is not None}


def compiled(case: Vector, facts: WebnnFacts) -> tuple[Compiled, Run]:
    """A case's plan as a model's would be made, for these facts."""
    moved = externalise(case.graph, {}, WeightBytes(b""))
    made = compile_for(moved.graph, moved.tensors, facts, frozenset())
    return made, Run(case, PartsPlan.from_json(made.text), moved.weights.tail)


def as_it_is(case: Vector, facts: WebnnFacts) -> Run:
    """A case's calls, whether the browser takes them or not."""
    moved = externalise(_named_by_value(case.graph), {}, WeightBytes(b""))
    plan = emit(moved.graph, moved.tensors, facts)
    part = PartPlan("webnn", plan.to_json(), tuple(case.inputs), dict.fromkeys(moved.graph.outputs, 0))
    parts = PartsPlan("webnn", case.graph.inputs, case.graph.outputs, (part,))
    return Run(case, parts, moved.weights.tail)


def _named_by_value(graph: Graph) -> Graph:
    return replace(graph, outputs={name: name for name in graph.outputs.values()})


@engines("chromium_webnn")
def test_vectors(opened: Browser, engine: Engine) -> None:
    """What the browser does not take or gets wrong by itself passes too, with help or without."""
    cases = {name: vector(*given) for name, given in VECTORS.items()}
    assert len(cases) >= 1070
    facts = replace(opened.webnn, rest=(FACTS,))
    plain = run_all(opened, {name: as_it_is(case, facts) for name, case in cases.items()})
    made = {name: compiled(case, facts) for name, case in cases.items()}
    wrong = run_all(opened, {name: run for name, (_, run) in made.items()})
    assert wrong == {}

    alone = [n for n, (_, run) in made.items() if {p.target for p in run.plan.parts} == {"webnn"}]
    needless = [name for name in cases if name not in alone and name not in plain]
    assert needless == []
    print(f"{len(cases)} cases on {facts.name}: {len(plain)} fail as they are, "
          f"{len(cases) - len(alone)} need another target")  # fmt: skip
    assert len(plain) == 45
    assert 15 <= len(cases) - len(alone) <= 25
