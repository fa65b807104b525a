"""The Wasm executor in CPython: memory, threads, and what happens when one of them dies."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.dtypes import DType
from edgewise.errors import DeviceLostError, HostError, PlanError, QuotaError
from edgewise.graph.builder import GraphBuilder
from edgewise.host.arena import ALIGNMENT, Arena
from edgewise.host.base import WeightFile
from edgewise.host.wasm import WasmDevice
from edgewise.targets.wasm.compile import compile_plan
from tests.graphs import turned

MODULES = [("simd", 1), ("relaxed", 1), ("threads", 1), ("threads", 2), ("threads", 5)]
NOTHING: Callable[[int, int], None] = lambda done, total: None  # noqa: E731


async def read(hash: str) -> bytes:
    raise AssertionError(f"no object is read {hash=}")


@pytest.mark.parametrize(("module", "threads"), MODULES)
def test_a_plan_with_a_symbol(module: str, threads: int) -> None:
    device = WasmDevice(read, module=module, threads=threads)
    plan = compile_plan({"main": turned(300)}, {}, device.facts)

    async def go() -> None:
        executable = await device.load(plan.to_json(), WeightFile(()), NOTHING)
        assert executable.nbytes == plan.nbytes
        for rows in (300, 17, 0, 1):
            x = np.random.default_rng(rows).random((rows, 7, 50), dtype=np.float32)
            await executable.write("x", x.tobytes())
            await executable.run("main", {"n": rows})
            y = np.frombuffer(await executable.read("y", x.nbytes), np.float32)
            want = x.transpose(0, 2, 1).reshape(rows, 10, 35).transpose(2, 1, 0)
            assert np.array_equal(y.reshape(want.shape), want)
        await executable.close()
        await device.close()

    asyncio.run(go())


def test_threads_end_with_the_device() -> None:
    before = threading.active_count()
    for _ in range(20):
        device = WasmDevice(read, threads=4)
        asyncio.run(device.close())
    assert threading.active_count() == before


def test_memory_goes_with_the_device() -> None:
    """At once: gigabytes do not wait for a garbage collector."""
    for threads in (1, 2):
        for _ in range(8):
            device = WasmDevice(read, threads=threads)
            memory, store = device.instance.memory, device.instance.store
            device.clear(device.take(1 << 30), 1 << 20)
            asyncio.run(device.close())
            for gone in (memory, store):
                with pytest.raises(ValueError, match="closed"):
                    gone.ptr()  # type: ignore[union-attr]
            with pytest.raises(DeviceLostError, match="closed"):
                device.run(0, 0)
            asyncio.run(device.close())


def test_memory_is_given_back() -> None:
    device = WasmDevice(read, threads=1)
    plan = compile_plan({"main": turned(3000)}, {}, device.facts)

    async def go() -> int:
        executable = await device.load(plan.to_json(), WeightFile(()), NOTHING)
        await executable.close()
        return len(device.instance.bytes())

    assert len({asyncio.run(go()) for _ in range(5)}) == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_a_trap_loses_the_device(threads: int) -> None:
    """Whichever thread reads from nowhere."""
    device = WasmDevice(read, threads=threads)
    address = device.take(4096)
    arguments = [0xFFFFFF00, 0xFFFFFF00, 4, 0, 1, 1, 64, 64, 0, 0, 64, 1]
    record = struct.pack("<4I", device.instance.kernels["move"], address + 16, 64, 1)
    device.write(address, record + struct.pack(f"<{len(arguments)}I", *arguments))
    for _ in range(2):
        with pytest.raises(DeviceLostError, match="trapped"):
            device.run(address, 1)
    asyncio.run(device.close())


def test_a_kernel_that_the_module_lacks_is_named() -> None:
    device = WasmDevice(read, threads=1)
    plan = compile_plan({"main": turned(3)}, {}, device.facts).to_json()
    with pytest.raises(HostError, match="kernel 'warp'"):
        asyncio.run(device.load(plan.replace('"move"', '"warp"'), WeightFile(()), NOTHING))


def test_a_model_over_4_gib_is_refused_before_anything_is_loaded() -> None:
    b = GraphBuilder("large")
    for name in "ab":
        x = b.input(name, DType.FLOAT32, (1 << 15, 1 << 14))
        b.output(f"{name}_turned", b.transpose(x))
    device = WasmDevice(read, threads=1)
    with pytest.raises(PlanError, match="choose a smaller model"):
        compile_plan({"main": b.build()}, {}, device.facts)


def test_memory_that_cannot_grow_is_named() -> None:
    device = WasmDevice(read, threads=1)
    with pytest.raises(QuotaError, match="4 GiB"):
        device.take((1 << 32) - (1 << 16))
    assert device.take(1 << 20) > 0, "what fits still fits"


@given(st.lists(st.tuples(st.integers(0, 5000), st.booleans()), max_size=40))
def test_ranges_never_overlap(calls: list[tuple[int, bool]]) -> None:
    arena = Arena(100, 1024)
    taken: list[tuple[int, int]] = []
    for nbytes, gives in calls:
        if gives and taken:
            arena.give(*taken.pop(nbytes % len(taken)))
            continue
        address = arena.take(nbytes)
        if address is None:
            arena.grow(-(-arena.lacking(nbytes) // 1024) * 1024)
            address = arena.take(nbytes)
        assert address is not None
        assert address % ALIGNMENT == 0
        assert address + nbytes <= arena.end
        taken.append((address, nbytes))
    spans = sorted((low, low + max(nbytes, 1)) for low, nbytes in taken)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
