"""A Hugging Face folder of an encoder, described: config, tokenizer and safetensors files.

    all-MiniLM-L6-v2/
      config.json  tokenizer.json  model.safetensors (or shards and their index)
      modules.json  sentence_bert_config.json  1_Pooling/config.json    of sentence-transformers
      README.md                                                        its licence

Every document is read once and bounded; the weights stay where they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from ..errors import FormatError, UnsupportedError
from ..formats.tensor import TensorInfo
from ..importers.bert_config import config_from_files, matrix_names, tensor_names
from .base import Segment
from .cut import cut
from .described import Described, safe, text_ref
from .manifest import TEXT_NBYTES, Demands, FileRef, Manifest, TensorRef
from .safetensors_files import WeightFiles, open_weights

DOCUMENT_NBYTES = 1 << 20  # configs have a few hundred bytes
_LICENSE = re.compile(r"\A---\n(?:(?!---).*\n)*?license:[ \t]*([\w.+-]+)[ \t]*\n", re.ASCII)

Files = Mapping[str, Any]
Config = Callable[[Files, Mapping[str, TensorInfo]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Architecture:
    """What config.json's `model_type` stands for.

    tensors   names of those that a graph of this config reads.
    matrices  names of those that may have 8 bits.
    """

    task: str
    config: Config
    tensors: Callable[[Mapping[str, Any], Mapping[str, TensorInfo]], Collection[str]]
    matrices: Callable[[Mapping[str, Any]], Collection[str]]


ARCHITECTURES = {
    "bert": Architecture("feature-extraction", config_from_files, tensor_names, matrix_names)
}


def open_folder(folder: Path) -> tuple[WeightFiles, Collection[str]]:
    """What the weight files hold, and the matrices in them that may have 8 bits.

    Raises as `describe_folder`.
    """
    files = _documents(folder)
    row = _architecture(files)
    weights = open_weights(folder)
    return weights, row.matrices(row.config(files, weights.tensors))


def describe_folder(folder: Path) -> Described:
    """The model of a folder, named as the folder is.

    Raises   FormatError for a document or a weight file that is missing or broken;
             UnsupportedError for an architecture, a weight type or a way of storing weights that
             is not ours.
    """
    files = _documents(folder)
    row = _architecture(files)
    tokenizer = read_text(folder / "tokenizer.json", TEXT_NBYTES)
    weights = open_weights(folder)
    tensors = weights.tensors
    config = row.config(files, tensors)
    name = safe(folder.resolve().name).lower() or "model"
    places = [(each.offset, each.nbytes) for each in tensors.values()]
    lengths = cut(places, sum(weights.sizes), weights.starts)
    first, *more = _refs(name, weights)
    manifest = Manifest(
        name=name,
        task=row.task,
        architecture=config["architecture"],
        license=licence(folder / "README.md"),
        file=first,
        segments=tuple(Segment(None, length) for length in lengths),
        tensors={
            key: TensorRef(each.type, each.shape, each.offset, each.nbytes)
            for key, each in tensors.items()
        },
        config=config,
        tokenizer=text_ref(tokenizer, f"{name}.tokenizer.json"),
        chat=None,
        demands=_demands([tensors[each] for each in row.tensors(config, tensors)], config),
        more_files=tuple(more),
    )
    own, *others = weights.paths
    return Described(manifest, own, tokenizer, tuple(others))


def _refs(name: str, weights: WeightFiles) -> list[FileRef]:
    """The files as the manifest has them; shards keep their numbers."""
    ends = [""]
    if len(weights.sizes) > 1:
        count = len(weights.sizes)
        ends = [f"-{index:05}-of-{count:05}" for index in range(1, count + 1)]
    return [
        FileRef(f"{name}{end}.safetensors", "safetensors", None, nbytes)
        for end, nbytes in zip(ends, weights.sizes, strict=True)
    ]


def _documents(folder: Path) -> dict[str, Any]:
    """The JSON documents that say what the model is, by path in the folder."""
    names = ["config.json", "modules.json", "sentence_bert_config.json"]
    names += sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/config.json"))
    found: dict[str, Any] = {}
    for name in names:
        if not (folder / name).is_file():
            continue
        try:
            found[name] = json.loads(read_text(folder / name, DOCUMENT_NBYTES))
        except (ValueError, RecursionError) as error:
            raise FormatError("not JSON", got=str(error), where=name) from None
        if not isinstance(found[name], list if name == "modules.json" else dict):
            raise FormatError(name, got=f"{found[name]!r:.40}", need="an object", where=name)
    return found


def read_text(path: Path, most: int) -> str:
    """A document of at most `most` bytes. Raises FormatError."""
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise FormatError(path.name, got=f"more than {most} bytes", need="a small document")
        return data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError("a Hugging Face folder", got=str(error), need=path.name) from None


def _architecture(files: Files) -> Architecture:
    if "config.json" not in files:
        raise FormatError("a Hugging Face folder", got="no config.json", need="config.json")
    found = files["config.json"].get("model_type")
    if found not in ARCHITECTURES:
        raise UnsupportedError("model architecture", got=f"{found!r:.40}",
                               need="one of " + ", ".join(ARCHITECTURES),
                               where="config.json 'model_type'")  # fmt: skip
    return ARCHITECTURES[found]


def licence(readme: Path) -> str | None:
    """`license` of the model card's YAML head."""
    if not readme.is_file():
        return None
    found = _LICENSE.match(read_text(readme, DOCUMENT_NBYTES))
    return found[1] if found else None


def _demands(tensors: Collection[TensorInfo], config: Mapping[str, Any]) -> Demands:
    """A table that is looked up is not multiplied; nothing is kept from text to text.

    Vectors, and scales [N, 1], are no matrices.
    """
    read = [tensor for tensor in tensors if "embeddings." not in tensor.name]
    return Demands(
        weight_nbytes=sum(tensor.nbytes for tensor in tensors),
        kv_nbytes_per_token=0,
        flops_per_token=2
        * sum(prod(each.shape) for each in read if max(each.shape[1:], default=1) > 1),
        nbytes_per_token=sum(tensor.nbytes for tensor in read),
        context=config["max_tokens"],
    )
