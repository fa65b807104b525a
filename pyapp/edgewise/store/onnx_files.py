"""An ONNX model on disk: its structure read, its data files found, nothing outside its folder.

The model file is mapped, not read: pages of weights stay on the disk. Every external data file
is a regular file that holds what the model says of it.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import FormatError
from ..formats.onnx import OnnxModel, OnnxTensor
from ..formats.onnx_check import short, tensors_of, with_tensors
from ..formats.onnx_read import parse
from ..importers.onnx.arrays import SOURCES

#: Whole numbers up to this size may say shapes, so the structure carries them.
KNOWN_NBYTES = 1 << 16
_WHOLE = frozenset({"INT64", "UINT64", "INT32", "UINT32", "INT8", "UINT8", "BOOL"})


@dataclass(frozen=True, slots=True)
class OnnxFiles:
    """A model and its files by `OnnxTensor.location`, the model's own (`""`) first."""

    model: OnnxModel
    paths: Mapping[str, Path]


def open_onnx(path: Path) -> OnnxFiles:
    """Read the structure of a model and find its files.

    Raises   FormatError for a broken model, for external data that is missing, too short or
             outside the model's folder; UnsupportedError as `formats.onnx_read.parse`.
    """
    try:
        model = parse(_mapped(path))
    except OSError as error:
        raise FormatError("the ONNX file cannot be read", got=str(error), where=str(path)) from None
    except FormatError as error:
        error.add_note(f"in the file {path}")
        raise
    paths = {"": path}
    for tensor in tensors_of(model):
        location = tensor.location
        if location and location not in paths:
            paths[location] = _beside(path, location, tensor)
    sizes = {location: each.stat().st_size for location, each in paths.items()}
    for tensor in tensors_of(model):
        end = tensor.offset + tensor.nbytes
        if tensor.location is not None and end > sizes[tensor.location]:
            raise FormatError(
                f"external data of {short(tensor.name)}", got=f"{sizes[tensor.location]} bytes",
                need=f"{end}", where=str(paths[tensor.location]),
                fix="the file is cut short; fetch it again",
            )  # fmt: skip
    return OnnxFiles(model, paths)


def self_contained(found: OnnxFiles) -> OnnxModel:
    """The model with inline data where an importer may ask for values: see KNOWN_NBYTES.

    What a graph of ours cannot take from a file as it is (float64, 16-bit integers) is inline too.
    """

    def change(tensor: OnnxTensor) -> OnnxTensor:
        if tensor.location is None:
            return tensor
        small = tensor.dtype in _WHOLE and tensor.nbytes <= KNOWN_NBYTES
        if tensor.dtype in SOURCES and not small:
            return tensor
        return replace(tensor, data=_read(found.paths[tensor.location], tensor), location=None,
                       offset=0)  # fmt: skip

    return with_tensors(found.model, change)


def _read(path: Path, tensor: OnnxTensor) -> bytes:
    with path.open("rb") as file:
        file.seek(tensor.offset)
        return file.read(tensor.nbytes)


def _mapped(path: Path) -> memoryview:
    """A file's bytes; the map goes when nobody looks at it any more."""
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            raise FormatError("not a valid ONNX file", got="no bytes", need="a model")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _beside(model: Path, location: str, tensor: OnnxTensor) -> Path:
    """The data file at `location`, links resolved, which has to be in the model's folder.

    Hugging Face's cache links both the model and its data to one folder of blobs: that counts.
    """
    where = f"tensor {short(tensor.name)}"
    path = model.parent / location
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError):
        raise FormatError("external data", got=f"no file {short(location)}",
                          need="it beside the model", where=where) from None  # fmt: skip
    folders = (model.parent.resolve(), model.resolve().parent)
    if not any(real.is_relative_to(folder) for folder in folders) or not real.is_file():
        raise FormatError("external data", got=f"{short(location)} leads elsewhere",
                          need="a file in the model's folder", where=where)  # fmt: skip
    return path
