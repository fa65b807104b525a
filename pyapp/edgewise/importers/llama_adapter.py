"""PEFT's names for what adapts a llama model, and the matrices that they stand for.

Source: huggingface/peft, `get_peft_model_state_dict`; transformers' modeling_llama.py. Must not
import NumPy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import FormatError, ShapeError, UnsupportedError
from ..formats.peft import Lora
from .llama_config import parse_config, tensor_shapes
from .tensors import Tensor, some

MODULES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}  # fmt: skip
TYPES = ("F32", "F16", "BF16")
_NAME = re.compile(
    r"base_model\.model\.(model\.layers\.(\d{1,4})\.(\w+\.\w+))\.lora_([AB])\.weight", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Addition:
    """What an adapter adds to one matrix [N, K]: scale · up [N, rank] · down [rank, K], by name."""

    down: str
    up: str
    scale: float


def additions(
    lora: Lora, tensors: Mapping[str, Tensor], config: Mapping[str, object]
) -> dict[str, Addition]:
    """What an adapter's tensors add to the matrices of the llama model with this config.

    Raises UnsupportedError with all tensors that are for something else than such a matrix, or of
    a type that is not ours; FormatError for one without its other half or of two types;
    ShapeError for those that do not fit the model or the adapter's rank.
    """
    shapes = tensor_shapes(parse_config(config))
    halves: dict[str, dict[str, str]] = {}
    modules: dict[str, str] = {}
    unknown = []
    for name, tensor in tensors.items():
        found = _NAME.fullmatch(name)
        matrix = f"blk.{int(found[2])}.{MODULES.get(found[3])}.weight" if found else ""
        if found is None or matrix not in shapes or tensor.type not in TYPES:
            unknown.append(f"{name} {tensor.type}")
            continue
        halves.setdefault(matrix, {})[found[4]] = name
        modules[matrix] = found[1]
    if unknown or not halves:
        raise UnsupportedError(
            "tensors of a llama adapter", got=some(unknown) or "none",
            need=f"lora_A and lora_B of {', '.join(MODULES)} in the model's layers, of types "
            + ", ".join(TYPES),
        )  # fmt: skip
    if len({tensor.type for tensor in tensors.values()}) > 1:
        raise FormatError("tensors of an adapter", got="several data types", need="one")
    return {
        matrix: _addition(lora, tensors, modules[matrix], each, shapes[matrix])
        for matrix, each in sorted(halves.items())
    }


def _addition(
    lora: Lora,
    tensors: Mapping[str, Tensor],
    module: str,
    halves: Mapping[str, str],
    shape: tuple[int, ...],
) -> Addition:
    if len(halves) < 2:
        raise FormatError(f"adapter of '{module}'", got=f"lora_{next(iter(halves))} alone",
                          need="lora_A and lora_B")  # fmt: skip
    rank, (rows, columns) = lora.rank_of(module), shape
    for half, need in (("A", (rank, columns)), ("B", (rows, rank))):
        found = tuple(tensors[halves[half]].shape)
        if found != need:
            raise ShapeError(
                f"adapter tensor '{halves[half]}'", got=str(list(found)), need=str(list(need)),
                fix="pack it for the base that it was trained on",
            )  # fmt: skip
    return Addition(halves["A"], halves["B"], lora.scale_of(module))
