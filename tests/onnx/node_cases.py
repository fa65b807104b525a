"""ONNX's own node tests (onnx.backend.test), generated in memory, and which of them count.

What counts is what onnxruntime's CPU provider passes, without sequences, strings, optionals and
training: the names in tests/data/onnx/node_baseline.txt, which tools/onnx_baseline.py writes.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import onnx
from onnx import numpy_helper
from onnx.backend.test.runner import Runner

BASELINE = Path(__file__).parents[1] / "data" / "onnx" / "node_baseline.txt"


@cache
def cases() -> Mapping[str, Any]:
    """Every node test of the installed `onnx`, by name."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's, about what the tests compute with
        return {case.name: case for case in collect_testcases(None)}


def baseline() -> list[str]:
    """The names of the tests that count."""
    return BASELINE.read_text().split()


def array(given: Any) -> Any:
    """What a test gives or expects, as an array."""
    return numpy_helper.to_array(given) if isinstance(given, onnx.TensorProto) else given


def check(case: Any, prepared: Any) -> None:
    """Run a case on a prepared backend; AssertionError where an output differs."""
    for inputs, outputs in case.data_sets:
        got = prepared.run([array(each) for each in inputs])
        want = [array(each) for each in outputs]
        Runner.assert_similar_outputs(want, list(got), rtol=case.rtol, atol=case.atol)
