"""Several devices as one: a plan in parts runs on them in order.

What one part gives the next is read back and written again, through Python: each crossing costs a
read-back's wait and two copies. A plan of one part costs nothing more than its device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..errors import InputError
from ..plan.parts import PartPlan, PartsPlan
from ..targets.device import DeviceFacts
from .base import Device, Executable, Weights
from .stateless import Stateless


class PartsDevice:
    """`facts` are those of the device that was asked for; `devices` has it and the others."""

    def __init__(self, facts: DeviceFacts, devices: Sequence[Device]) -> None:
        self.facts = facts
        self._devices = {device.facts.target: device for device in devices}

    async def load(
        self,
        plan: str,
        weights: Weights,
        on_progress: Callable[[int, int], None],
        share: Sequence[Executable] = (),
    ) -> PartsExecutable:
        """Load each part on its device. Raises StoreError, HostError.

        Nothing is shared: WebNN's constants belong to the graph that they were built into.
        """
        parsed = PartsPlan.from_json(plan)
        loaded: list[Executable] = []
        try:
            for part in parsed.parts:
                device = self._devices[part.target]
                loaded.append(await device.load(part.plan, weights, on_progress))
        except BaseException:
            for executable in loaded:
                await executable.close()
            raise
        return PartsExecutable(parsed, loaded)

    async def close(self) -> None:
        """Give all devices back."""
        for device in self._devices.values():
            await device.close()


class PartsExecutable(Stateless):
    """The parts of one plan, loaded."""

    kind = "a plan in parts"

    def __init__(self, plan: PartsPlan, parts: Sequence[Executable]) -> None:
        self._plan, self._parts = plan, parts
        # what gives each value, and its bytes
        self._makers = {
            value: (executable, nbytes)
            for part, executable in zip(plan.parts, parts, strict=True)
            for value, nbytes in part.outputs.items()
        }
        # inputs that are outputs too
        self._echoed: dict[str, bytes] = {}
        self.nbytes = sum(part.nbytes for part in parts)
        before = [sum(each.nbytes for each in parts[:index]) for index in range(len(parts))]
        self.peak_nbytes = max(
            (held + part.peak_nbytes for held, part in zip(before, parts, strict=True)), default=0
        )

    async def write(self, name: str, data: bytes) -> None:
        """Set an input, in every part that reads it."""
        if name not in self._plan.inputs:
            raise InputError("no such input", got=repr(name), need=str(list(self._plan.inputs)))
        if name in self._plan.outputs.values():
            self._echoed[name] = bytes(data)
        for part, executable in self._loaded():
            if name in part.inputs:
                await executable.write(name, data)

    async def read(self, name: str, nbytes: int | None = None) -> bytes:
        """The bytes of an output of the last run; always all."""
        value = self._plan.outputs.get(name)
        if value is None:
            raise InputError("no such output", got=repr(name), need=str(list(self._plan.outputs)))
        return await self._made(value) if value in self._makers else self._echoed[value]

    async def run(self, program: str, bindings: Mapping[str, int]) -> None:
        """Run the parts in order."""
        for part, executable in self._loaded():
            for value in part.inputs:
                if value in self._makers:
                    await executable.write(value, await self._made(value))
            await executable.run(program, bindings)

    async def _made(self, value: str) -> bytes:
        executable, nbytes = self._makers[value]
        return (await executable.read(value))[:nbytes]

    def _loaded(self) -> list[tuple[PartPlan, Executable]]:
        return list(zip(self._plan.parts, self._parts, strict=True))

    async def close(self) -> None:
        """Free what all parts hold."""
        for part in self._parts:
            await part.close()
