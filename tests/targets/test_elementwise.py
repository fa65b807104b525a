"""The WGSL of element-wise rows, on wgpu and in Wasm: NaN, infinities, -0, all sizes and types.

The oracle is the reference in float64. What a GPU may do with subnormal numbers is its own affair:
there are none here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewise.dtypes import DType
from edgewise.graph.graph import Graph
from edgewise.host.base import WeightFile
from edgewise.host.native import NativeDevice
from edgewise.host.wasm import WasmDevice
from edgewise.ops import OPS
from edgewise.ops.base import Op
from edgewise.plan.plan import Plan
from edgewise.targets.wasm.compile import compile_plan as wasm
from edgewise.targets.wasm.opcodes import OPCODES
from edgewise.targets.webgpu.compile import compile_plan as webgpu
from tests.ops.decomposition import Array, graph_of, outputs
from tests.ops.webnn_vectors import worst

NOT_FINITE = [np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0]
SMALL = [1e-30, -1e-30, 1e-7, -1e-7, 6e-5, -1e-3, 0.01, -0.01]
MIDDLE = [0.25, -0.3, 0.5, -0.5, 0.99999, 1.0, 1.00001, -1.0, 1.5, -1.5, 2.0, -2.5, 3.0, 3.5]
LARGE = [8.7, -8.7, 4e4, -9e4, 17.0, -17.0, 88.5, -88.5, 104.0, -104.0, 1e6, -1e6, 3e38, -3e38]
FLOATS = np.array(NOT_FINITE + SMALL + MIDDLE + LARGE)
#: How large the numbers are that a row is precise for: trigonometry is not for millions of turns,
#: a tail of 1e-22 is as rough as the driver's exp, and a high power as its logarithm.
WITHIN = {"sin": 1e5, "cos": 1e5, "tan": 1e5, "gelu": 9.0, "pow": 20.0}
ATTRS: dict[str, dict[str, Any]] = {
    "elu": {"alpha": 1.5}, "hardSigmoid": {"alpha": 0.3, "beta": 0.4}, "leakyRelu": {"alpha": 0.1},
    "linear": {"alpha": 3.0, "beta": -1.0}, "cast": {"dataType": DType.FLOAT16},
}  # fmt: skip
FLOAT_ROWS = [row for row in OPS.values() if row.wgsl and DType.FLOAT32 in row.inputs[-1].dtypes]
INTEGERS = [DType.INT8, DType.UINT8, DType.INT32, DType.UINT32, DType.INT64, DType.UINT64]


Run = Callable[[Graph, dict[str, Array]], Array]


async def _read(hash: str) -> bytes:
    raise AssertionError(f"cases read no object {hash=}")


@pytest.fixture(scope="module")
def run_webgpu() -> Run:
    device = NativeDevice(_read)

    def run(graph: Graph, arrays: dict[str, Array]) -> Array:
        plan = webgpu({"main": graph}, {}, device.facts, features=device.facts.features)
        return asyncio.run(_only_output(device, plan, graph, arrays))

    return run


@pytest.fixture(scope="module")
def run_wasm() -> Iterator[Run]:
    device = WasmDevice(_read, module="relaxed")

    def run(graph: Graph, arrays: dict[str, Array]) -> Array:
        plan = wasm({"main": graph}, {}, device.facts)
        return asyncio.run(_only_output(device, plan, graph, arrays))

    yield run
    asyncio.run(device.close())


@pytest.fixture(params=[pytest.param("webgpu", marks=pytest.mark.gpu), "wasm"])
def run(request: pytest.FixtureRequest) -> Run:
    """Gives the only output of a graph on a target."""
    made: Run = request.getfixturevalue(f"run_{request.param}")
    return made


async def _only_output(
    device: NativeDevice | WasmDevice, plan: Plan, graph: Graph, arrays: dict[str, Array]
) -> Array:
    executable = await device.load(plan.to_json(), WeightFile(()), lambda done, total: None)
    for name, array in arrays.items():
        await executable.write(name, array.tobytes())
    await executable.run("main", {})
    raw = await executable.read("y0")
    await executable.close()
    value = graph.values[graph.outputs["y0"]]
    shape = [dim for dim in value.shape if isinstance(dim, int)]
    return np.frombuffer(raw, value.dtype.value)[: np.prod(shape)].reshape(shape)


def _operands(row: Op, x: Array) -> dict[str, Array]:
    """Every pair of elements for two inputs, every triple with a boolean for `where`."""
    names = [port.name for port in row.inputs]
    if names[0] == "condition":
        condition = np.array([0, 1, 7], np.uint8)[:, None, None]
        return dict(zip(names, (condition, x[:, None], x), strict=True))
    return dict(zip(names, (x,) if len(names) == 1 else (x[:, None], x), strict=True))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("row", FLOAT_ROWS, ids=lambda row: row.name)
def test_floats(run: Run, row: Op, dtype: str) -> None:
    with np.errstate(over="ignore"):
        x = FLOATS.astype(dtype)
        x = x[~np.isfinite(x) | (np.abs(x) <= WITHIN.get(row.name, np.inf))]
    tiny = np.finfo(dtype).tiny
    arrays = _operands(row, x[(np.abs(x) >= tiny) | (x == 0) | np.isnan(x)])
    attrs = ATTRS.get(row.name, {})
    graph = graph_of(row.name, arrays, **attrs)
    got = run(graph, arrays)
    with np.errstate(over="ignore"):
        want = outputs(graph, arrays, precise=True)[0].astype(got.dtype)
    with np.errstate(invalid="ignore"):
        normal = ~((np.abs(want) < np.finfo(got.dtype).tiny) & (want != 0)) if (
            got.dtype.kind == "f") else np.full(want.shape, True)  # fmt: skip
    assert row.tolerance is not None
    limit = row.tolerance.float32 if dtype == "float32" else row.tolerance.float16
    assert worst(got[normal], want[normal], row.tolerance.metric) <= limit


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("row", [r for r in OPS.values() if r.wgsl], ids=lambda row: row.name)
def test_integers(run: Run, row: Op, dtype: DType) -> None:
    if dtype not in row.inputs[-1].dtypes:
        return
    info = np.iinfo(dtype.value)
    x = np.array(sorted({info.min, info.min + 1, 0, 1, 2, 3, 7, 100, info.max - 1, info.max}),
                 dtype.value)  # fmt: skip
    if info.min < 0:
        x = np.concatenate([x, np.array([-1, -2, -7], x.dtype)])
    arrays = _operands(row, x)
    if row.name == "div":
        arrays["b"] = arrays["b"][arrays["b"] != 0]  # by zero is any value
    if row.name == "pow":
        arrays["b"] = arrays["b"][arrays["b"] >= 0]
    attrs = {"dataType": DType.INT32} if row.name == "cast" else {}
    graph = graph_of(row.name, arrays, **attrs)
    np.testing.assert_array_equal(run(graph, arrays), outputs(graph, arrays)[0])


def test_opcodes_are_those_of_the_interpreter() -> None:
    text = (Path(__file__).parents[2] / "shims/wasm/tile.h").read_text()
    assert tuple(re.findall(r"\bX\((\w+)\)", text.split("#define OPCODES(X)")[1])) == OPCODES
