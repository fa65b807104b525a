"""Every kernel of the Wasm target against the decomposition that it stands for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.targets.cases import Case, all_cases, check
from tests.targets.wasm import Devices, close, has_kernels, open_devices, run_all

CASES = [case for case in all_cases() if has_kernels(case.graph)]


@pytest.fixture(scope="module")
def devices() -> Iterator[Devices]:
    made = open_devices()
    yield made
    close(made)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_kernel_equals_decomposition(devices: Devices, case: Case) -> None:
    given = {name: array.tobytes() for name, array in {**case.inputs, **case.states}.items()}
    for made in run_all(devices, case.graph, given, case.bindings).values():
        check(case, {
            name: np.frombuffer(data, case.value(name).dtype.value)[: case.count(name)]
            for name, data in made.items()
        })  # fmt: skip
