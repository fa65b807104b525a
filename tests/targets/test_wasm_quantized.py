"""Quantised matrices on Wasm: every block type, parts that are stored apart, groups of any size."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from edgewise.dtypes import DType
from edgewise.formats.blocks import BlockType, dequantise
from edgewise.graph.builder import GraphBuilder
from edgewise.graph.graph import Source
from edgewise.host.base import WeightBytes
from edgewise.host.cpython import CPythonHost
from edgewise.importers.llama import CENTRED
from edgewise.runtime.model import Model
from edgewise.targets.reference_plan import Place
from edgewise.targets.wasm.compile import prepare
from tests.targets.test_stored import KINDS, made
from tests.targets.test_unpack import HALFS, QUANTISED

F32, F16 = DType.FLOAT32, DType.FLOAT16
ROWS, K, M = 13, 512, 5
#: Of the largest: see test_wasm.py.
LIMIT = 1e-4


def run(graph: Any, places: Any, data: bytes, inputs: dict[str, Any]) -> dict[str, Any]:
    async def go() -> dict[str, Any]:
        model = await Model.load(CPythonHost(), graph, places, WeightBytes(data), target="wasm")
        found = await model.run(inputs)
        await model.close()
        return dict(found)

    return asyncio.run(go())


def close(found: Any, expected: Any, limit: float = LIMIT) -> None:
    assert np.abs(found - expected).max() <= limit * np.abs(expected).max()


def raw_blocks(block: BlockType) -> bytes:
    """Random blocks with scales of a size that occurs."""
    rng = np.random.default_rng(block.code)
    raw = rng.integers(0, 256, (ROWS * K // block.elements, block.nbytes), np.uint8)
    for at in HALFS[block.name]:
        halfs = rng.uniform(-0.1, 0.1, len(raw)).astype(np.float16)
        raw[:, at : at + 2] = halfs.view(np.uint8).reshape(-1, 2)
    return raw.tobytes()


@pytest.mark.parametrize("block", QUANTISED, ids=lambda block: block.name)
def test_blocks_are_repacked_to_the_bit(block: BlockType) -> None:
    assert block.group is not None
    assert block.scale is not None
    b = GraphBuilder("blocks")
    codes = DType.UINT4 if block.bits == 4 else DType.INT8
    groups = (ROWS, K // block.group)
    parts = (
        b.constant(codes, (ROWS, K), source=Source("w", block.name, "codes")),
        b.constant(block.scale, groups, source=Source("w", block.name, "scale")),
        None if block.name in CENTRED
        else b.constant(block.scale, groups, source=Source("w", block.name, "minimum")),
    )  # fmt: skip
    x = b.input("x", F32, (M, K))
    ids = b.input("ids", DType.INT32, (ROWS,))
    b.output("rows", b.quantized_gather(*parts, ids, dtype=F32))
    b.output("y", b.quantized_matmul(x, *parts, dtype=F32))
    raw = raw_blocks(block)
    order = np.arange(ROWS, dtype=np.int32)[::-1].copy()
    given = np.random.default_rng(1).normal(size=(M, K)).astype(np.float32)
    places = {"w": Place(block.name, (ROWS, K), 0, len(raw))}
    found = run(b.build(), places, raw, {"x": given, "ids": order})
    weight = dequantise(raw, block.name, (ROWS, K))
    np.testing.assert_array_equal(found["rows"], weight[order])
    close(found["y"], given.astype(np.float64) @ weight.T)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [F32, F16])
def test_parts_stored_apart(dtype: DType, kind: str) -> None:
    graph, places, data, (x, expected) = made(13, dtype, kind)
    rounded = 2e-3 if dtype is F16 else LIMIT  # minima of float16 are rounded products, 2^-11 each
    close(run(graph, places, data, {"x": x})["y"], expected, rounded)


@pytest.mark.parametrize("group", [8, 16, 48, 96])
def test_groups_without_panels_are_decomposed(group: int) -> None:
    rng = np.random.default_rng(group)
    b = GraphBuilder("groups")
    codes = rng.integers(-128, 128, (ROWS, 96)).astype(np.int8)
    scale = rng.uniform(0.01, 0.1, (ROWS, 96 // group)).astype(np.float32)
    x = b.input("x", F32, (M, 96))
    y = b.quantized_matmul(
        x, b.constant(DType.INT8, codes.shape, data=codes.tobytes()),
        b.constant(F32, scale.shape, data=scale.tobytes()), dtype=F32,
    )  # fmt: skip
    b.output("y", y)
    graph = b.build()
    kept = any(node.op == "quantizedMatmul" for node in prepare(graph).nodes)
    assert kept is (group in (16, 96))
    given = rng.normal(size=(M, 96)).astype(np.float32)
    close(run(graph, {}, b"", {"x": given})["y"], given @ (codes * scale.repeat(group, 1)).T)
