"""What tests of the Wasm target share: its devices, and one run of a graph on each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from edgewise.errors import UnsupportedError
from edgewise.graph.graph import Graph
from edgewise.host.base import WeightFile
from edgewise.host.wasm import WasmDevice
from edgewise.plan.plan import from_json
from edgewise.targets.wasm.compile import compile_plan, prepare

Devices = Mapping[str, WasmDevice]


async def _read(hash: str) -> bytes:
    raise AssertionError(f"cases read no object {hash=}")


def open_devices() -> Devices:
    """One of each module, and one of two threads."""
    return {
        "simd": WasmDevice(_read, module="simd"),
        "relaxed": WasmDevice(_read, module="relaxed"),
        "threads": WasmDevice(_read, module="threads", threads=1),
        "two threads": WasmDevice(_read, module="threads", threads=2),
    }


def close(devices: Devices) -> None:
    """Let all of them go."""
    for device in devices.values():
        asyncio.run(device.close())


def run_all(
    devices: Devices,
    graph: Graph,
    given: Mapping[str, bytes],
    bindings: Mapping[str, int] | None = None,
) -> dict[str, dict[str, bytes]]:
    """Each device's outputs and states by name; those of two threads are one thread's to the bit.

    Nothing in a plan depends on which of these devices runs it.
    """
    plan = compile_plan({"main": graph}, {}, devices["threads"].facts)
    text = plan.to_json()
    assert from_json(text) == plan, "a plan is what its JSON says"

    async def go(device: WasmDevice) -> dict[str, bytes]:
        executable = await device.load(text, WeightFile(()), lambda done, total: None)
        for name, data in given.items():
            await executable.write(name, data)
        await executable.run("main", bindings or {})
        made = {name: await executable.read(name) for name in (*graph.outputs, *graph.states)}
        await executable.close()
        return made

    async def all_of_them() -> dict[str, dict[str, bytes]]:
        return {name: await go(device) for name, device in devices.items()}

    made = asyncio.run(all_of_them())
    assert made["two threads"] == made["threads"], "work is shared without a difference"
    return {name: each for name, each in made.items() if name != "two threads"}


def has_kernels(graph: Graph) -> bool:
    """Whether every operator of a graph has a kernel."""
    try:
        prepare(graph)
    except UnsupportedError:
        return False
    return True
