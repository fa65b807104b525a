"""Every kernel on wgpu against the decomposition that it stands for."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from edgewise.dtypes import DType
from edgewise.errors import PlanError, UnsupportedError
from edgewise.graph.builder import GraphBuilder
from edgewise.graph.graph import specialise
from edgewise.host.base import WeightFile
from edgewise.host.native import NativeDevice
from edgewise.ops.base import OPS
from edgewise.plan.plan import from_json
from edgewise.targets.device import DeviceFacts
from edgewise.targets.webgpu.compile import LOWERINGS, STRUCTURED, compile_plan
from edgewise.targets.webgpu.tuning import FILL, LEAST_STEPS, gemm
from tests.targets.cases import Array, Case, all_cases, check

CASES = all_cases()


@pytest.fixture(scope="module")
def device() -> NativeDevice:
    async def read(hash: str) -> bytes:
        raise AssertionError(f"cases read no object {hash=}")

    return NativeDevice(read)


def run(device: NativeDevice, case: Case, facts: DeviceFacts) -> dict[str, Array]:
    """Outputs and states after one run of the case's plan for `facts`."""
    plan = compile_plan({"main": case.graph}, {}, facts, features=facts.features)
    assert from_json(plan.to_json()) == plan, "a plan is what its JSON says"

    async def go() -> dict[str, Array]:
        executable = await device.load(plan.to_json(), WeightFile(()), lambda done, total: None)
        for name, array in {**case.inputs, **case.states}.items():
            await executable.write(name, array.tobytes())
        await executable.run("main", case.bindings)
        got = {}
        for name in [*case.graph.outputs, *case.states]:
            dtype = case.value(name).dtype.value
            raw = await executable.read(name)
            got[name] = np.frombuffer(raw, dtype)[: case.count(name)]
        await executable.close()
        return got

    return asyncio.run(go())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_kernel_equals_decomposition(device: NativeDevice, case: Case) -> None:
    limits = {**device.facts.limits, **case.limits}
    check(case, run(device, case, replace(device.facts, limits=limits)))


TUNED = [
    (case, size)
    for size in (0, 4)
    for case in CASES
    if case.name.startswith(("quantized", "attention"))
    or (size == 0 and any(node.op in STRUCTURED for node in case.graph.nodes))
]


@pytest.mark.parametrize(("case", "subgroups"), TUNED, ids=lambda each: getattr(each, "name", each))
def test_kernel_as_tuned_for_a_gpu(device: NativeDevice, case: Case, subgroups: int) -> None:
    """Tiles in workgroup memory; lanes of a row add up there or in a subgroup."""
    assert device.facts.subgroup_min >= subgroups, "the adapter has smaller subgroups"
    facts = replace(device.facts, fallback=False, subgroup_min=subgroups)
    check(case, run(device, case, facts))


SLICED = [case for case in CASES if " sliced" in case.name]


@pytest.mark.parametrize("case", SLICED, ids=lambda case: case.name)
def test_long_sums_are_sliced_on_a_gpu_alone(device: NativeDevice, case: Case) -> None:
    for fallback in (False, True):
        facts = replace(device.facts, fallback=fallback)
        plan = compile_plan({"main": case.graph}, {}, facts, features=facts.features)
        assert any(kernel.name == "gemm_slices" for kernel in plan.kernels) is not fallback


@pytest.mark.parametrize("varies", [False, True])
def test_slices_fill_a_gpu_and_no_more(device: NativeDevice, varies: bool) -> None:
    gpu = replace(device.facts, fallback=False)
    sizes = [(128, 384, 1536, 1), (35, 45, 9000, 3), (2048, 384, 384, 1), (9000, 9000, 9000, 1),
             (64, 64, 65, 1), (0, 9, 400, 1)]  # fmt: skip
    for m, n, k, batches in sizes:
        shape = gemm(gpu, m, n, k, batches, varies=varies)
        side = shape.consts["SIDE"]
        tiles = -(-m // shape.rows) * -(-n // shape.columns) * batches
        if shape.slices > 1:
            assert tiles * shape.slices <= FILL[side] * (4 if varies else 1)
            assert k // shape.slices >= LEAST_STEPS * side
    assert gemm(gpu, 128, 384, 1536, 1, varies=varies).slices > 1
    assert gemm(gpu, 9000, 9000, 9000, 1, varies=varies).slices == 1


def test_more_sums_than_one_row_of_workgroups_adds(device: NativeDevice) -> None:
    b = GraphBuilder("long")
    x = b.input("x", DType.FLOAT32, (b.symbol("rows", 16384), 512))
    b.output("y", b.matmul(x, b.input("w", DType.FLOAT32, (512, 256))))
    gpu = replace(device.facts, fallback=False)
    plan = compile_plan({"main": b.build()}, {}, gpu, features=frozenset())
    adds = plan.programs["main"][-1]
    assert plan.kernels[adds.kernel].name == "gemm_slices"
    x_groups, y_groups, _ = (each.of({"rows": 16384}) for each in adds.groups)
    assert y_groups > 1
    assert x_groups * y_groups * 64 >= 16384 * 256


def test_every_composite_has_a_case() -> None:
    tried = {node.op for case in CASES for node in case.graph.nodes}
    composites = {name for name, row in OPS.items() if row.reference is None}
    decomposed = {"quantizedLinear"}  # what it decomposes to has kernels
    assert composites - decomposed <= LOWERINGS.keys() | STRUCTURED.keys()
    assert composites <= tried


def test_values_that_part_and_meet_again_are_stored_once(device: NativeDevice) -> None:
    """x * clamp(x + 3): one kernel, unless something else reads what is on the way."""
    for also, steps in ((False, 1), (True, 3)):
        b = GraphBuilder("swish")
        x, w = (b.input(name, DType.FLOAT32, (8, 8)) for name in "xw")
        made = b.matmul(x, w)
        moved = b.clamp(b.add(made, b.scalar(DType.FLOAT32, 3.0)), min_value=0.0, max_value=6.0)
        b.output("y", b.mul(made, moved))
        if also:
            b.output("moved", moved)
        plan = compile_plan({"main": b.build()}, {}, device.facts, features=frozenset())
        assert len(plan.programs["main"]) == steps


def test_products_of_one_value_are_one_product_on_a_gpu(device: NativeDevice) -> None:
    for case in (case for case in CASES if case.name.startswith("stacked products")):
        for fallback, steps in ((True, 5), (False, 2 + 5)):
            facts = replace(device.facts, fallback=fallback)
            plan = compile_plan({"main": case.graph}, {}, facts, features=frozenset())
            made = [plan.kernels[step.kernel].name for step in plan.programs["main"]]
            assert len(made) == steps, "two products, and their parts to the outputs"
            assert sum(name.startswith("gemm") for name in made) == (5 if fallback else 2)


def test_the_first_bytes_of_an_output(device: NativeDevice) -> None:
    case = next(case for case in CASES if case.name.startswith("rmsNorm float32"))
    plan = compile_plan({"main": case.graph}, {}, device.facts, features=frozenset())

    async def go() -> None:
        executable = await device.load(plan.to_json(), WeightFile(()), lambda done, total: None)
        await executable.write("x", case.inputs["x"].tobytes())
        await executable.run("main", case.bindings)
        whole = await executable.read("y")
        assert await executable.read("y", 10) == whole[:12], "whole words"
        assert await executable.read("y", len(whole) + 4) == whole
        await executable.close()

    asyncio.run(go())


def test_what_has_no_kernel_is_named_at_once(
    device: NativeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[0]
    for name in ("warp", "fold"):
        monkeypatch.setitem(OPS, name, replace(OPS["softmax"], name=name, decompose=None))
    nodes = tuple(replace(node, op=op) for node in case.graph.nodes for op in ("warp", "fold"))
    with pytest.raises(UnsupportedError, match="fold, warp"):
        compile_plan(
            {"main": replace(case.graph, nodes=nodes)}, {}, device.facts, features=frozenset()
        )


def test_a_buffer_over_the_limit_is_refused(device: NativeDevice) -> None:
    case = next(case for case in CASES if case.name.startswith("attention"))
    facts = replace(device.facts, limits={**device.facts.limits, "maxBufferSize": 1024})
    with pytest.raises(PlanError, match="at most 1024"):
        compile_plan({"main": specialise(case.graph, {})}, {}, facts, features=frozenset())
