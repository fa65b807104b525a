"""The W3C vectors on the Wasm target, through wasmtime, by the suite's own tolerances."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edgewise.targets.program import n_elements
from tests.targets.vectors import Vector, vectors
from tests.targets.wasm import Devices, close, has_kernels, open_devices, run, run_all

LARGE = 1 << 20  # elements of a value: one device computes such a case for all

CASES = [case for case in vectors() if has_kernels(case.graph)]


@pytest.fixture(scope="module")
def devices() -> Iterator[Devices]:
    made = open_devices()
    yield made
    close(made)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_vector(devices: Devices, case: Vector) -> None:
    large = any(n_elements(value.shape) > LARGE for value in case.graph.values.values())
    made = (
        {"two threads": run(devices["two threads"], case.graph, case.inputs)} if large
        else run_all(devices, case.graph, case.inputs)
    )  # fmt: skip
    for name, outputs in made.items():
        assert case.wrong(outputs) is None, name
