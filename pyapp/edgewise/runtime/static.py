"""A graph with symbols on a device whose plans have static shapes.

Each binding of the symbols has a plan of its own, built when it is first run; the last few stay.
Weights go to the device again with each: WebNN's constants belong to the graph that they were
built into. So let shapes be few: pad a batch to one of some sizes.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import InputError
from ..graph.graph import specialise
from ..host.base import Device, Executable
from ..host.stateless import Stateless
from ..targets.device import DeviceFacts
from .compiling import Compiled, compile_for, usable
from .external import Moved

#: Built graphs that stay. Each holds all weights.
KEPT = 4


class StaticShapes(Stateless):
    """An executable that builds others; `facts` are those to compile for on `device`."""

    kind = "a plan with static shapes"

    def __init__(self, device: Device, facts: DeviceFacts, moved: Moved) -> None:
        self._device, self._facts, self._moved = device, facts, moved
        self._built: dict[tuple[tuple[str, int], ...], Executable] = {}
        self._inputs: dict[str, bytes] = {}
        self._last: Executable | None = None

    @property
    def nbytes(self) -> int:
        """Of all that is built now."""
        return sum(each.nbytes for each in self._built.values())

    @property
    def peak_nbytes(self) -> int:
        """Of all that is built now, as each had when it was loaded."""
        return sum(each.peak_nbytes for each in self._built.values())

    def compile(self, bindings: Mapping[str, int]) -> Compiled:
        """The plan at `bindings`. Raises UnsupportedError, PlanError."""
        moved = self._moved
        graph = specialise(moved.graph, bindings)
        return compile_for(graph, moved.tensors, self._facts, usable(self._facts))

    async def write(self, name: str, data: bytes) -> None:
        """Set an input for the runs to come."""
        if name not in self._moved.graph.inputs:
            known = list(self._moved.graph.inputs)
            raise InputError("no such input", got=repr(name), need=str(known))
        self._inputs[name] = data

    async def read(self, name: str, nbytes: int | None = None) -> bytes:
        """The bytes of an output of the last run."""
        if self._last is None:
            raise InputError("nothing to read", got=repr(name), need="a run before it")
        return await self._last.read(name, nbytes)

    async def run(self, program: str, bindings: Mapping[str, int]) -> None:
        """Run with these values for the symbols, building the graph for them where need be."""
        key = tuple(sorted(bindings.items()))
        executable = self._built.pop(key, None)
        if executable is None:
            while len(self._built) >= KEPT:
                await self._built.pop(next(iter(self._built))).close()
            plan = self.compile(bindings)
            executable = await self._device.load(
                plan.text, self._moved.weights, lambda done, total: None
            )
        self._built[key] = self._last = executable  # in the order of use
        for name, data in self._inputs.items():
            await executable.write(name, data)
        await executable.run(program, {})

    async def close(self) -> None:
        """Free all that is built."""
        for executable in self._built.values():
            await executable.close()
        self._built.clear()
        self._last = None
