"""A Hugging Face folder of an encoder, described: config, tokenizer and one safetensors file.

    all-MiniLM-L6-v2/
      config.json  tokenizer.json  model.safetensors
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
from ..formats import safetensors
from ..formats.safetensors import SafeTensors
from ..formats.tensor import TensorInfo
from ..importers.bert_config import config_from_files, matrix_names, tensor_names
from .base import Segment
from .cut import cut
from .described import Described, read_header, safe, text_ref
from .manifest import TEXT_NBYTES, Demands, FileRef, Manifest, TensorRef

HEADER_NBYTES = 1 << 18  # most headers; a longer one is read again, twice as far
DOCUMENT_NBYTES = 1 << 20  # configs have a few hundred bytes
WEIGHTS = "model.safetensors"
OTHER_WEIGHTS = ("model.safetensors.index.json", "pytorch_model.bin", "tf_model.h5")
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


def open_folder(folder: Path) -> tuple[SafeTensors, Collection[str]]:
    """What the weight file holds, and the matrices in it that may have 8 bits.

    Raises as `describe_folder`.
    """
    files = _documents(folder)
    row = _architecture(files)
    header, _ = _weights(folder)
    return header, row.matrices(row.config(files, header.tensors))


def describe_folder(folder: Path) -> Described:
    """The model of a folder, named as the folder is.

    Raises   FormatError for a document or a weight file that is missing or broken;
             UnsupportedError for an architecture, a weight type or a way of storing weights that
             is not ours.
    """
    files = _documents(folder)
    row = _architecture(files)
    tokenizer = read_text(folder / "tokenizer.json", TEXT_NBYTES)
    header, nbytes = _weights(folder)
    config = row.config(files, header.tensors)
    name = safe(folder.resolve().name).lower() or "model"
    tensors = header.tensors
    lengths = cut([(t.offset, t.nbytes) for t in tensors.values()], nbytes)
    manifest = Manifest(
        name=name,
        task=row.task,
        architecture=config["architecture"],
        license=licence(folder / "README.md"),
        file=FileRef(f"{name}.safetensors", "safetensors", None, nbytes),
        segments=tuple(Segment(None, length) for length in lengths),
        tensors={
            key: TensorRef(each.type, each.shape, each.offset, each.nbytes)
            for key, each in tensors.items()
        },
        config=config,
        tokenizer=text_ref(tokenizer, f"{name}.tokenizer.json"),
        chat=None,
        demands=_demands([tensors[each] for each in row.tensors(config, tensors)], config),
    )
    return Described(manifest, folder / WEIGHTS, tokenizer)


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


def _weights(folder: Path) -> tuple[SafeTensors, int]:
    """The parsed header of the weight file, and the file's size."""
    path = folder / WEIGHTS
    if not path.is_file():
        others = [name for name in OTHER_WEIGHTS if (folder / name).exists()]
        kind = UnsupportedError if others else FormatError
        raise kind("weights of a Hugging Face folder", got=", ".join(others) or "none",
                   need=WEIGHTS, fix="save it with transformers' save_pretrained")  # fmt: skip
    return weights_header(path), path.stat().st_size


def weights_header(path: Path) -> SafeTensors:
    """The parsed header of a safetensors file."""
    with path.open("rb") as file:
        return read_header(
            file, lambda data, nbytes: safetensors.parse(data, file_nbytes=nbytes), HEADER_NBYTES
        )


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
