"""A page that runs plans for the browser's own WebNN, many at once, and cases that go through it.

    native  a fixture: the page, with what its devices say of themselves

Plans are made here for those facts. Parts that the browser does not take run in between: on the
reference here, or on WebGPU in the page.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from playwright.sync_api import Page

from e2e.browsers import ROOT
from e2e.server import SiteServer
from edgewise.graph.graph import Graph
from edgewise.host.base import WeightBytes
from edgewise.host.reference import ReferenceDevice
from edgewise.plan.parts import PartPlan, PartsPlan
from edgewise.runtime.compiling import compile_for
from edgewise.runtime.external import externalise
from edgewise.targets import reference
from edgewise.targets.device import DeviceFacts
from edgewise.targets.webnn.emit import emit
from edgewise.targets.webnn.facts import WebnnFacts, probes
from tests.ops.webnn_vectors import Array

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
def native(page: Page, tmp_path: Path, site_server: Callable[[Path], SiteServer]) -> Browser:
    """The page that runs plans."""
    (tmp_path / "shims").symlink_to(ROOT / "shims")
    (tmp_path / "pages").symlink_to(ROOT / "e2e" / "pages")
    page.goto(f"{site_server(tmp_path).url}/pages/webnn.html")
    page.wait_for_selector("html[data-ready]", state="attached")
    return Browser(page)


class Case(Protocol):
    """A graph, the bytes of its inputs, and how to judge the bytes of its outputs."""

    @property
    def graph(self) -> Graph: ...
    @property
    def inputs(self) -> dict[str, bytes]: ...
    def wrong(self, outputs: dict[str, bytes]) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Example:
    """A graph, and what the reference makes of it."""

    graph: Graph
    inputs: dict[str, bytes]
    want: Mapping[str, Array]

    def wrong(self, outputs: dict[str, bytes]) -> str | None:
        """What is wrong with the outputs, or None. The sign of 0 counts."""
        for name, want in self.want.items():
            got = np.frombuffer(outputs[name], want.dtype).reshape(want.shape)
            close = np.allclose(got, want, rtol=1e-6, atol=0)  # an average is rounded twice
            if not close or not np.array_equal(np.signbit(got), np.signbit(want)):
                return f"{name}: {got}, not {want}"
        return None


def example_of(graph: Graph, arrays: Mapping[str, Array]) -> Example:
    """What the reference makes of a graph without a file's constants."""
    want, _ = reference.run(graph, arrays, {}, _no_file, {})
    return Example(graph, {name: array.tobytes() for name, array in arrays.items()}, want)


class Run:
    """A case on its way through the parts of its plan."""

    def __init__(self, case: Case, plan: PartsPlan, weights: bytes) -> None:
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


def _no_file(constant: object) -> Array:
    raise AssertionError(f"no constant of a file is in these graphs: {constant=}")


def run_all(browser: Browser, runs: Mapping[str, Run]) -> dict[str, str]:
    """What is wrong with each case that has something wrong."""
    # Playwright has an event loop in this thread
    elsewhere = ThreadPoolExecutor(1)
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
                elsewhere.submit(asyncio.run, run.compute(part)).result()
    verdicts = {name: run.verdict() for name, run in runs.items()}
    return {name: verdict for name, verdict in verdicts.items() if verdict is not None}


def compiled(case: Case, facts: WebnnFacts) -> Run:
    """A case's plan as a model's would be made, for these facts."""
    moved = externalise(case.graph, {}, WeightBytes(b""))
    made = compile_for(moved.graph, moved.tensors, facts, frozenset())
    return Run(case, PartsPlan.from_json(made.text), moved.weights.tail)


def as_it_is(case: Case, facts: WebnnFacts) -> Run:
    """A case's calls, whether the browser takes them or not."""
    moved = externalise(_named_by_value(case.graph), {}, WeightBytes(b""))
    plan = emit(moved.graph, moved.tensors, facts)
    part = PartPlan(
        "webnn", plan.to_json(), tuple(case.inputs), dict.fromkeys(moved.graph.outputs, 0)
    )
    parts = PartsPlan("webnn", case.graph.inputs, case.graph.outputs, (part,))
    return Run(case, parts, moved.weights.tail)


def _named_by_value(graph: Graph) -> Graph:
    return replace(graph, outputs={name: name for name in graph.outputs.values()})


def targets(run: Run) -> set[str]:
    """What a case runs on."""
    return {part.target for part in run.plan.parts}
