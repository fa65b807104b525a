"""A plan in parts on two devices of this machine: the reference and native WebGPU."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from edgewise.dtypes import DType
from edgewise.errors import FormatError, InputError, UnsupportedError
from edgewise.graph.builder import GraphBuilder
from edgewise.graph.graph import Graph
from edgewise.host.base import Device, WeightBytes
from edgewise.host.parts import PartsDevice, PartsExecutable
from edgewise.host.reference import ReferenceDevice
from edgewise.plan.parts import PartPlan, PartsPlan
from edgewise.runtime.compiling import compile_for, usable

F32 = DType.FLOAT32
X = np.array([1.0, 2.0], np.float32)


async def no_store(hash: str) -> bytes:
    raise AssertionError(f"{hash=}")


def step(name: str, takes: tuple[str, ...], gives: str, op: str) -> Graph:
    b = GraphBuilder(name)
    values = [b.input(each, F32, (2,)) for each in takes]
    b.output(gives, getattr(b, op)(*values))
    return b.build()


def planned(devices: list[Device], steps: list[tuple[int, Graph]]) -> PartsPlan:
    parts = []
    for index, graph in steps:
        facts = devices[index].facts
        text = compile_for(graph, {}, facts, usable(facts)).text
        parts.append(PartPlan(facts.target, text, graph.inputs, dict.fromkeys(graph.outputs, 8)))
    return PartsPlan("webnn", ("x", "y"), {"sum": "c", "middle": "b", "same": "y"}, tuple(parts))


async def loaded(devices: list[Device]) -> PartsExecutable:
    graphs = [
        (0, step("first", ("x",), "a", "neg")),
        (1, step("second", ("a", "y"), "b", "mul")),
        (0, step("third", ("a", "b"), "c", "add")),
    ]
    plan = planned(devices, graphs)
    assert PartsPlan.from_json(plan.to_json()) == plan
    device = PartsDevice(devices[0].facts, devices)
    return await device.load(plan.to_json(), WeightBytes(b""), lambda done, total: None)


@pytest.mark.gpu
def test_values_go_from_part_to_part() -> None:
    from edgewise.host.native import NativeDevice

    async def work() -> None:
        parts = await loaded([ReferenceDevice(no_store), NativeDevice(no_store)])
        for factor in (1, 3):
            await parts.write("x", (X * factor).tobytes())
            await parts.write("y", X.tobytes())
            await parts.run("main", {})
            got = {
                n: np.frombuffer(await parts.read(n), np.float32) for n in ("sum", "middle", "same")
            }
            np.testing.assert_array_equal(got["middle"], -X * factor * X)
            np.testing.assert_array_equal(got["sum"], -X * factor * X - X * factor)
            np.testing.assert_array_equal(got["same"], X)
        assert parts.nbytes > 0
        assert parts.peak_nbytes >= parts.nbytes
        await parts.close()

    asyncio.run(work())


def test_wrong_names_and_plans() -> None:
    async def work() -> None:
        reference = ReferenceDevice(no_store)
        parts = await loaded([reference, reference])
        with pytest.raises(InputError, match="no such input: got 'a'"):
            await parts.write("a", b"")
        with pytest.raises(InputError, match="no such output: got 'a'"):
            await parts.read("a")
        with pytest.raises(UnsupportedError, match="state 's'"):
            await parts.clear("s")
        with pytest.raises(FormatError, match="edgewise-parts/1"):
            await PartsDevice(reference.facts, [reference]).load(
                '{"format": "else"}', WeightBytes(b""), lambda done, total: None
            )

    asyncio.run(work())
