"""Kernels' cases and the W3C vectors on the Wasm target in real browsers, through shims/wasm.js.

Plans are compiled here, and run in one page load for each module; two threads make to the bit what
one makes.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from e2e.browsers import engines
from e2e.wasm_page import CHOICES, WasmPage
from edgewise.graph.graph import Graph
from edgewise.targets.device import DeviceFacts
from edgewise.targets.wasm.compile import compile_plan
from tests.targets.cases import Case, all_cases, check
from tests.targets.vectors import Vector, vectors
from tests.targets.wasm import has_kernels

AT_ONCE = 200
LARGEST = 1 << 20  # bytes of inputs; larger ones try the transfer to the page, not the kernels

Outputs = dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Job:
    """A run of a graph, and who says what is wrong with its outputs."""

    name: str
    graph: Graph
    inputs: Mapping[str, bytes]
    bindings: Mapping[str, int]
    wrong: Callable[[Outputs], str | None]
    plans: dict[frozenset[str], str] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Of all inputs."""
        return sum(map(len, self.inputs.values()))

    def to_json(self, facts: DeviceFacts) -> dict[str, object]:
        """What the page needs. Plans are made once for all modules with the same instructions."""
        if facts.features not in self.plans:
            self.plans[facts.features] = compile_plan({"main": self.graph}, {}, facts).to_json()
        return {
            "plan": self.plans[facts.features],
            "inputs": {n: base64.b64encode(data).decode() for n, data in self.inputs.items()},
            "bindings": dict(self.bindings),
            "outputs": [*self.graph.outputs, *self.graph.states],
        }


def of_case(case: Case) -> Job:
    def wrong(outputs: Outputs) -> str | None:
        try:
            check(case, {
                name: np.frombuffer(data, case.value(name).dtype.value)[: case.count(name)]
                for name, data in outputs.items()
            })  # fmt: skip
        except AssertionError as error:
            return str(error)
        return None

    given = {name: array.tobytes() for name, array in {**case.inputs, **case.states}.items()}
    return Job(case.name, case.graph, given, case.bindings, wrong)


def of_vector(case: Vector) -> Job:
    return Job(case.name, case.graph, case.inputs, {}, case.wrong)


CASES = [of_case(case) for case in all_cases() if has_kernels(case.graph)]
VECTORS = [job for job in map(of_vector, vectors()) if has_kernels(job.graph)]


def run_all(wasm: WasmPage, jobs: list[Job]) -> None:
    """Every job with every module; each is right, and the same with two threads as with one."""
    found: dict[tuple[str, int], dict[str, Outputs]] = {}
    for module, threads in CHOICES:
        wasm.go()
        facts = wasm.open(module=module, threads=threads)
        made: dict[str, Outputs] = {}
        found[module, threads] = made
        for first in range(0, len(jobs), AT_ONCE):
            group = jobs[first : first + AT_ONCE]
            results = wasm.run([job.to_json(facts) for job in group])
            made |= {job.name: outputs(result) for job, result in zip(group, results, strict=True)}
    wrong = {
        f"{job.name} with {module}": error
        for (module, threads), made in found.items() if threads == 1
        for job in jobs if (error := job.wrong(made[job.name]))
    }  # fmt: skip
    assert wrong == {}
    one, two = found["threads", 1], found["threads", 2]
    assert [job.name for job in jobs if one[job.name] != two[job.name]] == []


def outputs(result: dict[str, Any]) -> Outputs:
    assert "error" not in result, result["error"]
    return {name: base64.b64decode(text) for name, text in result["outputs"].items()}


@engines("chromium", "firefox")
def test_kernels_equal_decompositions(wasm: WasmPage) -> None:
    run_all(wasm, CASES)


@engines("chromium", "firefox")
def test_vectors_pass_on_wasm(wasm: WasmPage) -> None:
    run_all(wasm, [job for job in VECTORS if job.nbytes <= LARGEST])
