"""The W3C vectors on the WebGPU target in real browsers, through shims/webgpu.js.

The page says what its device is, plans are compiled here for it and run there in batches.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from e2e.browsers import ROOT, engines
from e2e.server import SiteServer
from edgewise.targets.device import DeviceFacts
from edgewise.targets.webgpu.compile import compile_plan
from tests.targets.vectors import Vector, vectors

CASES = list(vectors())
AT_ONCE = 100
LARGEST = 1 << 20  # bytes; larger cases try the transfer to the page, not the kernels


@pytest.fixture
def opened(page: Page, tmp_path: Path, site_server: Callable[[Path], SiteServer]) -> Page:
    """The page that runs plans, with its device open."""
    (tmp_path / "shims").symlink_to(ROOT / "shims")
    (tmp_path / "pages").symlink_to(ROOT / "e2e" / "pages")
    page.goto(f"{site_server(tmp_path).url}/pages/kernels.html")
    page.wait_for_selector("html[data-ready]", state="attached")
    return page


def job(case: Vector, facts: DeviceFacts) -> dict[str, object]:
    """What the page needs to run a case."""
    plan = compile_plan({"main": case.graph}, {}, facts, features=facts.features)
    return {
        "plan": plan.to_json(),
        "inputs": {n: base64.b64encode(data).decode() for n, data in case.inputs.items()},
        "bindings": {},
        "outputs": list(case.graph.outputs),
    }


def wrong(case: Vector, result: dict[str, Any]) -> str | None:
    """What is wrong with a result, or None."""
    if "error" in result:
        return str(result["error"])
    return case.wrong({n: base64.b64decode(text) for n, text in result["outputs"].items()})


@engines("chromium", "firefox")
def test_vectors_pass_on_webgpu(opened: Page) -> None:
    facts = DeviceFacts.from_dict(opened.evaluate("facts"))
    cases = [case for case in CASES if sum(map(len, case.inputs.values())) <= LARGEST]
    assert len(CASES) - len(cases) <= 2
    found = {}
    for first in range(0, len(cases), AT_ONCE):
        group = cases[first : first + AT_ONCE]
        answer = opened.evaluate("jobs => runAll(jobs)", [job(case, facts) for case in group])
        assert answer["complaints"] == []
        results = zip(group, answer["results"], strict=True)
        found.update({case.name: wrong(case, result) for case, result in results})
    assert len(found) == len(cases)
    assert {name: error for name, error in found.items() if error} == {}
    print(f"{len(found)} vectors on {facts.name}")
