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
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
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
TOKENIZER, CARD = "tokenizer.json", "README.md"
NAMES = ("config.json", "modules.json", "sentence_bert_config.json", TOKENIZER, CARD)
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
    files = _documents(small_files(folder))
    row = _architecture(files)
    weights = open_weights(folder)
    return weights, row.matrices(row.config(files, weights.tensors))


def describe_folder(folder: Path) -> Described:
    """The model of a folder, named as the folder is.

    Raises   FormatError for a document or a weight file that is missing or broken;
             UnsupportedError for an architecture, a weight type or a way of storing weights that
             is not ours.
    """
    texts = small_files(folder)
    _architecture(_documents(texts))
    weights = open_weights(folder)
    name = safe(folder.resolve().name).lower() or "model"
    refs = _refs(name, weights)
    manifest = folder_manifest(name, texts, weights.tensors, refs, f"{name}.tokenizer.json")
    own, *others = weights.paths
    return Described(manifest, own, texts[TOKENIZER], tuple(others))


def folder_manifest(
    name: str,
    texts: Mapping[str, str],
    tensors: Mapping[str, TensorInfo],
    refs: Sequence[FileRef],
    tokenizer_url: str,
) -> Manifest:
    """The manifest of a folder, wherever it is; no hash is known yet.

    texts    its small files by path: those of `document_names`.
    tensors  of its weight files `refs`, which count as one.

    Raises   as `describe_folder`.
    """
    files = _documents(texts)
    row = _architecture(files)
    config = row.config(files, tensors)
    if TOKENIZER not in texts:
        raise FormatError("a Hugging Face folder", got="no tokenizer", need=TOKENIZER)
    *starts, end = accumulate((file.nbytes for file in refs), initial=0)
    lengths = cut([(each.offset, each.nbytes) for each in tensors.values()], end, starts)
    return Manifest(
        name=name,
        task=row.task,
        architecture=config["architecture"],
        license=_licence(texts.get(CARD, "")),
        file=refs[0],
        segments=tuple(Segment(None, length) for length in lengths),
        tensors={
            key: TensorRef(each.type, each.shape, each.offset, each.nbytes)
            for key, each in tensors.items()
        },
        config=config,
        tokenizer=text_ref(texts[TOKENIZER], tokenizer_url),
        chat=None,
        demands=_demands([tensors[each] for each in row.tensors(config, tensors)], config),
        more_files=tuple(refs[1:]),
    )


def document_names(paths: Collection[str]) -> list[str]:
    """Which of a folder's files say what the model is."""
    inner = [path for path in paths if path.count("/") == 1 and path.endswith("/config.json")]
    return sorted({*inner, *NAMES} & {*paths})


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


def small_files(folder: Path) -> dict[str, str]:
    """The texts of the small files that say what a folder's model is, by path in it."""
    found = [path for pattern in ("*", "*/config.json") for path in folder.glob(pattern)]
    names = document_names([p.relative_to(folder).as_posix() for p in found if p.is_file()])
    return {name: read_text(folder / name, most_nbytes(name)) for name in names}


def most_nbytes(name: str) -> int:
    """How large a small file may be."""
    return TEXT_NBYTES if name == TOKENIZER else DOCUMENT_NBYTES


def _documents(texts: Mapping[str, str]) -> dict[str, Any]:
    """The JSON documents that say what the model is, by path in the folder."""
    found: dict[str, Any] = {}
    for name in texts:
        if name in (TOKENIZER, CARD):
            continue
        try:
            found[name] = json.loads(texts[name])
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
    return _licence(read_text(readme, DOCUMENT_NBYTES)) if readme.is_file() else None


def _licence(card: str) -> str | None:
    found = _LICENSE.match(card)
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
