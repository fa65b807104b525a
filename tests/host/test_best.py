"""Which device is taken when nobody names one: hardware first, then Wasm, then what there is."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from edgewise.errors import NoDeviceError
from edgewise.host.base import Target
from edgewise.host.best import best_device
from edgewise.host.reference import FACTS

#: What a machine has -> what is taken, and what was closed again.
MACHINES: list[tuple[set[str], str, list[str]]] = [
    ({"webgpu", "wasm", "reference"}, "webgpu", []),
    ({"software", "wasm", "reference"}, "wasm", ["webgpu"]),
    ({"software", "reference"}, "webgpu", []),
    ({"wasm", "reference"}, "wasm", []),
    ({"reference"}, "reference", []),
]


class Machine:
    def __init__(self, has: set[str]) -> None:
        self.has, self.closed = has, list[str]()

    async def open(self, target: Target) -> Any:
        software = target == "webgpu" and "software" in self.has
        if target not in self.has and not software:
            raise NoDeviceError(f"no {target}")
        return Opened(self, target, software)


class Opened:
    def __init__(self, machine: Machine, target: str, software: bool) -> None:
        self._machine = machine
        self.facts = replace(FACTS, target=target, fallback=software)

    async def close(self) -> None:
        self._machine.closed.append(self.facts.target)


@pytest.mark.parametrize(("has", "taken", "closed"), MACHINES)
def test_the_best_of_a_machine(has: set[str], taken: str, closed: list[str]) -> None:
    machine = Machine(has)
    assert asyncio.run(best_device(machine.open)).facts.target == taken
    assert machine.closed == closed


def test_a_machine_with_none_says_what_the_gpu_lacks() -> None:
    with pytest.raises(NoDeviceError, match="no webgpu"):
        asyncio.run(best_device(Machine(set()).open))
