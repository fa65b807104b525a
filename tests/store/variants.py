"""Hugging Face folders made of others: other weights, or the same ones dealt to several files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file, save_file

WEIGHTS = "model.safetensors"


def with_tensors(folder: Path, to: Path, tensors: Mapping[str, Any]) -> Path:
    """A copy of a model, some of its tensors replaced."""
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns(WEIGHTS))
    save_file(load_file(folder / WEIGHTS) | dict(tensors), to / WEIGHTS)
    return to


def sharded(folder: Path, to: Path, count: int) -> Path:
    """The same model, its tensors dealt to `count` files as transformers saves them."""
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns(WEIGHTS))
    tensors = load_file(folder / WEIGHTS)
    files = [f"model-{index + 1:05}-of-{count:05}.safetensors" for index in range(count)]
    mapped = {name: files[index % count] for index, name in enumerate(tensors)}
    for file in files:
        save_file({n: t for n, t in tensors.items() if mapped[n] == file}, to / file)
    index = {"metadata": {"total_size": 0}, "weight_map": mapped}
    (to / "model.safetensors.index.json").write_text(json.dumps(index))
    return to
