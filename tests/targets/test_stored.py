"""Quantised matrices of separate tensors in a file: pairs made on the device, none in a run."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest

from edgewise.arrays import encode
from edgewise.dtypes import DType
from edgewise.graph.builder import GraphBuilder
from edgewise.graph.graph import Graph, Source
from edgewise.host.base import WeightBytes
from edgewise.host.cpython import CPythonHost
from edgewise.runtime.model import Model
from edgewise.targets.factored import FACTOR, bind
from edgewise.targets.reference_plan import Place

F32, F16 = DType.FLOAT32, DType.FLOAT16
K, GROUP, M = 128, 32, 3
KINDS = ("none", "scalar", "inline", "codes before", "codes after", "floats after")


def made(rows: int, dtype: DType, kind: str) -> tuple[Graph, dict[str, Place], bytes, Any]:
    """y = x Wᵀ with W's parts in one file, and what y is for x."""
    rng = np.random.default_rng(7)
    groups = K // GROUP
    codes = rng.integers(0, 16, (rows, K))
    zero = rng.integers(0, 16, (rows, groups))
    scale = rng.uniform(0.01, 0.02, (rows, groups)).astype(dtype.value)
    b = GraphBuilder("product")
    data, places = b"", {}

    def store(name: str, array: Any, type: str, of: DType) -> Any:
        nonlocal data
        raw = encode(array, of)
        data += bytes(-len(data) % 7 * 4)  # tensors begin anywhere that words do
        places[name] = Place(type, array.shape, len(data), len(raw))
        data += raw
        return b.constant(of, array.shape, source=Source(name, type, "values"))

    x = b.input("x", F32, (M, K))
    if kind == "codes before":
        stored_zero = store("z", zero, "U4", DType.UINT4)
    parts = (store("c", codes, "U4", DType.UINT4),
             store("s", scale, "F16" if dtype is F16 else "F32", dtype))  # fmt: skip
    minimum = None
    if kind == "none":
        zero = np.zeros_like(zero)
    elif kind == "scalar":
        minimum, zero = b.mul(parts[1], b.scalar(dtype, -8)), np.full_like(zero, 8)
    elif kind == "inline":
        inline = b.constant(dtype, zero.shape, data=encode(-zero.astype(dtype.value), dtype))
        minimum = b.mul(parts[1], inline)
    elif kind == "floats after":
        minimum = b.mul(parts[1], store("f", -zero.astype(dtype.value),
                                        "F16" if dtype is F16 else "F32", dtype))  # fmt: skip
    else:
        if kind == "codes after":
            stored_zero = store("z", zero, "U4", DType.UINT4)
        minimum = b.mul(parts[1], b.neg(b.cast(stored_zero, dtype)))
    b.output("y", b.quantized_matmul(x, *parts, minimum, dtype=F32))
    given = rng.normal(size=(M, K)).astype(np.float32)
    weight = (codes - zero.repeat(GROUP, 1)) * scale.astype(np.float64).repeat(GROUP, 1)
    return b.build(), places, data, (given, given @ weight.T)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [F32, F16])
@pytest.mark.parametrize("rows", [5, 700])
def test_the_product_is_right_and_no_run_computes_minima(
    rows: int, dtype: DType, kind: str
) -> None:
    graph, places, data, (x, expected) = made(rows, dtype, kind)

    async def answer() -> tuple[Any, str]:
        model = await Model.load(CPythonHost(), graph, places, WeightBytes(data), target="webgpu")
        found = (await model.run({"x": x}))["y"]
        plan = model.report.plan.text
        await model.close()
        return found, plan

    found, plan = asyncio.run(answer())
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3 if dtype is F32 else 2e-2)
    assert len(json.loads(plan)["programs"]["main"]) == 1


def test_what_is_not_a_factor_stays() -> None:
    graph, _, _, _ = made(5, F32, "none")
    assert bind(graph) == graph
    b = GraphBuilder("computed")
    x = b.input("x", F32, (M, K))
    codes = b.constant(DType.UINT4, (8, K), source=Source("c", "U4", "values"))
    scale = b.constant(F32, (8, 4), source=Source("s", "F32", "values"))
    minimum = b.mul(scale, b.input("f", F32, (8, 4)))
    b.output("y", b.quantized_matmul(x, codes, scale, minimum, dtype=F32))
    (*_, node) = bind(b.build()).nodes
    assert FACTOR not in node.attrs
