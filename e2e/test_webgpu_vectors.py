"""The W3C vectors on the WebGPU target in real browsers, through shims/webgpu.js.

The page says what its device is, plans are compiled here for it and run there in batches.
"""

from __future__ import annotations

import base64
from typing import Any

from playwright.sync_api import Page

from e2e.browsers import engines
from edgewise.targets.device import DeviceFacts
from edgewise.targets.webgpu.compile import compile_plan
from tests.targets.vectors import Vector, vectors

CASES = list(vectors())
AT_ONCE = 100
LARGEST = 1 << 20  # bytes; larger cases try the transfer to the page, not the kernels


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
def test_vectors_pass_on_webgpu(plans: Page) -> None:
    facts = DeviceFacts.from_dict(plans.evaluate("facts"))
    cases = [case for case in CASES if sum(map(len, case.inputs.values())) <= LARGEST]
    assert len(CASES) - len(cases) <= 2
    found = {}
    for first in range(0, len(cases), AT_ONCE):
        group = cases[first : first + AT_ONCE]
        answer = plans.evaluate("jobs => runAll(jobs)", [job(case, facts) for case in group])
        assert answer["complaints"] == []
        results = zip(group, answer["results"], strict=True)
        found.update({case.name: wrong(case, result) for case, result in results})
    assert len(found) == len(cases)
    assert {name: error for name, error in found.items() if error} == {}
    print(f"{len(found)} vectors on {facts.name}")
