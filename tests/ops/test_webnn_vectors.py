from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgewise.arrays import decode, encode
from edgewise.ops import OPS
from edgewise.targets import reference
from tests.ops import webnn_vectors
from tests.targets.vectors import Vector, vectors

CASES = list(vectors())


def test_every_row_of_webnn_has_vectors() -> None:
    rows = {op.name for op in OPS.values() if op.spec}
    # the suite of February 2026 has no case of it
    assert rows - set(webnn_vectors.operators()) == {"scatterND"}
    assert len(CASES) >= 1000, f"{len(CASES)=}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_reference_agrees_with_web_platform_tests(case: Vector) -> None:
    arrays = {}
    for name, data in case.inputs.items():
        value = case.graph.values[name]
        shape = tuple(dim for dim in value.shape if isinstance(dim, int))
        n = int(np.prod(shape, dtype=np.int64))
        arrays[name] = decode(data, value.dtype, n).reshape(shape)
    outputs, _ = reference.run(case.graph, arrays, {}, _no_constants, {})
    for name in case.graph.outputs:
        assert list(outputs[name].shape) == case.json["expected"][name]["shape"], name
    packed = {n: encode(a, case.graph.values[case.graph.outputs[n]].dtype)
              for n, a in outputs.items()}  # fmt: skip
    assert case.wrong(packed) is None


def _no_constants(constant: object) -> np.ndarray[Any, np.dtype[Any]]:
    raise AssertionError(f"no constant of a file is in these graphs: {constant=}")
