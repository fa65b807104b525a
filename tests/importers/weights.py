"""The constants of a graph out of a GGUF file, as the reference target asks for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgewise.formats.blocks import dequantise, split
from edgewise.formats.gguf import parse
from edgewise.graph.graph import Constant, Part
from edgewise.importers.llama_config import FLOAT_TYPES


class Weights:
    """A GGUF file; calling it gives the array of one constant."""

    def __init__(self, path: Path) -> None:
        self._data = memoryview(path.read_bytes())
        self.gguf = parse(self._data)
        self._parts: dict[tuple[str, Part], NDArray[Any]] = {}

    def __call__(self, constant: Constant) -> NDArray[Any]:
        source = constant.source
        assert source is not None
        if (source.tensor, source.part) not in self._parts:
            self._read(source.tensor)
        return self._parts[source.tensor, source.part]

    def _read(self, name: str) -> None:
        info = self.gguf.tensors[name]
        raw = self._data[info.offset : info.offset + info.nbytes]
        if info.type in FLOAT_TYPES:
            values = dequantise(raw, info.type, info.shape)
            self._parts[name, "values"] = values.astype("f2") if info.type == "F16" else values
            return
        codes, scale, minimum = split(raw, info.type, info.shape)
        self._parts |= {(name, "codes"): codes, (name, "scale"): scale, (name, "minimum"): minimum}
