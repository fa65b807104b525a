"""SmolLM2-135M with LoRAs that PEFT made, unmerged, against PEFT's merged model.

The numbers are those of tests/oracles/smollm2_lora.py: logits after each step of a case, where a
step has weights of adapters and reads tokens. The base is the same Q4_1 file on both sides.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewise.dtypes import DType
from edgewise.host.base import Target, WeightFile
from edgewise.host.cpython import CPythonHost
from edgewise.importers.adapters import WEIGHTS
from edgewise.runtime.adapters import Adapted
from edgewise.runtime.programs import Variant, build_plan
from edgewise.runtime.session import fetch
from edgewise.store.pack import pack
from edgewise.tasks.documents import load_manifest

DATA = Path(__file__).resolve().parents[1] / "data"
ORACLE = json.loads((DATA / "lora_oracle.json").read_text())
LOGITS = np.load(DATA / "lora_oracle.npz")
LIMIT = 1e-3  # of the logits' norm, as for the base (test_smollm2.py)
VOCAB = 49152
NAMES = ("qv", "all")
SHORT = ("swapped",)  # the reference takes its time


@pytest.fixture(scope="module")
def model(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Adapted:
    folder = tmp_path_factory.mktemp("lora")
    base = pack(model_path, folder)
    written = [pack(DATA / "adapters" / name, folder, base=base) for name in NAMES]
    host = CPythonHost(folder / "store")
    manifest, *parts = (asyncio.run(load_manifest(host, str(path))) for path in (base, *written))
    return Adapted(manifest, dict(zip(NAMES, parts, strict=True)))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "target", [pytest.param("webgpu", marks=pytest.mark.gpu), "wasm", "reference"]
)
def test_logits_are_the_merged_models(model: Adapted, target: Target) -> None:
    async def go() -> None:
        folder = Path(model.base.file.url).parent
        host = CPythonHost(folder / "store")
        await bring(host, model)
        device = await host.open_device(target)
        plan = build_plan(
            model.manifest, device.facts, Variant(DType.FLOAT32, frozenset()), 64, model.adapters
        )
        weights = WeightFile(model.manifest.segments)
        executable = await device.load(plan, weights, lambda done, total: None)
        for case in ORACLE["cases"]:
            if target == "reference" and case["name"] not in SHORT:
                continue
            past = 0
            for index, step in enumerate(case["steps"]):
                weights_now = np.array([step["weights"].get(n, 0.0) for n in NAMES], np.float32)
                await executable.write(WEIGHTS, weights_now.tobytes())
                tokens = np.array(step["tokens"], np.int32)
                await executable.write("tokens", tokens.tobytes())
                bindings = {"seq": len(tokens), "past": past}
                await executable.run("prefill" if len(tokens) > 1 else "decode", bindings)
                past += len(tokens)
                got = np.frombuffer(await executable.read("logits"), np.float32)[:VOCAB]
                compare(got, f"{case['name']}_{index}")
        await executable.close()
        await device.close()

    asyncio.run(go())


async def bring(host: CPythonHost, model: Adapted) -> None:
    """All files into the store."""
    for each in (model.base, *model.parts.values()):
        await fetch(host, each, lambda progress: None)


def compare(got: Any, name: str) -> None:
    wanted = LOGITS[f"{name}_logits"].astype(np.float64)
    chosen = got[LOGITS[f"{name}_indices"]]
    error = np.linalg.norm(chosen - wanted) / np.linalg.norm(wanted)
    assert error <= LIMIT, f"{name}: {error}"
