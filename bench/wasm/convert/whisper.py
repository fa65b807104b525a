"""Whisper base's encoder for both engines, from CTranslate2's file: ONNX in f32 and 8 bit.

    PEERS/convert/bin/python bench/wasm/convert/whisper.py PART1 PART2 OUT

PART1 and PART2 are the halves of `model.bin`. Writes OUT/whisper-{f32,q8}.onnx. Needs the packages
of peers/convert.txt.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

TYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)  # by CTranslate2's number
LAYERS, HEADS, WIDTH, INNER, MELS, FRAMES = 6, 8, 512, 2048, 80, 3000
OPSET = 17


class Reader:
    """CTranslate2's binary file: a header, then variables by name."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def number(self, form: str) -> int:
        """The next number."""
        (value,) = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return int(value)

    def text(self) -> str:
        """The next text; its length counts a zero at the end."""
        size = self.number("H")
        self.at += size
        return self.data[self.at - size : self.at - 1].decode()

    def variables(self) -> dict[str, np.ndarray[Any, Any]]:
        """All of them."""
        self.number("I"), self.text(), self.number("I")  # version, specification, revision
        found = {}
        for _ in range(self.number("I")):
            name = self.text()
            shape = [self.number("I") for _ in range(self.number("B"))]
            dtype, nbytes = np.dtype(TYPES[self.number("B")]), self.number("I")
            array = np.frombuffer(self.data, dtype, nbytes // dtype.itemsize, self.at)
            found[name] = array.reshape(shape)
            self.at += nbytes
        return found


def state(found: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, torch.Tensor]:
    """The encoder's weights under transformers' names."""
    weights: dict[str, torch.Tensor] = {}

    def take(name: str) -> torch.Tensor:
        return torch.from_numpy(found[f"encoder/{name}"].astype(np.float32))

    def linear(to: str, source: str) -> None:
        weights[f"{to}.weight"], weights[f"{to}.bias"] = (
            take(f"{source}/weight"),
            take(f"{source}/bias"),
        )

    def norm(to: str, source: str) -> None:
        weights[f"{to}.weight"], weights[f"{to}.bias"] = (
            take(f"{source}/gamma"),
            take(f"{source}/beta"),
        )

    weights["embed_positions.weight"] = take("position_encodings/encodings")
    norm("layer_norm", "layer_norm")
    linear("conv1", "conv1")
    linear("conv2", "conv2")
    for i in range(LAYERS):
        to, source = f"layers.{i}", f"layer_{i}"
        joined = [take(f"{source}/self_attention/linear_0/{part}") for part in ("weight", "bias")]
        for j, name in enumerate(("q_proj", "k_proj", "v_proj")):
            rows = slice(j * WIDTH, (j + 1) * WIDTH)
            weights[f"{to}.self_attn.{name}.weight"] = joined[0][rows]
            if name != "k_proj":  # which has none
                weights[f"{to}.self_attn.{name}.bias"] = joined[1][rows]
        linear(f"{to}.self_attn.out_proj", f"{source}/self_attention/linear_1")
        norm(f"{to}.self_attn_layer_norm", f"{source}/self_attention/layer_norm")
        linear(f"{to}.fc1", f"{source}/ffn/linear_0")
        linear(f"{to}.fc2", f"{source}/ffn/linear_1")
        norm(f"{to}.final_layer_norm", f"{source}/ffn/layer_norm")
    return weights


class Encoder(torch.nn.Module):  # type: ignore[misc]
    """The encoder with one tensor out."""

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """The last hidden state."""
        return self.encoder(features).last_hidden_state


def main() -> None:
    """Write both."""
    *parts, out = map(Path, sys.argv[1:])
    config = WhisperConfig(
        num_mel_bins=MELS, encoder_layers=LAYERS, encoder_attention_heads=HEADS,
        encoder_ffn_dim=INNER, d_model=WIDTH, max_source_positions=FRAMES // 2,
    )  # fmt: skip
    config._attn_implementation = "eager"
    encoder = WhisperEncoder(config).float().eval()
    encoder.load_state_dict(state(Reader(b"".join(p.read_bytes() for p in parts)).variables()))
    with torch.no_grad():
        torch.onnx.export(
            Encoder(encoder), (torch.randn(1, MELS, FRAMES) * 0.3,), str(out / "whisper-f32.onnx"),
            input_names=["input_features"], output_names=["last_hidden_state"],
            opset_version=OPSET, dynamo=False,
            dynamic_axes={key: {0: "batch"} for key in ("input_features", "last_hidden_state")},
        )  # fmt: skip
    quantize_dynamic(
        out / "whisper-f32.onnx", out / "whisper-q8.onnx", weight_type=QuantType.QInt8,
        per_channel=True, reduce_range=True, op_types_to_quantize=["MatMul"],
    )  # fmt: skip


if __name__ == "__main__":
    main()
