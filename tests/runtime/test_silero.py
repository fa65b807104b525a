"""Silero voice activity detection: branches chosen by the sampling rate, LSTM, carried state."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from edgewise.host.cpython import CPythonHost
from edgewise.runtime.model import Target
from edgewise.runtime.onnx import OnnxSession
from edgewise.store.pack import pack
from edgewise.tasks.onnx import open_model
from tests.conftest import MODELS

Array = NDArray[Any]
FOLDER = MODELS / "silero-vad"
FILES = ("silero_vad.onnx", "silero_vad_op18_ifless.onnx")
TARGETS = ("reference", pytest.param("webgpu", marks=pytest.mark.gpu))


def model_file(name: str) -> Path:
    path = FOLDER / name
    if not path.exists():
        pytest.fail(f"{path} is missing; the set-up command fetches it")
    return path


def chunks(rate: int, count: int) -> list[Array]:
    """Half a sweep over the pitches of a voice with its overtones, half noise."""
    size = 512 if rate == 16000 else 256
    time = np.arange(count * size) / rate
    sweep = sum(np.sin(2 * np.pi * overtone * (110 + 60 * time) * time) / overtone
                for overtone in range(1, 9))  # fmt: skip
    noise = np.random.default_rng(9).normal(size=time.size) * 0.02
    sound = np.where(time < time[-1] / 2, 0.2 * sweep, 0) + noise
    rows = sound.astype(np.float32).reshape(count, size)
    context = size // 8  # the end of each chunk comes again before the next one
    before = np.concatenate([np.zeros((1, context), np.float32), rows[:-1, -context:]])
    return list(np.concatenate([before, rows], 1)[:, None])


async def ours(session: OnnxSession, rate: int, count: int) -> list[dict[str, Array]]:
    state, made = np.zeros((2, 1, 128), np.float32), []
    for chunk in chunks(rate, count):
        made.append(await session.run({"input": chunk, "state": state, "sr": np.array(rate)}))
        state = made[-1]["stateN"]
    return made


def compare(path: Path, found: list[dict[str, Array]], rate: int) -> list[float]:
    """Within 1e-4 of onnxruntime, each carrying its own state; the chances that it is a voice."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    official = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    state = np.zeros((2, 1, 128), np.float32)
    chances = []
    for chunk, made in zip(chunks(rate, len(found)), found, strict=True):
        given = {"input": chunk, "state": state, "sr": np.array(rate)}
        chance, state = official.run(["output", "stateN"], given)
        np.testing.assert_allclose(made["output"], chance, rtol=0, atol=1e-4)
        np.testing.assert_allclose(made["stateN"], state, rtol=0, atol=1e-4)
        chances.append(float(chance[0, 0]))
    return chances


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("rate", [16000, 8000])
@pytest.mark.parametrize("name", FILES)
def test_it_hears_what_onnxruntime_hears(
    name: str, rate: int, target: Target, tmp_path: Path
) -> None:
    path = model_file(name)

    async def answer() -> list[dict[str, Array]]:
        session = await open_model(str(path), target=target, host=CPythonHost(tmp_path))
        found = await ours(session, rate, 12)
        await session.close()
        return found

    chances = compare(path, asyncio.run(answer()), rate)
    assert max(chances) > min(chances) + 0.05, "sound and noise are told apart"


@pytest.mark.parametrize("name", FILES)
def test_packed(name: str, tmp_path: Path) -> None:
    """Weights of both rates' branches lie in one file; each rate has its graph."""
    path = model_file(name)
    written = pack(path, tmp_path / "out")

    async def answer() -> list[list[dict[str, Array]]]:
        host = CPythonHost(tmp_path / "store")
        session = await open_model(str(written), target="reference", host=host)
        found = [await ours(session, rate, 3) for rate in (16000, 8000)]
        await session.close()
        return found

    for rate, found in zip((16000, 8000), asyncio.run(answer()), strict=True):
        compare(path, found, rate)
