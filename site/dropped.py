"""A dropped ONNX model: what it asks for, made-up inputs, and how long it takes.

Knows nothing of the page. NumPy is imported where it is used: the page loads it with the model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from statistics import median
from typing import TYPE_CHECKING, Any

from edgewise.errors import InputError
from edgewise.formats.onnx import OnnxModel, OnnxValue
from edgewise.host.base import Host
from edgewise.importers.onnx.arrays import NUMPY, dtype_of
from edgewise.runtime.model import Report
from edgewise.runtime.onnx import OnnxSession

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

MAX_NBYTES = 1 << 30  # of the files, and of the inputs: a page's Python has 4 GB at most
RUNS, ENOUGH_MS = 5, 2_000.0  # following runs, and when no further one is begun
BATCH, SIZE = 1, 64  # sizes that are proposed


@dataclass(frozen=True, slots=True)
class Size:
    """A size that a person is to choose. `name` says which, for people; `key` for `Choice`."""

    key: str
    name: str
    proposed: int


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen: sizes by key, numbers to fill integer inputs with by name, and a seed."""

    sizes: Mapping[str, int]
    fills: Mapping[str, int]
    seed: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of running: the outputs, milliseconds, and the runtime's own report."""

    outputs: Mapping[str, Array]
    first_ms: float
    following_ms: float
    runs: int
    report: Report


def given(onnx: OnnxModel) -> Iterator[OnnxValue]:
    """The inputs that a caller gives: in old models an input may have an initializer."""
    constant = {tensor.name for tensor in onnx.graph.initializers}
    return (each for each in onnx.graph.inputs if each.name not in constant)


def sizes(onnx: OnnxModel) -> list[Size]:
    """The sizes that the model leaves open; one that it names twice is asked for once."""
    found: dict[str, Size] = {}
    for value in given(onnx):
        for axis, dim in enumerate(value.shape or ()):
            key = _key(value.name, axis, dim)
            if key is not None and key not in found:
                batch = axis == 0 or (isinstance(dim, str) and "batch" in dim.lower())
                found[key] = Size(key, _title(value.name, axis, key), BATCH if batch else SIZE)
    return list(found.values())


def whole(onnx: OnnxModel) -> list[str]:
    """The inputs of whole numbers, which a person may want to set."""
    return [each.name for each in given(onnx) if "INT" in (each.dtype or "")]


def inputs(onnx: OnnxModel, choice: Choice) -> dict[str, Array]:
    """Made-up arrays: numbers in [0, 1), whole numbers 0 or 1, from `numpy.random.default_rng`.

    Raises UnsupportedError for a type that is no tensor of numbers, InputError for absurd sizes.
    """
    import numpy as np

    draw = np.random.default_rng(choice.seed)
    shapes = {each.name: _shape(each, choice.sizes) for each in given(onnx)}
    total = sum(map(prod, shapes.values()))
    if total * 4 > MAX_NBYTES:
        most = MAX_NBYTES // 4
        raise InputError("inputs of these sizes", got=f"{total} elements", need=f"at most {most}",
                         fix="choose smaller sizes")  # fmt: skip
    made: dict[str, Array] = {}
    for each in given(onnx):
        dtype_of(each.dtype, f"input {each.name!r}")
        type, shape = NUMPY.get(each.dtype or "", "uint8"), shapes[each.name]
        if each.name in choice.fills:
            made[each.name] = np.full(shape, choice.fills[each.name]).astype(type)
        elif "float" in type:
            made[each.name] = draw.random(shape, np.float32).astype(type)
        else:
            made[each.name] = draw.integers(0, 2, shape).astype(type)
    return made


async def measure(
    host: Host, session: OnnxSession, arrays: Mapping[str, Array], on_ready: Callable[[], None]
) -> Measured:
    """Run once, which compiles and loads, then a few times more."""
    start = host.clock()
    outputs = await session.run(arrays)
    first, following = host.clock() - start, list[float]()
    on_ready()
    while len(following) < RUNS and sum(following) < ENOUGH_MS:
        start = host.clock()
        await session.run(arrays)
        following.append(host.clock() - start)
    assert session.latest is not None
    report = session.latest.model.report
    return Measured(outputs, first, median(following), len(following), report)


def _key(name: str, axis: int, dim: int | str | None) -> str | None:
    """What an open size is asked for by; None where it is fixed."""
    if isinstance(dim, str) and re.search(r"\w", dim):
        return dim
    # what has no name, as Paddle's `?`, is a size of its own; 0 is what some exporters write
    return None if isinstance(dim, int) and dim > 0 else f"{name}[{axis}]"


def _title(name: str, axis: int, key: str) -> str:
    """An open size's name for people: the model's own, else where it is."""
    return f"{name}, axis {axis}" if key == f"{name}[{axis}]" else key


def _shape(value: OnnxValue, chosen: Mapping[str, int]) -> tuple[int, ...]:
    keys = [_key(value.name, axis, dim) for axis, dim in enumerate(value.shape or ())]
    return tuple(
        chosen[key] if key is not None else int(dim or 0)
        for key, dim in zip(keys, value.shape or (), strict=True)
    )
