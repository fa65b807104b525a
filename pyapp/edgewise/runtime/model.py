"""Any graph, ready to run on one device: arrays in, arrays out.

Whatever runs a graph goes through here: WebNN graphs built by hand, ONNX models, encoders.
Language models with a state and a decode loop have `session.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal, Self

from .. import debug
from ..errors import InputError, ShapeError
from ..graph.graph import Graph, Value
from ..host.base import Device, Executable, Host, Weights
from ..passes import pipeline
from ..passes.base import Note
from ..targets.device import DeviceFacts
from ..targets.reference_plan import Tensor
from ..targets.webnn.facts import WebnnFacts
from . import arrays
from .arrays import Given
from .compiling import Compiled
from .external import externalise
from .static import StaticShapes

Target = Literal["auto", "webgpu", "wasm", "reference", "webnn"]


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a graph.

    facts        of the device; `facts.target` says which kind of plan runs
    nodes        of the graph as it was given, and after the passes
    notes        what the passes did, and what they declined and why
    plan         steps and memory as planned
    nbytes       memory that the device really took for it, and `peak_nbytes` the most it took:
                 less than planned where it shares weights
    *_ms         how long compiling and loading took
    """

    facts: DeviceFacts
    nodes: tuple[int, int]
    notes: tuple[Note, ...]
    plan: Compiled
    nbytes: int
    peak_nbytes: int
    compile_ms: float
    load_ms: float

    def __str__(self) -> str:
        before, after = self.nodes
        return (
            f"{self.facts.target} on {self.facts.name}: {before} nodes, {after} after the passes; "
            f"{self.plan}; allocated {self.nbytes} bytes (planned {self.plan.nbytes}), at most "
            f"{self.peak_nbytes} (planned {self.plan.peak_nbytes})"
        )


class Model:
    """A graph on a device. Make one with `load`; `report` says what came of the graph."""

    def __init__(
        self, host: Host, graph: Graph, device: Device, executable: Executable, report: Report
    ) -> None:
        self.graph, self.report = graph, report
        self._host, self._device, self._executable = host, device, executable
        self._owned = False
        self._one_at_a_time = asyncio.Lock()

    @classmethod
    async def load(
        cls,
        host: Host,
        graph: Graph,
        tensors: Mapping[str, Tensor],
        weights: Weights,
        *,
        target: Target = "auto",
        device: Device | None = None,
        splitting: bool = True,
        share: Sequence[Model] = (),
    ) -> Self:
        """Compile `graph` and bring its weights to a device.

        tensors    where the constants with a source lie in `weights`
        target     what it is to run on; "auto" is the best device there is
        device     one that is open already, instead of a target; `close` leaves it open
        splitting  whether what "webnn" does not take may run on another device of the machine
        share      models of the same weights on `device`: what they hold there is used, too

        Raises NoDeviceError, UnsupportedError with every operator that the target lacks,
        PlanError for what does not fit, StoreError for weights that are gone.
        """
        given = device
        if device is None:
            device = await host.open_device(None if target == "auto" else target)
        try:
            executable, report = await _loaded(
                host, graph, tensors, weights, device, splitting, share
            )
        except BaseException:
            if given is None:
                await device.close()
            raise
        model = cls(host, graph, device, executable, report)
        model._owned = given is None
        return model

    @property
    def nbytes(self) -> int:
        """Memory that the device holds for it now; of what models share, the oldest's."""
        return self._executable.nbytes

    async def run(
        self, inputs: Mapping[str, Given], bindings: Mapping[str, int] | None = None
    ) -> dict[str, Any]:
        """Run once: the outputs by name, in their own data types.

        inputs    NumPy arrays, or the bytes of arrays, by name
        bindings  values of symbols that no array's shape tells

        Raises InputError, ShapeError, DTypeError for inputs that the graph does not take.
        """
        known, data = self._checked(inputs, bindings or {})
        made = {}
        for name, raw in (await self._run(data, known)).items():
            value = self.graph.values[self.graph.outputs[name]]
            made[name] = arrays.from_bytes(value.dtype, arrays.sizes(value, known), raw)
        return made

    async def run_bytes(
        self, inputs: Mapping[str, Given], bindings: Mapping[str, int] | None = None
    ) -> dict[str, bytes]:
        """As `run`, with the bytes of the outputs; 4-bit elements are packed."""
        known, data = self._checked(inputs, bindings or {})
        return await self._run(data, known)

    def run_sync(
        self, inputs: Mapping[str, Given], bindings: Mapping[str, int] | None = None
    ) -> dict[str, Any]:
        """As `run`, where the caller may wait. Raises HostError where it may not."""
        return self._host.wait(self.run(inputs, bindings), "run(...)")

    async def close(self) -> None:
        """Free what it holds, and the device if it was opened for this model."""
        await self._executable.close()
        if self._owned:
            await self._device.close()

    def _checked(
        self, inputs: Mapping[str, Given], bindings: Mapping[str, int]
    ) -> tuple[dict[str, int], dict[str, bytes]]:
        graph = self.graph
        arrays.check_names(f"inputs of '{graph.name}'", inputs, graph.inputs)
        known = arrays.bindings_of(graph, inputs, bindings)
        return known, {n: _sized(graph.values[n], given, known) for n, given in inputs.items()}

    async def _run(self, data: Mapping[str, bytes], known: Mapping[str, int]) -> dict[str, bytes]:
        async with self._one_at_a_time:
            for name, each in data.items():
                await self._executable.write(name, each)
            await self._executable.run("main", known)
            # at once: each would wait for the device by itself
            made = await asyncio.gather(*(self._read(name, known) for name in self.graph.outputs))
            return dict(zip(self.graph.outputs, made, strict=True))

    async def _read(self, name: str, bindings: Mapping[str, int]) -> bytes:
        value = self.graph.values[self.graph.outputs[name]]
        nbytes = value.dtype.nbytes(prod(arrays.sizes(value, bindings)))
        return (await self._executable.read(name, nbytes))[:nbytes] if nbytes else b""


async def _loaded(
    host: Host,
    graph: Graph,
    tensors: Mapping[str, Tensor],
    weights: Weights,
    device: Device,
    splitting: bool,
    share: Sequence[Model],
) -> tuple[Executable, Report]:
    if graph.states:
        raise InputError(f"graph '{graph.name}'", got=f"states {sorted(graph.states)}",
                         need="inputs and outputs alone", fix="use a session")  # fmt: skip
    start = host.clock()
    fused, notes = pipeline.run(
        graph, debug.level(), lambda text: debug.say(debug.TIMINGS, "passes", text)
    )
    moved = externalise(fused, tensors, weights)
    facts = device.facts
    if isinstance(facts, WebnnFacts) and not splitting:
        facts = replace(facts, rest=())
    static = StaticShapes(device, facts, moved)
    executable: Executable
    if isinstance(facts, WebnnFacts) and moved.graph.symbols:
        # what is not supported is said now, at the bounds; the rest when shapes are known
        plan, executable = static.compile(moved.graph.symbols), static
        compiled = host.clock()
    else:
        plan = static.compile({})
        compiled = host.clock()
        others = [each._executable for each in share]
        executable = await device.load(plan.text, moved.weights, lambda done, total: None, others)
    report = Report(
        facts, (len(graph.nodes), len(fused.nodes)), (*notes, *plan.notes), plan,
        executable.nbytes,
        executable.peak_nbytes, compiled - start, host.clock() - compiled,
    )  # fmt: skip
    debug.say(debug.TIMINGS, "model", str(report))
    return executable, report


def _sized(value: Value, given: Given, bindings: Mapping[str, int]) -> bytes:
    data = arrays.to_bytes(value, given)
    shape = arrays.sizes(value, bindings)
    need = value.dtype.nbytes(prod(shape))
    if len(data) != need:
        raise ShapeError(f"'{value.name}'", got=f"{len(data)} bytes",
                         need=f"{need} for {value.dtype}{list(shape)}")  # fmt: skip
    return data
