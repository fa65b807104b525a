"""Every kernel of the Wasm target against the decomposition that it stands for."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise.dtypes import DType
from edgewise.errors import UnsupportedError
from edgewise.graph.builder import GraphBuilder
from edgewise.graph.graph import Source
from edgewise.host.wasm import wasm_facts
from edgewise.targets.reference_plan import Place
from edgewise.targets.wasm.compile import compile_plan
from tests.targets.cases import Case, all_cases, check
from tests.targets.wasm import Devices, least, run_all

CASES = all_cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_kernel_equals_decomposition(devices: Devices, case: Case) -> None:
    given = {name: array.tobytes() for name, array in {**case.inputs, **case.states}.items()}
    for made in run_all(devices, case.graph, given, case.bindings).values():
        check(case, {
            name: np.frombuffer(data, case.value(name).dtype.value)[: case.count(name)]
            for name, data in made.items()
        }, least(case.graph))  # fmt: skip


def test_bytes_of_blocks_are_not_taken_for_codes() -> None:
    b = GraphBuilder("blocks")
    codes = b.constant(DType.UINT4, (2, 32), source=Source("w", "Q4_1", "codes"))
    b.output("y", b.cast(codes, DType.FLOAT32))
    with pytest.raises(UnsupportedError, match="codes of 'w'"):
        compile_plan({"main": b.build()}, {"w": Place("Q4_1", (2, 32), 0, 40)},
                     wasm_facts("threads", 1))  # fmt: skip
