"""Kernels' cases and the W3C vectors on the Wasm target in real browsers, through shims/wasm.js.

Plans are compiled here, and run in one page load on every module; two threads make to the bit what
one makes.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from e2e.browsers import engines
from e2e.wasm_page import WasmPage
from edgewise.graph.graph import Graph
from edgewise.targets.device import DeviceFacts
from edgewise.targets.wasm.compile import compile_plan
from tests.targets.cases import Case, all_cases, check
from tests.targets.vectors import Vector, vectors
from tests.targets.wasm import least

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

    @property
    def nbytes(self) -> int:
        """Of all inputs."""
        return sum(map(len, self.inputs.values()))

    def to_json(self, devices: list[DeviceFacts]) -> dict[str, object]:
        """What the page needs; see pages/wasm.js."""
        plans: dict[frozenset[str], str | None] = {}
        for facts in devices:
            if facts.features not in plans:
                plan = compile_plan({"main": self.graph}, {}, facts).to_json()
                plans[facts.features] = None if plan in plans.values() else plan
        return {
            "plans": [plans.pop(facts.features, None) for facts in devices],
            "inputs": {n: base64.b64encode(data).decode() for n, data in self.inputs.items()},
            "bindings": dict(self.bindings),
            "outputs": [*self.graph.outputs, *self.graph.states],
        }

    def error(self, result: dict[str, Any]) -> str | None:
        """What is wrong with a result, or None."""
        return self.wrong(outputs(result))


def of_case(case: Case) -> Job:
    def wrong(outputs: Outputs) -> str | None:
        try:
            check(case, {
                name: np.frombuffer(data, case.value(name).dtype.value)[: case.count(name)]
                for name, data in outputs.items()
            }, least(case.graph))  # fmt: skip
        except AssertionError as error:
            return str(error)
        return None

    given = {name: array.tobytes() for name, array in {**case.inputs, **case.states}.items()}
    return Job(case.name, case.graph, given, case.bindings, wrong)


def of_vector(case: Vector) -> Job:
    return Job(case.name, case.graph, case.inputs, {}, case.wrong)


CASES = [of_case(case) for case in all_cases()]
VECTORS = [of_vector(case) for case in vectors()]


def outputs(result: dict[str, Any]) -> Outputs:
    assert "error" not in result, result["error"]
    return {name: base64.b64decode(text) for name, text in result["outputs"].items()}


@engines("chromium", "firefox")
def test_kernels_equal_decompositions(wasm: WasmPage) -> None:
    wasm.check_everywhere(CASES)


@engines("chromium", "firefox")
def test_vectors_pass_on_wasm(wasm: WasmPage) -> None:
    wasm.check_everywhere([job for job in VECTORS if job.nbytes <= LARGEST])
