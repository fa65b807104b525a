"""A GGUF model on disk: one file, or the parts that llama.cpp's `gguf-split` makes of one.

    model-00001-of-00003.gguf  model-00002-of-00003.gguf  model-00003-of-00003.gguf

The first part has the metadata of all. They count as one file, in their order: offsets of tensors
are in that concatenation.

Source: llama.cpp tools/gguf-split; keys `split.no`, `split.count`, `split.tensors.count`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import FormatError
from ..formats import gguf
from ..formats.gguf import GGUF
from ..formats.tensor import TensorInfo
from .described import read_header

HEADER_NBYTES = 4 * 1024 * 1024  # most headers; a longer one is read again, twice as far
_PART = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf")


@dataclass(frozen=True, slots=True)
class GGUFFiles:
    """paths in order, and `sizes` their bytes; tensors with offsets from the first file's start."""

    paths: tuple[Path, ...]
    sizes: tuple[int, ...]
    metadata: Mapping[str, object]
    tensors: Mapping[str, TensorInfo]


def open_gguf(path: Path) -> GGUFFiles:
    """The model of a file, or of all parts where the file is one of them.

    Raises   FormatError for a broken file, or for parts that are missing or do not belong together.
    """
    found = _PART.fullmatch(path.name)
    paths = [path]
    if found is not None:
        stem, _, count = found.groups()
        names = [f"{stem}-{index:05}-of-{count}.gguf" for index in range(1, int(count) + 1)]
        paths = [path.with_name(name) for name in names]
    headers: list[GGUF] = []
    sizes: list[int] = []
    tensors: dict[str, TensorInfo] = {}
    for index, part in enumerate(paths):
        header, nbytes = _open(part)
        if found is not None:
            _need_part(header, index, len(paths), part)
        for name, info in header.tensors.items():
            if name in tensors:
                raise FormatError(f"tensor {name!r}", got="one in two parts", need="one place",
                                  where=part.name)  # fmt: skip
            tensors[name] = replace(info, offset=info.offset + sum(sizes))
        headers.append(header)
        sizes.append(nbytes)
    return GGUFFiles(tuple(paths), tuple(sizes), headers[0].metadata, tensors)


def _open(path: Path) -> tuple[GGUF, int]:
    try:
        with path.open("rb") as file:
            header = read_header(
                file, lambda data, nbytes: gguf.parse(data, file_nbytes=nbytes), HEADER_NBYTES
            )
            return header, os.fstat(file.fileno()).st_size
    except OSError as error:
        raise FormatError("a part of a GGUF model", got=str(error), need=path.name) from None


def _need_part(header: GGUF, index: int, count: int, path: Path) -> None:
    said = header.metadata.get("split.no"), header.metadata.get("split.count")
    if said != (index, count):
        raise FormatError("split.no and split.count of a part of a GGUF model", got=str(said),
                          need=str((index, count)), where=path.name)  # fmt: skip
