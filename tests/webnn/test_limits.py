"""op_support_limits() against what Chromium says of its own: the same operators and operands, and
everything that it takes, since our table is the specification's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgewise.webnn import ML, MLContext

CHROMIUM = json.loads((Path(__file__).parent / "opSupportLimits-chromium147.json").read_text())
#: Chromium's words for what the specification has renamed or does not list.
OWN = {"preferredInputLayout", "maxTensorByteLength", "input", "constant", "output"}


@pytest.fixture(scope="module")
def limits() -> dict[str, Any]:
    return ML().create_context(target="reference").op_support_limits()


def test_the_general_ones(limits: dict[str, Any]) -> None:
    assert set(limits) >= OWN
    assert set(limits["input"]["dataTypes"]) >= set(CHROMIUM["input"]["dataTypes"])
    assert "uint4" in limits["constant"]["dataTypes"]
    assert limits["maxTensorByteLength"] > CHROMIUM["maxTensorByteLength"]


def test_the_same_operators(limits: dict[str, Any]) -> None:
    assert set(limits) == set(CHROMIUM)


@pytest.mark.parametrize("name", sorted(set(CHROMIUM) - OWN))
def test_all_that_chromium_takes(limits: dict[str, Any], name: str) -> None:
    ours, theirs = limits[name], CHROMIUM[name]
    assert set(ours) == set(theirs)
    for operand, wanted in theirs.items():
        found = ours[operand]
        assert set(wanted["dataTypes"]) <= set(found["dataTypes"]), operand
        assert found["rankRange"]["min"] <= wanted["rankRange"]["min"], operand
        assert found["rankRange"]["max"] >= wanted["rankRange"]["max"], operand


@pytest.mark.gpu
def test_webgpu_says_what_it_has_kernels_for(limits: dict[str, Any]) -> None:
    context: MLContext = ML().create_context(target="webgpu")
    found = context.op_support_limits()
    assert set(found) <= set(limits)
    assert {"conv2d", "lstm", "quantizeLinear"} <= set(found)
    assert found["maxTensorByteLength"] < limits["maxTensorByteLength"]
