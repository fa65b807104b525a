"""The W3C web-platform-tests vectors of tests/data/webnn, as NumPy arrays, with WPT's comparison.

A file is a list of cases: inputs, one or more operators applied in order, the expected arrays and
a tolerance. NaN, infinities and integers beyond 2^53 are strings there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Json = dict[str, Any]
FOLDER = Path(__file__).parent.parent / "data" / "webnn"
STORED = {"int4": "int8", "uint4": "uint8"}
RENAMED = {"roundingType": "outputShapeRounding"}  # an option's older name in the suite


def operators() -> list[str]:
    """The operators that have vectors."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def cases(operator: str) -> list[Json]:
    """The cases of `operator`."""
    loaded: list[Json] = json.loads((FOLDER / f"{operator}.json").read_text())
    for step in (step for case in loaded for step in case["ops"]):
        options = (step.get("options") or {}).items()
        step["options"] = {RENAMED.get(name, name): given for name, given in options}
    return loaded


def number(given: object) -> Any:
    """A number that JSON does not hold, from its text; any other text and number as it is."""
    if not isinstance(given, str):
        return given
    if given.lstrip("-").isdigit():
        return int(given)
    return float(given) if given.lstrip("-") in ("NaN", "Infinity") else given


def array(tensor: Json) -> Array:
    """The array that a case describes by `shape`, `dtype` and `data` or `fill`."""
    dtype = np.dtype(STORED.get(tensor["dtype"], tensor["dtype"]))
    if "fill" in tensor:
        return np.full(tensor["shape"], number(tensor["fill"]), dtype)
    numbers = [number(each) for each in tensor["data"]]
    made: Array
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            made = np.array(numbers, np.float64).astype(np.float32).astype(dtype)
    else:
        made = np.array([int(each) for each in numbers], dtype)
    return made.reshape(tensor["shape"])


def distance(got: Array, want: Array) -> Array:
    """WPT's ulpDistance: steps between two numbers of a float type, differences of integers."""
    if got.dtype.kind != "f":
        exact: Array = np.abs(got.astype(object) - want.astype(object)).astype(np.float64)
        return exact.reshape(got.shape)
    bits = got.dtype.itemsize * 8
    ordered = []
    for each in (got, want):
        raw = np.ascontiguousarray(each).view(f"uint{bits}").astype(np.int64).reshape(each.shape)
        top = 1 << (bits - 1)
        ordered.append(np.where(raw >= top, top - raw, raw))
    steps = np.abs(ordered[0] - ordered[1]).astype(np.float64)
    nans = np.isnan(got), np.isnan(want)
    return np.where(nans[0] & nans[1], 0, np.where(nans[0] != nans[1], np.inf, steps))


def worst(got: Array, want: Array, metric: str) -> float:
    """The largest distance between two arrays; infinite where one alone is NaN."""
    if np.array_equal(got, want, equal_nan=True):
        return 0.0  # most cases; the largest has 36 million elements
    if metric == "ULP":
        off = distance(got, want)
    else:
        with np.errstate(invalid="ignore"):
            wide, wanted = got.astype(np.float64), want.astype(np.float64)
            same = (wide == wanted) | (np.isnan(wide) & np.isnan(wanted))
            off = np.where(same, 0, np.abs(wide - wanted))
    return float(np.nan_to_num(off, nan=np.inf).max(initial=0.0))
