"""8-bit layers on Wasm: how far quantised activations may be off, and weights from a file."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from edgewise.dtypes import DType
from edgewise.graph.builder import GraphBuilder
from edgewise.graph.graph import Source
from edgewise.host.base import WeightBytes
from edgewise.targets.reference_plan import Place
from edgewise.targets.wasm import lower_gemm8
from edgewise.targets.wasm.compile import compile_plan
from tests.targets.wasm import Devices, run_all

M, N, K = 13, 21, 600
GROUP, STEPS = 128, 127  # columns of x that share a range; steps from its low to its high end
ROUNDING = 1e-5  # of the largest output: float32 sums of a few terms


def layer(given: dict[str, Any]) -> Any:
    """A graph of one layer, its constants as `given` for each."""
    b = GraphBuilder("layer")
    x = b.input("x", DType.FLOAT32, (M, K))
    codes = b.constant(DType.INT8, (N, K), **given["codes"])
    scale = b.constant(DType.FLOAT32, (N, 1), **given["scale"])
    b.output("y", b.quantized_linear(x, codes, scale))
    return b.build()


def some(seed: int) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((M, K)).astype("f4") * rng.uniform(0.1, 9, (M, 1)).astype("f4")
    codes = rng.integers(-127, 128, (N, K)).astype("i1")
    return x, codes, rng.uniform(0.01, 0.1, (N, 1)).astype("f4")


def paired(codes: Any) -> Any:
    """Codes whose products fill 16 bits to the last, but for the last panel's."""
    sizes = np.resize([64, 65, 64, 65, 65, 64, 65, 64], codes.shape)
    made = (np.where(codes < 0, -1, 1) * sizes).astype("i1")
    made[0], made[1] = sizes[0], -sizes[0]
    made[2] = np.where(np.arange(K) % 2, -127, 127)  # more together, but of both signs
    made[16:] = codes[16:]
    return made


@pytest.mark.parametrize("pairs", [False, True])
def test_off_by_half_a_step_of_x_at_most(devices: Devices, pairs: bool) -> None:
    x, codes, scale = some(1)
    if pairs:
        codes = paired(codes)
        x[6] = np.where(np.arange(K) % GROUP == 0, -1, 1)  # the largest code nearly everywhere
        x[7] = np.where(np.arange(K) % 2, -1, 1)
    x[3], x[4, 7], x[5] = 2.5, np.nan, 0  # a row without a range, one without a number, zeros
    graph = layer({"codes": {"data": codes.tobytes()}, "scale": {"data": scale.tobytes()}})
    weight = codes.astype("f8") * scale
    wanted = x @ weight.T
    limit = np.full((M, N), ROUNDING * np.nanmax(np.abs(wanted)))
    for group in (slice(at, at + GROUP) for at in range(0, K, GROUP)):
        step = np.ptp(x[:, group], axis=1, keepdims=True) / STEPS
        limit += step / 2 * np.abs(weight[:, group]).sum(1)
    made = {name: each["y"] for name, each in run_all(devices, graph, {"x": x.tobytes()}).items()}
    assert len(set(made.values())) == 1, "all modules sum the same integers"
    y = np.frombuffer(made["simd"], "f4")[: M * N].reshape(M, N)
    assert np.isnan(y[4]).all()
    fine = np.arange(M) != 4
    assert (np.abs(y - wanted)[fine] <= limit[fine]).all()
    assert np.abs(y - wanted)[3].max() <= ROUNDING * np.nanmax(np.abs(wanted))
    assert not y[5].any()


def test_weights_of_a_file_come_in_pieces(
    devices: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lower_gemm8, "UPLOAD_BYTES", 9 * K)  # 8 rows at a time, then 5
    x, codes, scale = some(2)
    inline = layer({"codes": {"data": codes.tobytes()}, "scale": {"data": scale.tobytes()}})
    places = {
        "w": Place("I8", (N, K), 0, codes.nbytes), "s": Place("F32", (N, 1), codes.nbytes, 4 * N)
    }  # fmt: skip
    stored = layer({
        "codes": {"source": Source("w", "I8", "values")},
        "scale": {"source": Source("s", "F32", "values")},
    })  # fmt: skip
    device = devices["threads"]

    async def go() -> bytes:
        plan = compile_plan({"main": stored}, places, device.facts)
        file = WeightBytes(codes.tobytes() + scale.tobytes())
        executable = await device.load(plan.to_json(), file, lambda done, total: None)
        await executable.write("x", x.tobytes())
        await executable.run("main", {})
        made = await executable.read("y")
        await executable.close()
        return made

    assert asyncio.run(go()) == run_all(devices, inline, {"x": x.tobytes()})["threads"]["y"]
