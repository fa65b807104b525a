"""The weight files of a Hugging Face folder: one safetensors file, or the shards of an index.

All files count as one, in the order of their names: offsets of tensors are in that concatenation.
Only headers are read; the index's names are file names in the folder and nothing else.

Source: transformers `save_pretrained` (`model.safetensors.index.json`, member `weight_map`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

from ..errors import FormatError, UnsupportedError
from ..formats import safetensors
from ..formats.safetensors import SafeTensors
from ..formats.tensor import TensorInfo
from .described import read_header

HEADER_NBYTES = 1 << 18  # most headers; a longer one is read again, twice as far
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
INDEX_NBYTES = 64 << 20  # models of a hundred thousand tensors have some 10 MB
OTHER_WEIGHTS = ("pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5")


@dataclass(frozen=True, slots=True)
class WeightFiles:
    """What a folder's weight files hold.

    paths     the files in order, and `sizes` their bytes.
    tensors   by name, offsets from the first file's start.
    metadata  of the first file.
    """

    paths: tuple[Path, ...]
    sizes: tuple[int, ...]
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]

    @property
    def starts(self) -> tuple[int, ...]:
        """Where each file begins in their concatenation."""
        return tuple(accumulate(self.sizes[:-1], initial=0))

    def read(self, name: str) -> bytes:
        """The bytes of one tensor."""
        info = self.tensors[name]
        index = max(i for i, start in enumerate(self.starts) if start <= info.offset)
        with self.paths[index].open("rb") as file:
            file.seek(info.offset - self.starts[index])
            return file.read(info.nbytes)


def open_weights(folder: Path) -> WeightFiles:
    """The weight files of a folder.

    Raises   FormatError for files that are missing or broken, an index that does not fit them, or
             a tensor that is in two of them; UnsupportedError for other kinds of weight files.
    """
    mapped = {} if (folder / WEIGHTS).is_file() else _weight_map(folder)
    paths = [folder / name for name in sorted(set(mapped.values())) or (WEIGHTS,)]
    tensors: dict[str, TensorInfo] = {}
    sizes: list[int] = []
    headers: list[SafeTensors] = []
    for path in paths:
        header, nbytes = open_file(path)
        for name, info in header.tensors.items():
            if name in tensors:
                raise FormatError(f"tensor {name!r}", got="one in two files", need="one place",
                                  where=path.name)  # fmt: skip
            tensors[name] = replace(info, offset=info.offset + sum(sizes))
        lacking = [name for name, file in mapped.items()
                   if file == path.name and name not in header.tensors]  # fmt: skip
        if lacking:
            raise FormatError(INDEX, got=f"tensor {lacking[0]!r} in {path.name}",
                              need="a tensor that the file has", where=path.name)  # fmt: skip
        headers.append(header)
        sizes.append(nbytes)
    return WeightFiles(tuple(paths), tuple(sizes), tensors, headers[0].metadata)


def weight_map(text: str) -> dict[str, str]:
    """Which file each tensor is in, as an index says. Raises FormatError."""
    try:
        found = json.loads(text)["weight_map"]
        good = bool(found) and all(
            isinstance(name, str) and name.endswith(".safetensors") and not {"/", "\\"} & {*name}
            for name in found.values()
        )
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        good = False
    if not good:
        raise FormatError(INDEX, got=f"{text:.40}", where=INDEX,
                          need="an object whose 'weight_map' names files beside it")  # fmt: skip
    return dict(found)


def _weight_map(folder: Path) -> dict[str, str]:
    path = folder / INDEX
    if path.is_file():
        if path.stat().st_size > INDEX_NBYTES:
            raise FormatError(INDEX, got=f"{path.stat().st_size} bytes",
                              need=f"at most {INDEX_NBYTES}")  # fmt: skip
        return weight_map(path.read_text(encoding="utf-8", errors="replace"))
    others = [name for name in OTHER_WEIGHTS if (folder / name).exists()]
    kind = UnsupportedError if others else FormatError
    raise kind("weights of a Hugging Face folder", got=", ".join(others) or "none",
               need=f"{WEIGHTS} or {INDEX}",
               fix="save it with transformers' save_pretrained")  # fmt: skip


def open_file(path: Path) -> tuple[SafeTensors, int]:
    """The parsed header of a file, and its size. Raises FormatError, UnsupportedError."""
    try:
        with path.open("rb") as file:
            return _header(file), path.stat().st_size
    except OSError as error:
        raise FormatError("weights of a Hugging Face folder", got=str(error),
                          need=path.name) from None  # fmt: skip
    except FormatError as error:
        error.add_note(f"in the file {path.name}")
        raise


def _header(file: BinaryIO) -> SafeTensors:
    return read_header(
        file, lambda data, nbytes: safetensors.parse(data, file_nbytes=nbytes), HEADER_NBYTES
    )
