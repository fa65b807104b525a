"""An ONNX file with its external data, described: weights stay where they are, structure as JSON.

All files count as one, the model first, then its data files as the model names them: offsets of
tensors and segments are in that concatenation. A page opens it without the `onnx` package.
"""

from __future__ import annotations

from math import prod
from pathlib import Path

from ..formats.onnx import OnnxTensor
from ..formats.onnx_check import tensors_of
from ..formats.onnx_json import to_json
from ..importers.onnx import check_operators
from ..importers.onnx.arrays import SOURCES
from .base import Segment
from .cut import cut
from .described import Described, safe, text_ref
from .manifest import Demands, FileRef, Manifest, TensorRef
from .onnx_files import open_onnx, self_contained


def describe_onnx(path: Path) -> Described:
    """The model of a file `NAME.onnx`, named so in lower case.

    Raises   FormatError for a broken model or data file; UnsupportedError that names every
             operator that is not ours.
    """
    found = open_onnx(path)
    model = self_contained(found)
    check_operators(model)
    name = safe(path.name.removesuffix(".onnx")).lower() or "model"
    locations = list(found.paths)
    files = [FileRef(f"{name}.onnx", "onnx", None, path.stat().st_size)]
    files += [
        FileRef(f"{name}.{index}.data", "onnx-data", None, found.paths[location].stat().st_size)
        for index, location in enumerate(locations[1:], 1)
    ]
    starts, end = {}, 0
    for location, file in zip(locations, files, strict=True):
        starts[location] = end
        end += file.nbytes
    tensors = {
        tensor.key: TensorRef(SOURCES[tensor.dtype], tensor.shape,
                              starts[tensor.location or ""] + tensor.offset, tensor.nbytes)
        for tensor in tensors_of(model) if tensor.location is not None
    }  # fmt: skip
    lengths = cut([(each.offset, each.nbytes) for each in tensors.values()], end, starts.values())
    structure = to_json(model)
    manifest = Manifest(
        name=name,
        task="graph",
        architecture="onnx",
        license=None,
        file=files[0],
        segments=tuple(Segment(None, length) for length in lengths),
        tensors=tensors,
        config={"locations": locations},
        tokenizer=None,
        chat=None,
        demands=_demands(list(tensors_of(model))),
        more_files=tuple(files[1:]),
        structure=text_ref(structure, f"{name}.structure.json"),
    )
    paths = tuple(found.paths[location] for location in locations[1:])
    return Described(manifest, path, None, paths, structure)


def _demands(tensors: list[OnnxTensor]) -> Demands:
    """Of a run that reads each weight once; what it really takes depends on the input's shapes."""
    nbytes = sum(tensor.nbytes for tensor in tensors)
    flops = 2 * sum(prod(tensor.shape) for tensor in tensors if len(tensor.shape) > 1)
    return Demands(nbytes, 0, flops, nbytes, 0)
