"""What is measured of a device: the sizes that figures are made of, and real devices."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edgewise.formats.blocks import BLOCKS
from edgewise.host.base import Target
from edgewise.host.cpython import CPythonHost
from edgewise.router import measure as measuring
from edgewise.router.measure import MATRIX_NBYTES, STREAMED, TYPE, WIDTH, graph, measure, measured
from edgewise.router.predict import Rates
from edgewise.router.probe import Probe, probe
from edgewise.tasks.documents import load_manifest
from tests.tiny_chat import ReferenceHost, TinyChat

TARGETS = ["wasm", pytest.param("webgpu", marks=pytest.mark.gpu)]


class Scripted:
    """A host whose clock ticks by itself, with an executable that takes a while."""

    def __init__(self, run_ms: float) -> None:
        self.now, self.runs, self._run_ms = 0.0, 0, run_ms

    def clock(self) -> float:
        return self.now

    async def write(self, name: str, data: bytes) -> None:
        assert len(data) == 4 * WIDTH

    async def run(self, program: str, bindings: dict[str, int]) -> None:
        self.runs += 1
        self.now += self._run_ms + (500.0 if self.runs == 1 else 0.0)

    async def read(self, name: str, nbytes: int) -> bytes:
        self.now += 1.0  # a GPU's answer
        return b""


@pytest.mark.parametrize(("run_ms", "runs"), [(0.05, 64), (1.0, 16), (40.0, 1)])
def test_an_answers_delay_is_shared_among_runs(run_ms: float, runs: int) -> None:
    scripted = Scripted(run_ms)
    took = asyncio.run(measuring._run_ms(scripted, scripted, 1))  # type: ignore[arg-type]
    assert took == pytest.approx(run_ms + 1.0 / runs)


def test_the_weights_are_more_than_a_cache_holds_and_as_large_as_the_formats() -> None:
    assert WIDTH * WIDTH // BLOCKS[TYPE].elements * BLOCKS[TYPE].nbytes == MATRIX_NBYTES
    assert STREAMED * MATRIX_NBYTES > 15e6
    assert len(graph(1, STREAMED).nodes) == STREAMED


@pytest.mark.parametrize("target", TARGETS)
def test_a_real_device(target: Target, tmp_path: Path) -> None:
    host = CPythonHost(tmp_path)

    async def go() -> Rates:
        device = await host.open_device(target)
        try:
            return await measure(host, device)
        finally:
            await device.close()

    rates = asyncio.run(go())
    for figure in (rates.nbytes, rates.madds, rates.loaded):
        assert 1e6 < figure < 1e15


def test_a_device_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package's files have a digest: those of a checkout change."""
    host, made = CPythonHost(tmp_path), []

    async def fake(host: object, device: object) -> Rates:
        made.append(device)
        return Rates(1.0, 2.0, 3.0)

    async def go() -> list[Rates]:
        device = await host.open_device("reference")
        return [await measured(host, device) for _ in range(3)]

    monkeypatch.setattr(measuring, "measure", fake)
    monkeypatch.setattr(measuring, "package_digest", lambda: "a digest")
    assert asyncio.run(go()) == [Rates(1.0, 2.0, 3.0)] * 3
    assert len(made) == 1
    monkeypatch.setattr(measuring, "package_digest", lambda: None)
    asyncio.run(go())
    assert len(made) == 4


def found_by(host: CPythonHost, tiny: TinyChat, target: Target | None = None) -> Probe:
    async def go() -> Probe:
        return await probe(host, await load_manifest(host, str(tiny.manifest)), target)

    return asyncio.run(go())


def test_one_device_needs_no_measuring(tiny: TinyChat, tmp_path: Path) -> None:
    (found,) = found_by(ReferenceHost(tmp_path), tiny).devices
    assert (found.target, found.rates) == ("reference", None), "it stands in for both"
    (found,) = found_by(CPythonHost(tmp_path), tiny, "wasm").devices
    assert (found.target, found.rates) == ("wasm", None)


@pytest.mark.gpu
def test_a_real_machine_has_a_choice(tiny: TinyChat, tmp_path: Path) -> None:
    devices = {found.target: found for found in found_by(CPythonHost(tmp_path), tiny).devices}
    assert set(devices) == {"webgpu", "wasm"}
    for found in devices.values():
        assert found.facts is not None
        assert found.rates is not None
