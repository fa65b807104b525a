"""Sizes that no device has room for are refused at once, before anything of the size is made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper

from edgewise.errors import EdgewiseError
from tests.importers.onnx.test_fold import build

HUGE = 1 << 40


def node(name: str, *inputs: str, **attributes: Any) -> Any:
    """A node that gives y."""
    return helper.make_node(name, list(inputs), ["y"], name="huge", **attributes)


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "Range": (node("Range", "a", "b", "c"),
              {"a": np.array(0), "b": np.array(HUGE), "c": np.array(1)}),
    "Range by nothing": (node("Range", "a", "b", "c"),
                         {"a": np.array(0), "b": np.array(9), "c": np.array(0)}),
    "ConstantOfShape": (node("ConstantOfShape", "s"), {"s": np.array([HUGE, 2])}),
    "Expand": (node("Expand", "x", "s"), {"s": np.array([HUGE, 4])}),
    "Tile": (node("Tile", "x", "s"), {"s": np.array([HUGE])}),
    "Pad": (node("Pad", "x", "s"), {"s": np.array([0, HUGE])}),
    "Pad around": (node("Pad", "x", "s", mode="wrap"), {"s": np.array([0, HUGE])}),
    "Pad mirrored": (node("Pad", "x", "s", mode="reflect"), {"s": np.array([0, HUGE])}),
    "OneHot": (node("OneHot", "i", "d", "v"),
               {"i": np.array([1]), "d": np.array(HUGE), "v": np.array([0, 1])}),
    "HannWindow": (node("HannWindow", "s"), {"s": np.array(HUGE)}),
    "DFT": (node("DFT", "x", "s", "a"), {"s": np.array(HUGE), "a": np.array(0)}),
    "Resize": (node("Resize", "x", "", "", "s"), {"s": np.array([HUGE])}),
    "Resize smoothly": (node("Resize", "x", "", "", "s", mode="linear"), {"s": np.array([HUGE])}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.timeout(5)
def test_absurd_sizes_are_refused(name: str) -> None:
    made, constants = CASES[name]
    with pytest.raises(EdgewiseError) as refused:
        build([made], {"x": (4,)}, constants=constants)
    assert "huge" in str(refused.value)
