"""ONNX's node tests on the Wasm target in real browsers.

tests/onnx holds what wasmtime makes of them against what ONNX expects. Here the same runs, recorded
on the way (plan, weights, inputs), are made again in a page on every module: their outputs are
wasmtime's.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pytest

from e2e.browsers import engines
from e2e.wasm_page import WasmPage
from edgewise import onnx_backend
from edgewise.host.base import Executable, WeightFile, Weights
from edgewise.host.wasm import WasmDevice
from edgewise.targets.device import DeviceFacts
from tests.onnx.known import KNOWN
from tests.onnx.node_cases import baseline, cases, check

#: Of an output's largest number: without fused multiply-add sums round once more a term.
NEAR = {"float32": 2e-5, "float16": 2e-3}
LARGEST = 1 << 20  # bytes of a run; larger ones try the transfer to the page, not the kernels


@dataclass(slots=True)
class Run:
    """One run of one plan, and what wasmtime made."""

    name: str
    plan: str
    weights: bytes
    inputs: dict[str, bytes]
    bindings: dict[str, int]
    outputs: dict[str, bytes] = field(default_factory=dict)

    def to_json(self, devices: list[DeviceFacts]) -> dict[str, object]:
        """What the page needs; a plan is the same on every module."""
        return {
            "plans": [self.plan, *[None] * (len(devices) - 1)],
            "weights": base64.b64encode(self.weights).decode(),
            "inputs": {n: base64.b64encode(data).decode() for n, data in self.inputs.items()},
            "bindings": self.bindings,
            "outputs": list(self.outputs),
        }

    def error(self, result: dict[str, Any]) -> str | None:
        """What is wrong with a result, or None."""
        if "error" in result:
            return str(result["error"])
        for name, wanted in self.outputs.items():
            got = base64.b64decode(result["outputs"][name])[: len(wanted)]
            if got != wanted and not near(got, wanted):
                return f"{name}: {got[:40].hex()} for {wanted[:40].hex()}"
        return None


class Recorder:
    """A Wasm device whose runs are noted. `name`: the test that runs."""

    def __init__(self, inner: WasmDevice) -> None:
        self._inner = inner
        self.facts = inner.facts
        self.name = ""
        self.runs: list[Run] = []

    async def load(
        self,
        plan: str,
        weights: Weights,
        on_progress: Callable[[int, int], None],
        share: Sequence[Executable] = (),
    ) -> Recorded:
        """All weights are brought: what a page loads stands for itself."""
        assert not isinstance(weights, WeightFile), "node tests are in memory"
        loaded = await self._inner.load(plan, weights, on_progress)
        return Recorded(self, loaded, plan, bytes(weights.tail))

    async def close(self) -> None:
        """Let the device go."""
        await self._inner.close()


class Recorded:
    """A plan on it."""

    def __init__(self, device: Recorder, inner: Any, plan: str, weights: bytes) -> None:
        self._device, self._inner, self._plan, self._weights = device, inner, plan, weights
        self._given: dict[str, bytes] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def write(self, name: str, data: bytes) -> None:
        """Note an input."""
        self._given[name] = bytes(data)
        await self._inner.write(name, data)

    async def run(self, program: str, bindings: Mapping[str, int]) -> None:
        """Note a run."""
        assert program == "main", f"{program=}"
        made = Run(self._device.name, self._plan, self._weights, dict(self._given), dict(bindings))
        self._device.runs.append(made)
        await self._inner.run(program, bindings)

    async def read(self, name: str, nbytes: int | None = None) -> bytes:
        """Note an output."""
        data: bytes = await self._inner.read(name, nbytes)
        self._device.runs[-1].outputs[name] = data
        return data


async def _read(hash: str) -> bytes:
    raise AssertionError(f"node tests read no object {hash=}")


@cache
def runs() -> list[Run]:
    """Those of all node tests that pass."""
    with ThreadPoolExecutor(1) as apart:  # playwright has an event loop in this thread
        return apart.submit(_recorded).result()


def _recorded() -> list[Run]:
    recorder = Recorder(WasmDevice(_read, threads=1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(onnx_backend._devices, "wasm", recorder)
        for name in baseline():
            if name not in KNOWN["WASM"]:
                recorder.name = name
                case = cases()[name]
                check(case, onnx_backend.prepare(case.model, "WASM"))
    return recorder.runs


def nbytes(run: Run) -> int:
    return len(run.weights) + sum(map(len, run.inputs.values()))


def near(got: bytes, wanted: bytes) -> bool:
    """Whether two outputs are the same but for rounding, if their bytes are floats."""
    for dtype, limit in NEAR.items():
        if len(wanted) % np.dtype(dtype).itemsize:
            continue
        with np.errstate(all="ignore"):
            a, b = (np.frombuffer(data, dtype).astype(np.float64) for data in (got, wanted))
            scale = np.abs(b[np.isfinite(b)]).max(initial=1e-30)
            if np.allclose(a, b, rtol=0, atol=limit * scale, equal_nan=True):
                return True
    return False


@engines("chromium", "firefox")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, in the importer
@pytest.mark.timeout(240)
def test_node_tests_on_wasm(wasm: WasmPage) -> None:
    every = [run for run in runs() if run.outputs and nbytes(run) <= LARGEST]
    assert len({run.name for run in every}) > 1300
    wasm.check_everywhere(every)
