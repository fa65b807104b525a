"""What a case of a kernel is, how it is judged, and what families of cases are made with."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.dims import evaluate
from edgewise.dtypes import DType
from edgewise.graph.builder import GraphBuilder
from edgewise.graph.graph import Graph, Value, specialise
from edgewise.targets.reference import Reference

Array = NDArray[Any]
F32, F16, I32, U32 = DType.FLOAT32, DType.FLOAT16, DType.INT32, DType.UINT32
# Of the largest magnitude of an output: float32 sums of a few hundred terms; float16 rounds once
# or twice (2^-11 each), and its inputs are rounded before both sides see them.
LIMIT = {F32: 2e-5, F16: 2e-3, I32: 0.0, U32: 0.0}
#: What WGSL lets a device be off by (its section 15.7.4), and some use.
DEVICE_LIMIT = {"sin": 2.0**-11, "cos": 2.0**-11}


@dataclass(frozen=True)
class Case:
    """One graph, what goes in, and what has to come out (outputs, then states, by name)."""

    name: str
    graph: Graph
    bindings: Mapping[str, int]
    inputs: Mapping[str, Array]
    states: Mapping[str, Array]
    limits: Mapping[str, int] = field(default_factory=dict)

    def expected(self) -> dict[str, Array]:
        """By the decomposition, in float64."""
        reference = Reference(self.graph, _no_tensor, precise=True)
        outputs, states = reference.run(self.inputs, self.states, self.bindings)
        return {**outputs, **states}

    def value(self, name: str) -> Value:
        """The graph's value of an output or a state."""
        return self.graph.values[self.graph.outputs.get(name, name)]

    def count(self, name: str) -> int:
        """Elements of an output or state in this run."""
        shape = [evaluate(dim, self.bindings) for dim in self.value(name).shape]
        return int(np.prod(shape))


def check(case: Case, got: Mapping[str, Array], least: float = 0.0) -> None:
    """Assert that every output and state is within its type's limit, or `least` of the largest."""
    for name, wanted in case.expected().items():
        dtype = case.value(name).dtype
        a, b = np.asarray(got[name], np.float64).ravel(), np.asarray(wanted, np.float64).ravel()
        assert a.shape == b.shape, f"{case.name} {name}: {a.shape} for {b.shape}"
        scale = np.abs(b).max() if b.size else 1.0
        worst = np.abs(a - b).max() if b.size else 0.0
        limit = max(max(LIMIT.get(dtype, 0.0), least) * scale, DEVICE_LIMIT.get(case.name, 0.0))
        assert worst <= limit, f"{case.name} {name}: off by {worst} of {scale}"


def _no_tensor(constant: object) -> Array:
    raise AssertionError(f"a case has inline constants only {constant=}")


class Maker:
    """A builder with random constants; every case has its own seed, from its name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))
        self.b = GraphBuilder("case")
        self.seq = self.b.symbol("seq", 40)
        self.past = self.b.symbol("past", 300)
        self.inputs: dict[str, Array] = {}
        self.states: dict[str, Array] = {}

    def floats(self, *shape: int) -> Array:
        return self.rng.normal(size=shape).astype(np.float32)

    def weight(
        self, n: int, k: int, bits: int, group: int, wide: bool, minimum: bool = True
    ) -> tuple[Value, Value, Value | None]:
        codes = self.rng.integers(0, 256, n * k * bits // 8, dtype=np.uint8).tobytes()
        kind, dtype = (np.float32, F32) if wide else (np.float16, F16)
        scale = self.rng.uniform(0.01, 0.1, (n, k // group)).astype(kind)
        low = self.rng.normal(size=(n, k // group)).astype(kind)
        return (
            self.b.constant(DType.UINT4 if bits == 4 else DType.INT8, (n, k), data=codes),
            self.b.constant(dtype, scale.shape, data=scale.tobytes()),
            self.b.constant(dtype, low.shape, data=low.tobytes()) if minimum else None,
        )

    def vector(self, n: int) -> Value:
        return self.b.vector(F32, self.rng.uniform(0.5, 1.5, n).tolist())

    def input(
        self, name: str, dtype: DType, shape: tuple[Any, ...], run: Mapping[str, int]
    ) -> Value:
        sizes = [evaluate(dim, run) for dim in shape]
        self.inputs[name] = self.rng.normal(size=sizes).astype(dtype.value)
        return self.b.input(name, dtype, shape)

    def state(self, name: str, dtype: DType, shape: tuple[int, ...]) -> Value:
        self.states[name] = self.rng.normal(size=shape).astype(dtype.value)
        return self.b.state(name, dtype, shape)

    def case(self, run: Mapping[str, int], limits: Mapping[str, int] | None = None) -> Case:
        graph = self.b.build()
        if run["seq"] == 1:
            graph = specialise(graph, {"seq": 1})
        return Case(self.name, graph, run, self.inputs, self.states, limits or {})
