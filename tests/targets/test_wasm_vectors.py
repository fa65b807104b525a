"""The W3C vectors on the Wasm target, through wasmtime, by the suite's own tolerances."""

from __future__ import annotations

import pytest

from tests.targets.vectors import Vector, vectors
from tests.targets.wasm import Devices, run_all

CASES = list(vectors())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_vector(devices: Devices, case: Vector) -> None:
    for name, outputs in run_all(devices, case.graph, case.inputs).items():
        assert case.wrong(outputs) is None, name
