"""ONNX's node tests on every target: those of the baseline pass, but for the ones listed."""

from __future__ import annotations

import pytest

from edgewise import onnx_backend
from tests.onnx.known import KNOWN, SHARE
from tests.onnx.node_cases import baseline, cases, check

NAMES = baseline()
MARKS = {"WEBGPU": pytest.mark.gpu}
TARGETS = [pytest.param(target, marks=MARKS.get(target, ())) for target in KNOWN]


@pytest.mark.parametrize("target", list(KNOWN))
def test_enough_of_the_baseline_passes(target: str) -> None:
    assert len(NAMES) > 1300
    assert len(NAMES) == len(set(NAMES))
    assert set(KNOWN[target]) <= set(NAMES)
    assert len(KNOWN[target]) <= (1 - SHARE[target]) * len(NAMES)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NAMES)
def test_node(name: str, target: str) -> None:
    case = cases()[name]
    if name in KNOWN[target]:
        with pytest.raises(Exception):  # noqa: B017, PT011
            check(case, onnx_backend.prepare(case.model, target))
        return
    check(case, onnx_backend.prepare(case.model, target))
