from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgewise.dtypes import DType
from edgewise.graph.builder import GraphBuilder
from edgewise.ops import OPS
from edgewise.ops.base import snake
from edgewise.targets import reference
from tests.ops import webnn_vectors

TYPES = {each.value for each in DType}
CASES = [
    pytest.param(case, id=f"{operator}-{index}-{case['name'].replace(' ', '_')}")
    for operator in webnn_vectors.operators()
    for index, case in enumerate(webnn_vectors.cases(operator))
    if {step["op"] for step in case["ops"]} <= set(OPS)
]


def test_every_row_of_webnn_has_vectors() -> None:
    rows = {op.name for op in OPS.values() if op.spec}
    # the suite of February 2026 has no case of it
    assert rows - set(webnn_vectors.operators()) == {"scatterND"}
    assert len(CASES) >= 900, f"{len(CASES)=}"


@pytest.mark.parametrize("case", CASES)
def test_reference_agrees_with_web_platform_tests(case: dict[str, Any]) -> None:
    builder = GraphBuilder("case")
    values: dict[str, Any] = {
        name: builder.input(name, DType(tensor["dtype"]), tensor["shape"])
        for name, tensor in case["inputs"].items()
    }

    for step in case["ops"]:
        method = getattr(builder, snake(step["op"]))
        options = {
            snake(name): _given(arg, values) for name, arg in (step.get("options") or {}).items()
        }
        made = method(*(_given(arg, values) for arg in step["args"].values()), **options)
        names = step.get("outputs") or [step["output"]]
        values.update(zip(names, made if isinstance(made, tuple) else (made,), strict=True))
    for name in case["expected"]:
        builder.output(name, values[name])

    arrays = {name: webnn_vectors.array(tensor) for name, tensor in case["inputs"].items()}
    outputs, _ = reference.run(builder.build(), arrays, {}, _no_constants, {})
    for name, expected in case["expected"].items():
        want, got = webnn_vectors.array(expected), outputs[name]
        assert got.shape == want.shape
        assert got.dtype == want.dtype
        limit = case["tolerance"]["value"] or 0
        assert webnn_vectors.worst(got, want, case["tolerance"]["metric"]) <= limit


def _given(arg: Any, values: dict[str, Any]) -> Any:
    """An argument of a case: a value, a data type, another enumeration or a number."""
    if isinstance(arg, dict):
        return values[arg["ref"]]
    if isinstance(arg, list):
        return [_given(each, values) for each in arg]
    if arg in set(DType):
        return DType(arg)
    return webnn_vectors.number(arg)


def _no_constants(constant: object) -> np.ndarray[Any, Any]:
    raise AssertionError(f"no constant of a file is in these graphs: {constant=}")
