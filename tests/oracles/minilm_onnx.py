"""Exports all-MiniLM-L6-v2 to ONNX with its weights left where they are.

Writes `tests/data/minilm.onnx`: the structure alone. Every weight in it is external data inside
`model.safetensors`, the bytes that transformers loads, so the file is small and runs beside it.
Environment as for minilm.py, with `onnx==1.23.2` too:

    build/oracle/bin/python tests/oracles/minilm_onnx.py [folder]

Shapes are dynamic (`batch`, `seq`); nothing is folded, so the chains of Shape, Gather and Concat
that PyTorch writes are all there. Outputs: `last_hidden_state`, and `sentence_embedding`, pooled
and normalised as sentence-transformers does.
"""

# mypy: ignore-errors
# torch and transformers are not in the environment that is checked.

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import onnx
import torch
from transformers import AutoModel

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / ".cache/models/all-MiniLM-L6-v2"
OUT = ROOT / "tests/data/minilm.onnx"
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
OUTPUTS = ("last_hidden_state", "sentence_embedding")
WEIGHTS = "model.safetensors"
SMALL_NBYTES = 64  # scalars and the like stay in the structure


class Embedding(torch.nn.Module):
    """The encoder, the mean over tokens, and a vector of length 1."""

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids, attention_mask, token_type_ids):
        """Both outputs."""
        hidden = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state
        kept = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * kept).sum(1) / kept.sum(1).clamp(min=1e-9)
        return hidden, torch.nn.functional.normalize(mean, dim=1)


def places(path: Path) -> dict[bytes, tuple[int, int]]:
    """Offset and length in the file of every tensor, by its bytes."""
    data = path.read_bytes()
    header_nbytes = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:header_nbytes])
    header.pop("__metadata__", None)
    spans = [tensor["data_offsets"] for tensor in header.values()]
    return {
        data[header_nbytes + begin : header_nbytes + end]: (header_nbytes + begin, end - begin)
        for begin, end in spans
    }


def refer(model: onnx.ModelProto, found: dict[bytes, tuple[int, int]]) -> None:
    """Replace the weights by where they lie."""
    for tensor in model.graph.initializer:
        raw = tensor.raw_data
        if len(raw) <= SMALL_NBYTES:
            continue
        offset, length = found[raw]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", WEIGHTS), ("offset", offset), ("length", length)):
            tensor.external_data.add(key=key, value=str(value))


def main() -> None:
    """Export and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=MODEL)
    folder = parser.parse_args().folder
    encoder = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    example = tuple(torch.ones(2, 7, dtype=torch.long) for _ in INPUTS)
    axes = {name: {0: "batch", 1: "seq"} for name in (*INPUTS, OUTPUTS[0])}
    file = io.BytesIO()
    torch.onnx.export(
        Embedding(encoder),
        example,
        file,
        dynamo=False,
        opset_version=17,
        do_constant_folding=False,
        input_names=list(INPUTS),
        output_names=list(OUTPUTS),
        dynamic_axes={**axes, OUTPUTS[1]: {0: "batch"}},
    )
    model = onnx.load_from_string(file.getvalue())
    refer(model, places(folder / WEIGHTS))
    for node in model.graph.node:  # where in PyTorch's source a node comes from
        node.ClearField("doc_string")
    OUT.write_bytes(model.SerializeToString())


if __name__ == "__main__":
    main()
