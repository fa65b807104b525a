"""All W3C vectors through the Python API on the reference: what conformance is measured on."""

from __future__ import annotations

from typing import Any

import pytest

from edgewise.ops.base import snake
from edgewise.webnn import ML, MLContext
from tests.ops import webnn_vectors

CASES = [
    pytest.param(case, id=f"{operator}-{index}")
    for operator in webnn_vectors.operators()
    for index, case in enumerate(webnn_vectors.cases(operator))
]


@pytest.fixture(scope="module")
def shared() -> MLContext:
    return ML().create_context(target="reference")


def number(text: str) -> int | float | str:
    """Numbers that JSON has not, or that it rounds, are strings there."""
    try:
        return int(text) if text.lstrip("-").isdigit() else float(text.replace("Infinity", "inf"))
    except ValueError:
        return text


def run(context: MLContext, case: dict[str, Any]) -> dict[str, Any]:
    """The outputs of a case, its constants being constants."""
    builder = context.create_graph_builder()
    values: dict[str, Any] = {}
    arrays = {}
    for name, tensor in case["inputs"].items():
        array = webnn_vectors.array(tensor)
        described = {"dataType": tensor["dtype"], "shape": tensor["shape"]}
        if tensor.get("constant"):
            values[name] = builder.constant(described, array)
        else:
            values[name] = builder.input(name, described)
            arrays[name] = array

    def given(arg: Any) -> Any:
        if isinstance(arg, dict):
            return values[arg["ref"]]
        if isinstance(arg, list):
            return [given(each) for each in arg]
        return number(arg) if isinstance(arg, str) else arg

    for step in case["ops"]:
        options = {name: given(arg) for name, arg in (step.get("options") or {}).items()}
        made = getattr(builder, snake(step["op"]))(*map(given, step["args"].values()), options)
        names = step.get("outputs") or [step["output"]]
        values.update(zip(names, made if isinstance(made, list) else [made], strict=True))
    graph = builder.build({name: values[name] for name in case["expected"]})
    made = context.compute(graph, arrays)
    graph.destroy()
    return made


@pytest.mark.parametrize("case", CASES)
def test_reference_through_the_api(shared: MLContext, case: dict[str, Any]) -> None:
    made = run(shared, case)
    assert list(made) == list(case["expected"])
    for name, expected in case["expected"].items():
        want = webnn_vectors.array(expected)
        assert made[name].shape == want.shape
        assert made[name].dtype == want.dtype
        off = webnn_vectors.worst(made[name], want, case["tolerance"]["metric"])
        assert off <= (case["tolerance"]["value"] or 0), f"{name=} {off=}"


def test_there_are_cases() -> None:
    assert len(CASES) >= 1000
