"""What is measured: models, shapes and made-up inputs, the same for every engine.

Models lie as set-up puts them into .cache/models. MiniLM is one file of weights twice: read by
Edgewise's own importer, and as ONNX, whose structure (tests/data/minilm.onnx) names that file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

SEED = 11
TOKENS = 30522  # of MiniLM's vocabulary

MINILM = "all-MiniLM-L6-v2/model.safetensors"
DETECTION = "PP-OCRv4/ch_PP-OCRv4_det_infer.onnx"
RECOGNITION = "PP-OCRv4/ch_PP-OCRv4_rec_infer.onnx"
SILERO = "silero-vad/silero_vad.onnx"


@dataclass(frozen=True, slots=True)
class Case:
    """One graph for one set of shapes.

    model     the structure: a path in the models' folder, or in tests/data
    files     further files that hold its weights, as the structure names them -> path
    sizes     names that the ONNX file has for dimensions -> their sizes here
    inputs    name -> shape; what is in them comes from `made`
    """

    name: str
    model: str
    inputs: Mapping[str, tuple[int, ...]]
    sizes: Mapping[str, int]
    files: Mapping[str, str]


def _minilm(batch: int, seq: int) -> Case:
    names = ("input_ids", "attention_mask", "token_type_ids")
    return Case(
        f"minilm-{batch}x{seq}", "minilm.onnx", dict.fromkeys(names, (batch, seq)),
        {"batch": batch, "seq": seq}, {"model.safetensors": MINILM},
    )  # fmt: skip


def _detection(height: int, width: int) -> Case:
    sizes = dict(zip("012", (1, height, width), strict=True))
    return Case(
        f"detection-{height}x{width}", DETECTION, {"x": (1, 3, height, width)},
        {f"p2o.DynamicDimension.{key}": size for key, size in sizes.items()}, {},
    )  # fmt: skip


CASES = {
    case.name: case
    for case in (
        _minilm(1, 128),
        _minilm(16, 128),
        _detection(320, 320),
        _detection(640, 480),
        Case("recognition-48x320", RECOGNITION, {"x": (1, 3, 48, 320)},
             {"p2o.DynamicDimension.0": 1, "?": 48, "p2o.DynamicDimension.1": 320}, {}),
        # 512 samples of 16 kHz after 64 of the chunk before, as the package has it
        Case("silero-576", SILERO, {"input": (1, 576), "state": (2, 1, 128), "sr": ()}, {}, {}),
    )
}  # fmt: skip


def made(case: Case) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
    """Inputs of a case, always the same."""
    rng = np.random.default_rng(SEED)
    integers = {"attention_mask": 1, "token_type_ids": 0, "sr": 16000}
    found = {}
    for name, shape in case.inputs.items():
        if name in integers:
            found[name] = np.full(shape, integers[name], np.int64)
        elif name == "input_ids":
            found[name] = rng.integers(1000, TOKENS, shape)
        elif name == "state":
            found[name] = np.zeros(shape, np.float32)
        else:
            found[name] = rng.uniform(-1, 1, shape).astype(np.float32)
    return found
