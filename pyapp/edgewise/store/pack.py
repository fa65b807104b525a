"""From a model file to its manifest: what it is, which objects it is made of, what it demands.

The file is read once and never rewritten: it stays, byte for byte, what other sites know. Beside
the manifest come its tokenizer and a link to the file, so the folder can be served as it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Literal

from ..errors import FormatError, InputError, UnsupportedError
from ..formats.gguf import GGUF
from ..formats.tensor import TensorInfo
from ..formats.tokenizer import chat, tokenizer_json
from ..importers.llama_config import config_from_gguf
from .base import Segment
from .cut import SEGMENT_NBYTES, cut
from .described import Described, safe, text_ref
from .gguf_files import open_gguf
from .manifest import Demands, FileRef, Manifest, TensorRef
from .pack_adapter import describe_adapter, is_adapter
from .pack_folder import describe_folder
from .pack_onnx import describe_onnx

_QUANTISED = re.compile(r"[.-](i?q\d\w*|[bf]+(16|32)|mxfp4)$", re.IGNORECASE)  # a name's ending
_PART = re.compile(r"-\d{5}-of-\d{5}$")  # a name's ending where the file is one of several
_EMBEDDING, _OUTPUT = "token_embd.weight", "output.weight"

Config = Callable[[Mapping[str, object], Mapping[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Architecture:
    """What `general.architecture` stands for."""

    task: str
    config: Config


ARCHITECTURES = {"llama": Architecture("text-generation", config_from_gguf)}


def pack(
    path: Path,
    out_dir: Path,
    quantise: Literal["int8"] | None = None,
    base: Path | None = None,
) -> Path:
    """Writes `<name>.manifest.json`, the model's small documents, and links to its files.

    path  a GGUF file, or one of the parts that a model is split into, `name` being its name
          without the quantisation, in lower case; a Hugging Face folder (see pack_folder); an
          ONNX file, its data beside it (pack_onnx); or the folder of an adapter (pack_adapter).
    quantise  writes a variant of a folder or an ONNX file, `name` with `-int8`: its matrices in
              8 bits, which loses some of what the model knows. The manifest says how much.
    base  the manifest of what an adapter adapts.

    Returns  the manifest's path.
    Raises   FormatError for a broken or cut file; UnsupportedError for an architecture, a weight
             type or a tokenizer that is not ours. Nothing is written then.
    Cost     one pass over the files; memory for the header and one segment. With `quantise`
             memory for the model.
    """
    if is_adapter(path):
        if quantise is not None:
            raise UnsupportedError(
                "an adapter in 8 bits", got=str(path), need="an adapter as it is"
            )
        return _written(describe_adapter(path, base), out_dir, stays=True)
    if base is not None:
        raise InputError("a base", got=str(base), need=f"an adapter to go with it, not {path}")
    if quantise is None:
        return _written(_describe(path), out_dir, stays=True)
    from .quantise import write_int8

    out_dir.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out_dir) as work:
        variant = write_int8(path, Path(work))
        model = _describe(variant.path)
        manifest = replace(model.manifest, quantised=variant.quantised)
        return _written(replace(model, manifest=manifest), out_dir, stays=False)


def _written(model: Described, out_dir: Path, *, stays: bool) -> Path:
    """The manifest's path, after everything is where it names it.

    stays  whether the model's files will still be where they are
    """
    manifest = _hashed(model)
    out_dir.mkdir(parents=True, exist_ok=True)
    for ref, file in zip(manifest.files, (model.file, *model.more_files), strict=True):
        _link(file.resolve(), out_dir / ref.url, hard=ref.format != "onnx-data", soft=stays)
    documents = (model.tokenizer, manifest.tokenizer), (model.structure, manifest.structure)
    for text, document in documents:
        if text is not None and document is not None:
            _write(out_dir / str(document.url), text)
    written = out_dir / f"{manifest.name}.manifest.json"
    _write(written, manifest.to_json())  # last: where a manifest is, all of it is
    return written


def _describe(path: Path) -> Described:
    if path.is_dir():
        return describe_folder(path)
    return describe_onnx(path) if path.suffix.lower() == ".onnx" else _describe_gguf(path)


def _hashed(model: Described) -> Manifest:
    """The manifest with the hashes of all segments and files."""
    manifest, first, files = model.manifest, 0, []
    segments: list[Segment] = []
    for ref, path in zip(manifest.files, (model.file, *model.more_files), strict=True):
        lengths, end = [], 0
        while end < ref.nbytes:
            lengths.append(manifest.segments[first].nbytes)
            end, first = end + lengths[-1], first + 1
        with path.open("rb") as file:
            found, digest = _hashes(file, lengths)
        segments += found
        files.append(replace(ref, sha256=digest))
    return replace(manifest, file=files[0], more_files=tuple(files[1:]), segments=tuple(segments))


def _describe_gguf(path: Path) -> Described:
    found = open_gguf(path)
    refs = [
        FileRef(safe(each.name), "gguf", None, nbytes)
        for each, nbytes in zip(found.paths, found.sizes, strict=True)
    ]
    manifest = _manifest(found.metadata, found.tensors, refs)
    text = tokenizer_text(found.metadata)
    ref = text_ref(text, f"{manifest.name}.tokenizer.json")
    first, *more = found.paths
    return Described(replace(manifest, tokenizer=ref), first, text, tuple(more))


def manifest_from_header(header: GGUF, url: str, file_nbytes: int) -> Manifest:
    """The manifest of a GGUF that is opened by URL without a pack: no hash is known yet.

    Its tokenizer has no address: it is `tokenizer_text(header.metadata)`. Raises as `pack`.
    """
    parts = header.metadata.get("split.count", 1)
    if parts != 1:
        raise UnsupportedError("a model opened by its file's address", got=f"one of {parts} parts",
                               need="a whole file", fix="pack its parts")  # fmt: skip
    return _manifest(header.metadata, header.tensors, [FileRef(url, "gguf", None, file_nbytes)])


def _manifest(
    metadata: Mapping[str, object], tensors: Mapping[str, TensorInfo], files: Sequence[FileRef]
) -> Manifest:
    """The manifest of files that count as one; `tensors` have their places in all of them."""
    row = _architecture(metadata)
    config = row.config(metadata, tensors)
    *starts, end = accumulate((file.nbytes for file in files), initial=0)
    lengths = cut([(t.offset, t.nbytes) for t in tensors.values()], end, starts)
    licence = metadata.get("general.license")
    return Manifest(
        name=_name(files[0].url),
        task=row.task,
        architecture=str(metadata["general.architecture"]),
        license=licence if isinstance(licence, str) and licence else None,
        file=files[0],
        segments=tuple(Segment(None, nbytes) for nbytes in lengths),
        tensors={
            name: TensorRef(tensor.type, tensor.shape, tensor.offset, tensor.nbytes)
            for name, tensor in tensors.items()
        },
        config=config,
        tokenizer=text_ref(tokenizer_text(metadata), None),
        chat=chat(metadata),
        demands=_demands(tensors, config),
        more_files=tuple(files[1:]),
    )


def tokenizer_text(metadata: Mapping[str, object]) -> str:
    """The tokenizer.json of GGUF metadata as text: always the same, so that its hash is."""
    return json.dumps(tokenizer_json(metadata), ensure_ascii=False, separators=(",", ":"))


def _architecture(metadata: Mapping[str, object]) -> Architecture:
    found = metadata.get("general.architecture")
    if not isinstance(found, str) or found not in ARCHITECTURES:
        raise UnsupportedError(
            "model architecture",
            got=repr(found),
            need="one of " + ", ".join(ARCHITECTURES),
            where="metadata key 'general.architecture'",
        )
    return ARCHITECTURES[found]


def _demands(tensors: Mapping[str, TensorInfo], config: Mapping[str, Any]) -> Demands:
    """An embedding that is not the output matrix too is looked up, not multiplied."""
    looked_up = {_EMBEDDING} if _OUTPUT in tensors else set()
    read = [tensor for name, tensor in tensors.items() if name not in looked_up]
    return Demands(
        weight_nbytes=sum(tensor.nbytes for tensor in tensors.values()),
        kv_nbytes_per_token=2 * 4 * config["layers"] * config["kv_heads"] * config["head_dim"],
        flops_per_token=2 * sum(prod(tensor.shape) for tensor in read if len(tensor.shape) > 1),
        nbytes_per_token=sum(tensor.nbytes for tensor in read),
        context=config["context"],
    )


def _hashes(file: BinaryIO, lengths: list[int]) -> tuple[tuple[Segment, ...], str]:
    """The segments with their hashes, and the whole file's, in one pass."""
    file.seek(0)
    whole, segments = hashlib.sha256(), []
    buffer = memoryview(bytearray(SEGMENT_NBYTES))
    for nbytes in lengths:
        piece = buffer[:nbytes]
        got = file.readinto(piece)  # type: ignore[attr-defined]
        if got != nbytes:
            raise FormatError(
                "the file became shorter while it was read", got=f"{got} bytes", need=str(nbytes)
            )
        whole.update(piece)
        segments.append(Segment(hashlib.sha256(piece).hexdigest(), nbytes))
    return tuple(segments), whole.hexdigest()


def _name(url: str) -> str:
    """`https://h/SmolLM2-135M-Instruct.Q4_1.gguf?x` -> `smollm2-135m-instruct`"""
    stem = re.split(r"[?#]", url)[0].rsplit("/", 1)[-1].removesuffix(".gguf")
    stem = _PART.sub("", stem)
    return safe(_QUANTISED.sub("", stem) or stem).lower() or "model"


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _link(file: Path, link: Path, *, hard: bool, soft: bool) -> None:
    """Puts the file at `link` without a second copy of its bytes where the disk can do that.

    hard  whether a second name may be given to it: the `onnx` package then refuses a data file.
    soft  whether a symbolic link may lead to it: it stays where it is.
    """
    if link.exists() and link.samefile(file):
        return
    part = link.with_name(link.name + ".part")
    part.unlink(missing_ok=True)
    ways: tuple[tuple[bool, Callable[[Path, Path], object]], ...] = (
        (hard, os.link), (soft, os.symlink), (True, shutil.copyfile)
    )  # fmt: skip
    for make in (way for may, way in ways if may):
        try:
            make(file, part)
        except OSError:
            continue
        part.replace(link)
        return
    raise OSError(f"no link and no copy of {file} could be made at {link}")
