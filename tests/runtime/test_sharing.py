"""Weights that several plans use lie on a device once, and go with the last of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewise.errors import HostError
from edgewise.host.base import Target, WeightBytes
from edgewise.host.cpython import CPythonHost
from edgewise.runtime.model import Model
from tests.runtime.sharing import LAYERS, NBYTES, expected, file, graph, once, story

GPU = pytest.param("webgpu", marks=pytest.mark.gpu)
FILE = sum(place.nbytes for place in file()[0].values())


def check(told: Mapping[str, Any], order: Sequence[int], target: str) -> None:
    """The figures and arrays of a story."""
    whole = FILE + NBYTES["table"]
    # small weights are pooled on a GPU: others, or in another order, are another pool
    pool = 2 * NBYTES["bias"] if target == "webgpu" else 0
    assert told["brought"] == [whole, 0, pool, whole]
    a, b, c = planned = told["planned"]
    some = whole - NBYTES["weight"] - NBYTES["bias"]  # what the third plan uses
    assert told["held"][0] == [a, b - whole, c - some + pool]
    for index in range(4):
        alive = [plan for plan in range(3) if plan not in order[:index]]
        own = sum(planned[plan] - (whole if plan < 2 else some) for plan in alive)
        shared = whole + pool * (2 in alive) if {0, 1} & {*alive} else some * (2 in alive)
        assert sum(told["held"][index]) == own + shared, (order, index)
        assert all(told["held"][index][plan] == 0 for plan in order[:index])
    for made in ("first", "last"):
        for y, (rows, layers) in zip(told[made], ((4, "abc"), (7, "abc"), (5, "ca")), strict=True):
            # sums of 256 products in float32, in up to three layers
            np.testing.assert_allclose(y, expected(rows, layers), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("target", ["reference", GPU])
def test_weights_are_kept_once(tmp_path: Path, target: Target) -> None:
    for order in permutations(range(3)):
        check(asyncio.run(story(CPythonHost(tmp_path), target, order)), order, target)


@pytest.mark.parametrize("target", ["reference", GPU])
def test_a_load_that_fails_leaves_what_it_shared(tmp_path: Path, target: Target) -> None:
    host = CPythonHost(tmp_path)
    tensors, data = file()

    async def work() -> None:
        device = await host.open_device(target)
        model = await Model.load(host, graph(4, "ab"), tensors, WeightBytes(data), device=device)
        before = model.nbytes
        cut = tensors | {"c.bias": replace(tensors["c.bias"], offset=2 * len(data))}
        with pytest.raises(HostError, match="at most"):
            await Model.load(host, graph(4, LAYERS), cut, WeightBytes(data),
                             device=device, share=[model])  # fmt: skip
        assert model.nbytes == before
        np.testing.assert_allclose(await once(model), expected(4, "ab"), rtol=1e-5, atol=1e-4)
        await model.close()
        assert model.nbytes == 0
        await device.close()

    asyncio.run(work())
