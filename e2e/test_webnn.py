"""The W3C vectors on a browser's own WebNN: Python's plans through shims/webnn.js.

Plans are made here for what the browser says of itself, and run in one page. Parts that the
browser does not take run on the reference in between.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from e2e.browsers import ROOT
from e2e.server import SiteServer
from e2e.webnn_cases import all_cases, complaint, from_bytes, graph_of, to_bytes
from edgewise.graph.graph import Graph
from edgewise.passes.place import Part, Placement
from edgewise.targets import reference
from edgewise.targets.webnn.emit import emit
from edgewise.targets.webnn.facts import WebnnFacts
from tests.ops.webnn_vectors import Array, Json, array

CASES = all_cases()


@pytest.fixture
def opened(page: Page, tmp_path: Path, site_server: Callable[[Path], SiteServer]) -> Page:
    """The page that runs plans."""
    (tmp_path / "shims").symlink_to(ROOT / "shims")
    (tmp_path / "pages").symlink_to(ROOT / "e2e" / "pages")
    page.goto(f"{site_server(tmp_path).url}/pages/webnn.html")
    page.wait_for_selector("html[data-ready]", state="attached")
    return page


class Run:
    """A case on its way through the parts of its placement."""

    def __init__(self, case: Json, graph: Graph, parts: tuple[Part, ...]) -> None:
        self.case, self.graph, self.parts = case, graph, parts
        self.values = {name: array(case["inputs"][name]) for name in graph.inputs}
        self.error: str | None = None

    def job(self, index: int, facts: WebnnFacts) -> dict[str, Any]:
        """What the page needs for a part."""
        graph = self.parts[index].graph
        inputs = {n: to_bytes(self.values[n], graph.values[n].dtype) for n in graph.inputs}
        return {
            "plan": emit(graph, {}, facts).to_json(),
            "inputs": {name: base64.b64encode(data).decode() for name, data in inputs.items()},
            "outputs": list(graph.outputs),
        }

    def take(self, index: int, result: dict[str, Any]) -> None:
        """A part's result in the page."""
        self.error = result.get("error")
        graph = self.parts[index].graph
        for public, text in result.get("outputs", {}).items():
            value = graph.values[graph.outputs[public]]
            shape = tuple(int(str(dim)) for dim in value.shape)
            self.values[value.name] = from_bytes(base64.b64decode(text), value.dtype, shape)

    def compute(self, index: int) -> None:
        """A part on the reference."""
        graph = self.parts[index].graph
        inputs = {name: self.values[name] for name in graph.inputs}
        outputs, _ = reference.run(graph, inputs, {}, _no_file, {})
        self.values |= outputs

    def verdict(self, outputs: dict[str, str]) -> str | None:
        """What is wrong in the end, or None."""
        if self.error is not None:
            return self.error
        return complaint(self.case, {public: self.values[n] for public, n in outputs.items()})


def _no_file(constant: object) -> Array:
    raise AssertionError(f"no constant of a file is in these graphs: {constant=}")


def run_all(page: Page, facts: WebnnFacts, placed: dict[str, Placement]) -> dict[str, str]:
    """What is wrong with each case that has something wrong."""
    runs = {name: Run(CASES[name], graph_of(CASES[name]), p.parts) for name, p in placed.items()}
    for index in range(max(len(p.parts) for p in placed.values())):
        going = [r for r in runs.values() if index < len(r.parts) and r.error is None]
        native = [run for run in going if run.parts[index].target == "webnn"]
        results = page.evaluate("jobs => runAll(jobs)", [run.job(index, facts) for run in native])
        for run, result in zip(native, results, strict=True):
            run.take(index, result)
        for run in going:
            if run.parts[index].target != "webnn":
                run.compute(index)
    verdicts = {name: run.verdict(dict(placed[name].outputs)) for name, run in runs.items()}
    return {name: verdict for name, verdict in verdicts.items() if verdict is not None}
