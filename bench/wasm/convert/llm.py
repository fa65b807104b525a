"""SmolLM2 for the peers: the GGUF's own weights as f32, then as ONNX in 4 bit, 8 bit and f32.

    PEERS/convert/bin/python bench/wasm/convert/llm.py MODEL.gguf OUT

Writes OUT/hf (a transformers folder), OUT/smollm2-{q4,q8,f32}.onnx, one file each. The f32 ones are
the dequantised Q4_1 weights, so that every engine has the same model, and 4 bit and 8 bit are
rounded once more from it, as a peer's user would. Needs the packages of peers/convert.txt.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import onnx
import torch
from onnx import helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

EPS = 1e-5  # transformers' reader of GGUF loses it
KV_HEADS, HEAD = 3, 64
#: Computes 4-bit products in int8: the fastest way that ONNX Runtime has for them on a CPU.
ACCURACY_LEVEL = 4
Q4 = ["int4", "prune_lm_head=true", "op_types_to_quantize=MatMul", "shared_embeddings=false"]
F32 = ["fp32", "prune_lm_head=true"]


def dequantised(gguf: Path, out: Path) -> None:
    """The GGUF as a transformers folder in f32."""
    read = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32
    )
    told = read.config.to_dict()
    for key in ("quantization_config", "_name_or_path"):
        told.pop(key, None)
    config = LlamaConfig(**told | {"architectures": ["LlamaForCausalLM"], "rms_norm_eps": EPS})
    model = LlamaForCausalLM(config).float()
    model.load_state_dict(read.state_dict())
    model.tie_weights()
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(out)


def built(hf: Path, options: list[str]) -> onnx.ModelProto:
    """What ONNX Runtime's own builder makes of the model, with fused attention and caches."""
    precision, *extra = options
    with tempfile.TemporaryDirectory(dir=hf.parent) as folder:
        made, cache = Path(folder) / "made", Path(folder) / "cache"
        command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-m", hf, "-i", hf]
        command += ["-e", "cpu", "-c", cache, "-o", made, "-p", precision, "--extra_options"]
        subprocess.run([*map(str, command), *extra], check=True, stdout=subprocess.DEVNULL)
        return onnx.load(made / "model.onnx")


def settle(model: onnx.ModelProto) -> onnx.ModelProto:
    """Cache sizes as numbers, 4-bit products at the fastest level."""
    for value in [*model.graph.input, *model.graph.output]:
        if value.name.startswith(("past_key", "present")):
            dims = value.type.tensor_type.shape.dim
            dims[1].dim_value, dims[3].dim_value = KV_HEADS, HEAD
    for node in model.graph.node:
        if node.op_type == "MatMulNBits":
            kept = [a for a in node.attribute if a.name != "accuracy_level"]
            del node.attribute[:]
            node.attribute.extend([*kept, helper.make_attribute("accuracy_level", ACCURACY_LEVEL)])
    return model


def main() -> None:
    """Write everything."""
    gguf, out = map(Path, sys.argv[1:])
    hf = out / "hf"
    dequantised(gguf, hf)
    onnx.save(settle(built(hf, Q4)), out / "smollm2-q4.onnx")
    onnx.save(settle(built(hf, F32)), out / "smollm2-f32.onnx")
    quantize_dynamic(
        out / "smollm2-f32.onnx", out / "smollm2-q8.onnx", weight_type=QuantType.QInt8,
        per_channel=True, reduce_range=True, op_types_to_quantize=["MatMul"],
    )  # fmt: skip


if __name__ == "__main__":
    main()
