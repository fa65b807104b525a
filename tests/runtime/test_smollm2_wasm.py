"""SmolLM2-135M on Wasm against transformers in float32 (tests/oracles/smollm2.py)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

from edgewise.dtypes import DType
from edgewise.formats.gguf import parse
from edgewise.host.base import GenerateRequest, WeightFile
from edgewise.host.wasm import WasmDevice
from edgewise.runtime.programs import Variant, build_plan
from edgewise.store.base import Segment
from edgewise.store.pack import manifest_from_header

DATA = Path(__file__).resolve().parents[1] / "data"
ORACLE = json.loads((DATA / "smollm2_oracle.json").read_text())
LOGITS = np.load(DATA / "smollm2_oracle.npz")
LIMIT = 1e-3  # of the logits' norm, as in float32 on WebGPU


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("module", ["simd", "threads"])
def test_tokens_and_logits_equal_the_oracle(module: str, model_path: Path) -> None:
    data = model_path.read_bytes()

    async def read(hash: str) -> bytes:
        assert hash == "whole"
        return data

    async def go() -> None:
        manifest = manifest_from_header(parse(data), model_path.name, len(data))
        device = WasmDevice(read, module=module)
        plan = build_plan(manifest, device.facts, Variant(DType.FLOAT32, frozenset()), 1024)
        file = WeightFile((Segment("whole", len(data)),))
        executable = await device.load(plan, file, lambda done, total: None)
        await executable.write("settings", np.array([0, 0, 1, 1, 0], np.float32).tobytes())
        for prompt in ORACLE["prompts"].values():
            n = len(prompt["tokens"])
            request = GenerateRequest(
                tokens=tuple(prompt["prompt"]), past=0, max_new_tokens=n, stop_ids=frozenset(),
                uniforms=(0.0,) * n, batch=8, in_flight=1,
            )  # fmt: skip
            made = [t async for batch in executable.generate(request) for t in batch]
            assert made == prompt["tokens"]
        (case,) = (case for case in ORACLE["logits"] if case["length"] == 300)
        await executable.write("tokens", np.array(case["prompt"], np.int32).tobytes())
        await executable.run("prefill", {"seq": 300, "past": 0})
        wanted = LOGITS["prefill_300_logits"].astype(np.float64)
        found = np.frombuffer(await executable.read("logits"), np.float32)
        found = found[LOGITS["prefill_300_indices"]]
        assert np.linalg.norm(found - wanted) <= LIMIT * np.linalg.norm(wanted)
        await executable.close()
        await device.close()

    asyncio.run(go())
