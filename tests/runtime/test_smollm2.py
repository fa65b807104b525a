"""SmolLM2-135M on wgpu against transformers in float32 (tests/oracles/smollm2.py)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewise.dtypes import DType
from edgewise.formats.gguf import parse
from edgewise.host.base import GenerateRequest, WeightFile
from edgewise.host.native import NativeDevice, NativeExecutable
from edgewise.runtime.programs import Variant, build_plan
from edgewise.store.base import Segment
from edgewise.store.pack import manifest_from_header

DATA = Path(__file__).resolve().parents[1] / "data"
ORACLE = json.loads((DATA / "smollm2_oracle.json").read_text())
LOGITS = np.load(DATA / "smollm2_oracle.npz")
LIMIT = {DType.FLOAT32: 1e-3, DType.FLOAT16: 2e-2}
VOCAB = 49152


class Model:
    """The real model loaded on wgpu in one precision, on one event loop."""

    def __init__(self, path: Path, activation: DType) -> None:
        data = path.read_bytes()

        async def read(hash: str) -> bytes:
            assert hash == "whole"
            return data

        manifest = manifest_from_header(parse(data), path.name, len(data))
        device = NativeDevice(read)
        features = device.facts.features if activation == DType.FLOAT16 else frozenset[str]()
        plan = build_plan(manifest, device.facts, Variant(activation, features), 1024)
        self.activation = activation
        self.loop = asyncio.new_event_loop()
        self.executable: NativeExecutable = self.run(
            device.load(plan, WeightFile((Segment("whole", len(data)),)), lambda done, total: None)
        )

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def read_tokens(self, tokens: list[int], past: int) -> None:
        """Prefill, in chunks of the plan's bound."""
        chunk = self.executable.plan.symbols["seq"]
        for at in range(0, len(tokens), chunk):
            part = tokens[at : at + chunk]
            self.run(self.executable.write("tokens", np.array(part, np.int32).tobytes()))
            bindings = {"seq": len(part), "past": past + at}
            self.run(self.executable.run("prefill", bindings))

    def decode(self, token: int, past: int) -> None:
        """One step on a given token."""
        self.run(self.executable.write("tokens", np.array([token], np.int32).tobytes()))
        self.run(self.executable.run("decode", {"seq": 1, "past": past}))

    def logits(self) -> Any:
        return np.frombuffer(self.run(self.executable.read("logits")), np.float32)[:VOCAB]


@pytest.fixture(scope="module", params=[DType.FLOAT32, DType.FLOAT16], ids=str)
def model(request: Any, model_path: Path) -> Any:
    made = Model(model_path, request.param)
    made.run(made.executable.write("settings", np.array([0, 0, 1, 1, 0], np.float32).tobytes()))
    yield made
    made.run(made.executable.close())
    made.loop.close()


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("case", ORACLE["logits"], ids=lambda case: f"{case['length']} tokens")
def test_logits_equal_the_oracle(model: Model, case: Mapping[str, Any]) -> None:
    length = case["length"]
    model.read_tokens(case["prompt"], 0)
    _compare(model, f"prefill_{length}")
    for i, token in enumerate(case["tokens"]):
        model.decode(token, length + i)
    _compare(model, f"decode_{length}")


def _compare(model: Model, name: str) -> None:
    wanted = LOGITS[f"{name}_logits"].astype(np.float64)
    got = model.logits()[LOGITS[f"{name}_indices"]]
    error = np.linalg.norm(got - wanted) / np.linalg.norm(wanted)
    assert error <= LIMIT[model.activation], f"{name}: {error}"


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_generate_makes_the_oracles_tokens(model: Model) -> None:
    """More than one batch in flight; the loop reads its own tokens on the device."""
    prompt = ORACLE["prompts"]["factual"]
    request = GenerateRequest(
        tokens=tuple(prompt["prompt"]), past=0, max_new_tokens=12, stop_ids=frozenset(),
        uniforms=(0.0,) * 12, batch=4, in_flight=6,
    )  # fmt: skip

    async def go() -> list[int]:
        return [t async for batch in model.executable.generate(request) for t in batch]

    assert model.run(go()) == prompt["tokens"][:12]
