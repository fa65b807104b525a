"""MiniLM for both engines: an ONNX export in f32, and 8 bit made from it.

    PEERS/convert/bin/python bench/wasm/convert/minilm.py FOLDER OUT

FOLDER is the model's transformers folder. Writes OUT/minilm-{f32,q8}.onnx. Needs the packages of
peers/convert.txt.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from transformers import AutoModel

NAMES = ("input_ids", "attention_mask", "token_type_ids")
OPSET = 17


class Encoder(torch.nn.Module):  # type: ignore[misc]
    """The model with its mask added as a number, the classic form that every runtime fuses."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
        """The last hidden state."""
        added = (1.0 - mask[:, None, None, :].to(torch.float32)) * torch.finfo(torch.float32).min
        made = self.model(input_ids=ids, attention_mask=added, token_type_ids=types)
        return made.last_hidden_state


def main() -> None:
    """Write both."""
    folder, out = map(Path, sys.argv[1:])
    model = AutoModel.from_pretrained(folder, attn_implementation="eager").eval().float()
    example = (torch.arange(14).reshape(2, 7) + 1000, torch.ones(2, 7, dtype=torch.long),
               torch.zeros(2, 7, dtype=torch.long))  # fmt: skip
    axes = {0: "batch", 1: "seq"}
    with torch.no_grad():
        torch.onnx.export(
            Encoder(model).eval(), example, str(out / "minilm-f32.onnx"), input_names=list(NAMES),
            output_names=["last_hidden_state"], opset_version=OPSET, dynamo=False,
            dynamic_axes=dict.fromkeys([*NAMES, "last_hidden_state"], axes),
        )  # fmt: skip
    quantize_dynamic(
        out / "minilm-f32.onnx", out / "minilm-q8.onnx", weight_type=QuantType.QInt8,
        per_channel=True, reduce_range=True,
    )  # fmt: skip


if __name__ == "__main__":
    main()
