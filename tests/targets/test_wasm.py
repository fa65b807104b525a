"""Every kernel of the Wasm target against the decomposition that it stands for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.targets.cases import Case, all_cases, check
from tests.targets.wasm import Devices, close, open_devices, run_all

#: Of the largest: x is off by up to half a step, 2^-16 of the largest of its block (3 standard
#: deviations, say), which leaves a sum off by 1e-5 of its own deviation, at worst of a thousand
#: sums by 4e-5; the product of two such sums by twice that.
QUANTISED = 1e-4
CASES = all_cases()


@pytest.fixture(scope="module")
def devices() -> Iterator[Devices]:
    made = open_devices()
    yield made
    close(made)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_kernel_equals_decomposition(devices: Devices, case: Case) -> None:
    given = {name: array.tobytes() for name, array in {**case.inputs, **case.states}.items()}
    least = QUANTISED if any(node.op.startswith("quantized") for node in case.graph.nodes) else 0.0
    for made in run_all(devices, case.graph, given, case.bindings).values():
        check(case, {
            name: np.frombuffer(data, case.value(name).dtype.value)[: case.count(name)]
            for name, data in made.items()
        }, least)  # fmt: skip
