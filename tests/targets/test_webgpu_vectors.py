"""The W3C vectors on the WebGPU target, on wgpu, by the suite's own tolerances."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from edgewise.host.base import WeightFile
from edgewise.host.native import NativeDevice
from edgewise.targets.webgpu.compile import compile_plan
from tests.targets.vectors import Vector, vectors

CASES = list(vectors())
HALF = [case for case in CASES if case.half]


@pytest.fixture(scope="module")
def device() -> NativeDevice:
    async def read(hash: str) -> bytes:
        raise AssertionError(f"cases read no object {hash=}")

    return NativeDevice(read)


def run(device: NativeDevice, case: Vector, features: frozenset[str]) -> dict[str, bytes]:
    """The outputs of a case's plan."""
    facts = replace(device.facts, features=features)
    plan = compile_plan({"main": case.graph}, {}, facts, features=features)

    async def go() -> dict[str, bytes]:
        executable = await device.load(plan.to_json(), WeightFile(()), lambda done, total: None)
        for name, data in case.inputs.items():
            await executable.write(name, data)
        await executable.run("main", {})
        made = {name: await executable.read(name) for name in case.graph.outputs}
        await executable.close()
        return made

    return asyncio.run(go())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_vector(device: NativeDevice, case: Vector) -> None:
    assert case.wrong(run(device, case, device.facts.features)) is None


@pytest.mark.parametrize("case", HALF, ids=lambda case: case.name)
def test_vector_without_shader_f16(device: NativeDevice, case: Vector) -> None:
    """float16 in words of two, computed in float32, where the device has no f16."""
    assert "shader-f16" in device.facts.features, "else the other test is this one"
    assert case.wrong(run(device, case, device.facts.features - {"shader-f16"})) is None
