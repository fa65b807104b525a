"""The golden check's numbers are the reference's, and the check finds a wrong device."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from edgewise.dtypes import DType
from edgewise.errors import NoDeviceError
from edgewise.host.base import Weights
from edgewise.host.native import NativeDevice, NativeExecutable
from edgewise.host.wasm import wasm_facts
from edgewise.runtime import golden
from edgewise.runtime.variant import candidates, choose
from edgewise.store.folder import Folder
from edgewise.targets.device import DeviceFacts
from edgewise.targets.reference import Reference

F32, F16 = DType.FLOAT32, DType.FLOAT16


async def read(hash: str) -> bytes:
    raise AssertionError(f"the check reads no object {hash=}")


class WrongExecutable:
    """A real executable whose logits come out of a device that rounds too much."""

    def __init__(self, inner: NativeExecutable, step: float) -> None:
        self._inner, self._step = inner, step

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def read(self, name: str, nbytes: int | None = None) -> bytes:
        values = np.frombuffer(await self._inner.read(name), np.float32)
        return (np.round(values / self._step) * self._step).astype(np.float32).tobytes()


class WrongDevice:
    """A device that computes float16 variants wrongly, as some drivers do."""

    def __init__(self, facts: DeviceFacts) -> None:
        self._inner, self.facts = NativeDevice(read), facts

    async def load(self, plan: str, weights: Weights, on_progress: Any, share: Any = ()) -> Any:
        executable = await self._inner.load(plan, weights, on_progress, share)
        return WrongExecutable(executable, 0.2) if "f16" in plan else executable

    async def close(self) -> None:
        await self._inner.close()


def facts(device: NativeDevice, **changes: object) -> DeviceFacts:
    return DeviceFacts.from_dict({**device.facts.to_dict(), **changes})


def test_expected_logits_are_the_references() -> None:
    reference = Reference(golden.graph(F32), _no_tensor, precise=True)
    shape = (8, golden.KV_HEADS, golden.HEAD_DIM)
    states: Mapping[str, Any] = {"k": np.zeros(shape), "v": np.zeros(shape)}
    runs = ((golden.TOKENS, 0), ((golden.NEXT,), len(golden.TOKENS)))
    for (tokens, past), wanted in zip(runs, golden.expected(), strict=True):
        inputs = {"tokens": np.array(tokens, np.int32)}
        outputs, states = reference.run(inputs, states, {"seq": len(tokens), "past": past})
        assert np.abs(outputs["logits"][0] - np.array(wanted)).max() < 1e-8


def _no_tensor(constant: object) -> Any:
    raise AssertionError(f"the check has inline constants only {constant=}")


@pytest.mark.parametrize("activation", [F32, F16])
@pytest.mark.parametrize("fallback", [True, False])
def test_this_device_passes(activation: DType, fallback: bool) -> None:
    device = NativeDevice(read)
    device.facts = facts(device, fallback=fallback)
    code = golden.plan(device, activation, device.facts.features)
    assert asyncio.run(golden.check(device, code, activation)) is None


def test_wasm_computes_in_float32_alone(tmp_path: Any) -> None:
    facts = wasm_facts("threads", 2)
    assert [str(v) for v in candidates(facts, "auto")] == ["float32"]
    assert candidates(facts, "float16") == []


def test_wrong_float16_falls_to_float32(tmp_path: Any) -> None:
    device = WrongDevice(facts(NativeDevice(read), fallback=False))
    store = Folder(tmp_path)
    for _ in range(2):  # the second time from the store
        choice = asyncio.run(choose(store, device, "auto"))
        assert choice.variant.activation == F32
        assert "float16" in choice.rejected[0][0]
        assert "logits are off" in choice.rejected[0][1]


def test_float16_that_was_asked_for_and_is_wrong(tmp_path: Any) -> None:
    device = WrongDevice(facts(NativeDevice(read), fallback=False))
    with pytest.raises(NoDeviceError, match="logits are off"):
        asyncio.run(choose(Folder(tmp_path), device, "float16"))


def test_candidates_by_what_the_device_has() -> None:
    some = facts(NativeDevice(read), fallback=False, features=["shader-f16", "subgroups"])
    assert [str(v) for v in candidates(some, "auto")] == [
        "float16 + subgroups", "float32 + subgroups", "float32",
    ]  # fmt: skip
    software = facts(NativeDevice(read), fallback=True, features=["shader-f16", "subgroups"])
    assert [str(v) for v in candidates(software, "auto")] == ["float32"]
    assert [str(v) for v in candidates(software, "float16")] == ["float16"]
    assert [str(v) for v in candidates(some, "float32")] == ["float32 + subgroups", "float32"]
