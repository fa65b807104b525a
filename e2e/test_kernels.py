"""Every kernel in real browsers, through shims/webgpu.js, against the decomposition it stands for.

The cases are those of wgpu (tests/targets/cases.py); plans are compiled here for what the
browser says of its device. All of them run in one page load.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import numpy as np
from playwright.sync_api import Page

from e2e.browsers import Engine, engines
from edgewise.dtypes import DType
from edgewise.targets.device import DeviceFacts
from edgewise.targets.webgpu.compile import LOWERINGS, STRUCTURED, compile_plan
from tests.targets.cases import Case, all_cases, check

CASES = all_cases()


def half(case: Case) -> bool:
    """Whether it computes in float16 and has no other way to; scales of weights do not count."""
    constants = case.graph.constants
    return any(node.op in LOWERINGS for node in case.graph.nodes) and any(
        value.dtype is DType.FLOAT16
        for name, value in case.graph.values.items()
        if name not in constants
    )


def tiled(case: Case) -> bool:
    """Whether a GPU runs it by other kernels than a software adapter does."""
    ops = {node.op for node in case.graph.nodes}
    return bool(ops & {"quantizedMatmul", "quantizedSwiglu", "quantizedQkv", *STRUCTURED})


def kind(case: Case) -> tuple[object, ...]:
    """What cases that try the same kernel on other sizes have in common."""
    return frozenset(node.op for node in case.graph.nodes), " sliced" in case.name


def job(case: Case, facts: DeviceFacts) -> dict[str, object]:
    """What the page needs to run a case."""
    limits = {**facts.limits, **case.limits}
    fitted = replace(facts, limits=limits)
    plan = compile_plan({"main": case.graph}, {}, fitted, features=facts.features)
    arrays = {**case.inputs, **case.states}
    return {
        "plan": plan.to_json(),
        "inputs": {n: base64.b64encode(a.tobytes()).decode() for n, a in arrays.items()},
        "bindings": dict(case.bindings),
        "outputs": [*case.graph.outputs, *case.states],
    }


def wrong(case: Case, result: dict[str, Any]) -> str | None:
    """What is wrong with a result, or None."""
    if "error" in result:
        return str(result["error"])
    got = {}
    for name, text in result["outputs"].items():
        values = np.frombuffer(base64.b64decode(text), case.value(name).dtype.value)
        got[name] = values[: case.count(name)]
    try:
        check(case, got)
    except AssertionError as error:
        return str(error)
    return None


@engines("chromium", "firefox")
def test_kernels_equal_decompositions(plans: Page, engine: Engine) -> None:
    facts = DeviceFacts.from_dict(plans.evaluate("facts"))
    has_half = "shader-f16" in facts.features
    assert has_half is ("shader-f16" in engine.features)
    runs = [(case, facts) for case in CASES if has_half or not half(case)]
    # As on a GPU: lanes that share a row add up over a subgroup or workgroup memory; tiles.
    on_gpu = replace(facts, fallback=False)
    tuned = [case for case, _ in runs if tiled(case) and "float16" not in case.name]
    if engine.name == "chromium":  # SwiftShader takes long over barriers; Firefox runs them all
        tuned = list({kind(case): case for case in tuned}.values())
    runs += [(case, on_gpu) for case in tuned]
    answer = plans.evaluate("jobs => runAll(jobs)", [job(*run) for run in runs])
    assert answer["complaints"] == []
    found = {
        f"{case.name}{'' if facts.fallback else ' as on a GPU'}": wrong(case, result)
        for (case, facts), result in zip(runs, answer["results"], strict=True)
    }
    assert len(found) == len(runs)
    assert {name: error for name, error in found.items() if error} == {}
    print(f"{len(runs)} runs on {facts.name}")
