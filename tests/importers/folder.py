"""A Hugging Face folder as the importer and the reference target want it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from edgewise.formats import safetensors
from edgewise.graph.graph import Constant

Array = np.ndarray[Any, np.dtype[Any]]
DTYPES = {"F32": "<f4", "F16": "<f2", "I8": "i1"}


class Folder:
    """Documents by path, tensors by name, and the arrays of a graph's constants."""

    def __init__(self, folder: Path) -> None:
        self._data = (folder / "model.safetensors").read_bytes()
        self.tensors = safetensors.parse(self._data).tensors
        self.files: dict[str, Any] = {
            path.relative_to(folder).as_posix(): json.loads(path.read_text())
            for path in folder.rglob("*.json")
        }

    def array(self, name: str) -> Array:
        """A tensor in its file's data type."""
        info = self.tensors[name]
        raw = self._data[info.offset : info.offset + info.nbytes]
        return np.frombuffer(raw, DTYPES[info.type]).reshape(info.shape)

    def __call__(self, constant: Constant) -> Array:
        assert constant.source is not None
        assert constant.source.part == "values"
        return self.array(constant.source.tensor)
