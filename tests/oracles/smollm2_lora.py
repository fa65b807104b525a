"""What SmolLM2-135M-Instruct computes with two LoRAs, made and merged by PEFT in float32.

Writes the adapters as PEFT saves them to `tests/data/adapters/`, and `tests/data/lora_oracle.json`
and `.npz`, which the tests compare against. It needs the environment of smollm2.py and PEFT:

    build/oracle/bin/pip install peft==0.21.2
    build/oracle/bin/python tests/oracles/smollm2_lora.py [model.gguf]

The base's weights are those of the GGUF, as in smollm2.py. A and B are random numbers that float16
holds; B is not zero, as it would be before a training. In the npz, the logits of case N after step
I stand in `N_I_logits` (float32) at the vocabulary entries `N_I_indices` (int32).
"""

# mypy: ignore-errors
# torch, transformers and peft are not in the environment that is checked.

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import peft
import smollm2
import torch
from peft import LoraConfig, PeftModel, get_peft_model

DATA = smollm2.ROOT / "tests/data"
STRIDE, N_TOP = 32, 64

CONFIGS = {
    # what most adapters are
    "qv": LoraConfig(
        r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], layers_to_transform=[0, 9, 29]
    ),
    # all of a layer's matrices, scaled by the rank's root, one of them with a rank of its own
    "all": LoraConfig(
        r=2,
        lora_alpha=3,
        target_modules=[f"{name}_proj" for name in ("q", "k", "v", "o", "gate", "up", "down")],
        layers_to_transform=[4, 20],
        use_rslora=True,
        rank_pattern={"down_proj": 3},
        alpha_pattern={"layers.20.self_attn.k_proj": 5},
    ),
}

#: name, tokens of the text that are read, then (weights, tokens that are fed one by one).
CASES = (
    ("none", 7, [({}, 1)]),
    ("qv", 40, [({"qv": 1.0}, 2)]),
    ("all", 40, [({"all": 1.0}, 2)]),
    ("both", 7, [({"qv": 0.5, "all": -0.75}, 2)]),
    ("swapped", 7, [({"qv": 1.0}, 2), ({"all": 1.0}, 2), ({}, 1), ({"qv": 1.0}, 1)]),
)


def adapted(base: torch.nn.Module) -> PeftModel:
    """The model with both adapters, none of whose B is zero."""
    first, second = CONFIGS
    base.name_or_path = "HuggingFaceTB/SmolLM2-135M-Instruct"  # PEFT writes it down
    model = get_peft_model(base, CONFIGS[first], adapter_name=first)
    model.add_adapter(second, CONFIGS[second])
    generator = torch.Generator().manual_seed(7)
    for name, parameter in model.named_parameters():
        if "lora_" not in name:
            continue
        spread = parameter.shape[1] ** -0.5 if "lora_A" in name else 0.1
        values = torch.randn(parameter.shape, generator=generator) * spread
        parameter.data = values.half().float()
    return model


def save(model: PeftModel) -> None:
    """Both adapters in float16, as PEFT writes them; what is for people alone is left out."""
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.half()
    for name in CONFIGS:
        model.save_pretrained(DATA / "adapters", selected_adapters=[name])
    (DATA / "adapters" / "README.md").unlink()
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.float()


class Merged:
    """The model with weights of adapters merged into its matrices, one setting after another."""

    def __init__(self, model: PeftModel) -> None:
        self.model = model
        self.layers = [m for m in model.modules() if isinstance(m, peft.tuners.lora.LoraLayer)]
        self.scales = [dict(layer.scaling) for layer in self.layers]

    def use(self, weights: dict[str, float]) -> None:
        self.model.unmerge_adapter()
        for layer, scales in zip(self.layers, self.scales, strict=True):
            for name in scales:
                layer.scaling[name] = scales[name] * weights.get(name, 0.0)
        if weights:
            self.model.merge_adapter(list(weights))

    def __call__(self, tokens: list[int], cache: object) -> tuple[torch.Tensor, object]:
        with self.model.disable_adapter() if not self.merged() else _nothing():
            made = self.model(torch.tensor([tokens]), past_key_values=cache, use_cache=True)
        return made.logits[0, -1], made.past_key_values

    def merged(self) -> bool:
        return any(layer.merged for layer in self.layers)


class _nothing:
    def __enter__(self) -> None: ...
    def __exit__(self, *error: object) -> None: ...


def keep(logits: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The vocabulary entries that are kept of `logits` [V], sorted, and their values."""
    best = torch.topk(logits, N_TOP).indices.tolist()
    chosen = np.array(sorted({*range(0, logits.numel(), STRIDE), *best}), np.int32)
    return chosen, logits.numpy()[chosen]


def run(merged: Merged, text: list[int], case: tuple, arrays: dict) -> dict:
    """One case: each step's weights and tokens, and the logits after it."""
    name, length, settings = case
    steps, cache, tokens = [], None, text[:length]
    for weights, count in settings:
        merged.use(weights)
        for _ in range(count):
            logits, cache = merged(tokens, cache)
            index = len(steps)
            arrays[f"{name}_{index}_indices"], arrays[f"{name}_{index}_logits"] = keep(logits)
            steps.append({"weights": weights, "tokens": tokens})
            tokens = [int(logits.argmax())]
    return {"name": name, "steps": steps}


def main() -> None:
    """Make, merge, run and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", type=Path, default=smollm2.MODEL)
    torch.set_grad_enabled(False)
    base, tokenizer = smollm2.load(parser.parse_args().model)
    text = tokenizer(smollm2.TEXT, add_special_tokens=False)["input_ids"]
    shutil.rmtree(DATA / "adapters", ignore_errors=True)
    model = adapted(base)
    save(model)
    arrays: dict[str, np.ndarray] = {}
    merged = Merged(model)
    result = {
        "versions": {"peft": peft.__version__, "torch": torch.__version__},
        "cases": [run(merged, text, case, arrays) for case in CASES],
    }
    for (name, *_), case in zip(CASES, result["cases"], strict=True):
        print(name, [step["tokens"][-1] for step in case["steps"]])
    (DATA / "lora_oracle.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    np.savez_compressed(DATA / "lora_oracle.npz", **arrays)


if __name__ == "__main__":
    main()
