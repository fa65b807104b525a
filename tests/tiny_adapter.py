"""Random adapters of the tiny llama, as PEFT saves them, and merged without Edgewise."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from tests.importers.tiny import Array, Tiny

#: PEFT's name in a layer -> GGUF's.
MODULES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}  # fmt: skip


@dataclass(frozen=True)
class TinyAdapter:
    """Which modules it adapts, how, and its random weights' seed."""

    modules: tuple[str, ...] = ("self_attn.q_proj", "self_attn.v_proj")
    rank: int = 3
    alpha: float = 6
    seed: int = 1
    dtype: str = "float32"
    more: Mapping[str, Any] = field(default_factory=dict)

    def config(self) -> dict[str, Any]:
        """adapter_config.json."""
        return {
            "peft_type": "LORA", "r": self.rank, "lora_alpha": self.alpha, "bias": "none",
            "target_modules": [name.split(".")[1] for name in self.modules], "use_dora": False,
            "use_rslora": False, "fan_in_fan_out": False, "init_lora_weights": True,
            "rank_pattern": {}, "alpha_pattern": {}, "modules_to_save": None, **self.more,
        }  # fmt: skip

    def tensors(self, model: Tiny) -> dict[str, Any]:
        """A and B by PEFT's names."""
        rng, shapes = np.random.default_rng(self.seed), model.shapes()
        made = {}
        for layer in range(model.layers):
            for module in self.modules:
                rows, columns = shapes[f"blk.{layer}.{MODULES[module]}.weight"]
                name = f"base_model.model.model.layers.{layer}.{module}"
                for half, shape in (("A", (self.rank, columns)), ("B", (rows, self.rank))):
                    values = (rng.normal(size=shape) / 4).astype(np.float32)
                    made[f"{name}.lora_{half}.weight"] = self._rounded(values)
        return made

    def write(self, folder: Path, model: Tiny) -> Path:
        """The folder as PEFT's save_pretrained leaves it."""
        folder.mkdir(parents=True)
        (folder / "adapter_config.json").write_text(json.dumps(self.config()))
        path, tensors = folder / "adapter_model.safetensors", self.tensors(model)
        if self.dtype == "bfloat16":
            path.write_bytes(bfloat16_file(tensors))
        else:
            save_file(tensors, path)
        return folder

    def _rounded(self, values: Any) -> Any:
        """Values in the adapter's type; of bfloat16 as float32, whose upper half it is."""
        if self.dtype != "bfloat16":
            return values.astype(self.dtype)
        return (values.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)

    def merged(self, model: Tiny, weights: dict[str, Array], weight: float) -> dict[str, Array]:
        """The model's weights with the adapter's product added, `weight` of it."""
        out, tensors = dict(weights), self.tensors(model)
        for name, down in tensors.items():
            if "lora_A" not in name:
                continue
            up = tensors[name.replace("lora_A", "lora_B")].astype(np.float64)
            layer, module = name.split(".")[4], ".".join(name.split(".")[5:7])
            added = up @ down.astype(np.float64) * (weight * self.alpha / self.rank)
            if module in ("self_attn.q_proj", "self_attn.k_proj"):  # as llama.cpp's converter does
                half = model.head_dim // 2
                split = added.reshape(-1, 2, half, added.shape[1])
                added = split.swapaxes(1, 2).reshape(added.shape)
            to = f"blk.{layer}.{MODULES[module]}.weight"
            out[to] = out[to] + added
        return out


def bfloat16_file(tensors: Mapping[str, Any]) -> bytes:
    """A safetensors file of the upper halves of float32 arrays; NumPy has no bfloat16."""
    header, data = {}, b""
    for name, each in tensors.items():
        half = each.view(np.uint16)[:, 1::2].tobytes()
        places = [len(data), len(data) + len(half)]
        header[name] = {"dtype": "BF16", "shape": each.shape, "data_offsets": places}
        data += half
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


POET = TinyAdapter()
CLERK = TinyAdapter(tuple(MODULES), rank=2, alpha=3, seed=2)
