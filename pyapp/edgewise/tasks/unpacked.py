"""Models that are opened by the address of their file, or of their repository, without a pack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from ..errors import FormatError, InputError, UnsupportedError
from ..formats import gguf, safetensors
from ..host.base import Host
from ..store.described import safe
from ..store.huggingface import Address, Remote, list_files, parse_address, resolve
from ..store.manifest import FileRef, Manifest
from ..store.pack import manifest_from_header, tokenizer_text
from ..store.pack_folder import TOKENIZER, document_names, folder_manifest, most_nbytes
from ..store.safetensors_files import HEADER_NBYTES as SAFETENSORS_NBYTES
from ..store.safetensors_files import WEIGHTS
from .header import manifest_of

GGUF_NBYTES = 4 << 20  # of a header: vocabularies of 100,000 tokens fit
KINDS = ("one .gguf file", f"config.json, {TOKENIZER} and {WEIGHTS}")


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A model's manifest, made of its file, and the text of its tokenizer; None: it is what it
    was."""

    manifest: Manifest
    tokenizer: str | None


def is_unpacked(address: str) -> bool:
    """Whether an address is of a model's file, or of a hub's repository, instead of a manifest."""
    if urlsplit(address).path.endswith(".gguf"):
        return True
    found = parse_address(address)
    return found is not None and found.path in ("", WEIGHTS)


async def open_unpacked(host: Host, address: str, before: Manifest | None) -> Unpacked:
    """The model at the address of a GGUF file, of a repository that has one, or of an encoder's.

    before  what was made of this address the last time, if its tokenizer is still there.

    Raises as `resolve`, `manifest_from_header` and `folder_manifest`; InputError for a repository
    with several files.
    """
    found = parse_address(address)
    if found is None or (found.path and found.path != WEIGHTS):
        return await _gguf(host, await resolve(host, address), before)
    files = await list_files(host, found)
    single = [remote for path, remote in files.items() if path.endswith(".gguf")]
    if "config.json" in files and WEIGHTS in files:
        return await _folder(host, found, files, before)
    if len(single) != 1:
        names = sorted(path for path in files if path.endswith((".gguf", ".safetensors", ".onnx")))
        raise InputError("a repository of one model", got=", ".join(names) or "no weights",
                         need=" or ".join(KINDS),
                         fix=f"add the name of a .gguf file to {address}, or pack it")  # fmt: skip
    return await _gguf(host, single[0], before)


async def _gguf(host: Host, remote: Remote, before: Manifest | None) -> Unpacked:
    """All of it is in the file: nothing is read where the SHA-256 is what it was."""
    if before is not None and remote.sha256 is not None and before.file.sha256 == remote.sha256:
        return Unpacked(before, None)
    texts: list[str] = []

    def make(prefix: bytes, file_nbytes: int) -> Manifest:
        header = gguf.parse(prefix, file_nbytes=file_nbytes)
        manifest = manifest_from_header(header, remote.url, file_nbytes)
        texts.append(tokenizer_text(header.metadata))
        return replace(manifest, file=replace(manifest.file, sha256=remote.sha256))

    manifest = await manifest_of(host, remote, make, GGUF_NBYTES, None)
    return Unpacked(manifest, texts[-1])


async def _folder(
    host: Host, address: Address, files: Mapping[str, Remote], before: Manifest | None
) -> Unpacked:
    """Small files are read each time: the hub has no SHA-256 of them."""
    texts = {name: await _text(host, name, files[name]) for name in document_names(files)}
    if TOKENIZER not in texts:
        raise FormatError(f"'{address}' on the model hub", got="no tokenizer", need=TOKENIZER)
    remote, name = files[WEIGHTS], safe(address.repository.rpartition("/")[2]).lower() or "model"

    def make(prefix: bytes, file_nbytes: int) -> Manifest:
        header = safetensors.parse(prefix, file_nbytes=file_nbytes)
        ref = FileRef(remote.url, "safetensors", remote.sha256, file_nbytes)
        return folder_manifest(name, texts, header.tensors, [ref], files[TOKENIZER].url)

    manifest = await manifest_of(host, remote, make, SAFETENSORS_NBYTES, before)
    return Unpacked(manifest, texts[TOKENIZER])


async def _text(host: Host, name: str, remote: Remote) -> str:
    if remote.nbytes is not None and remote.nbytes > most_nbytes(name):
        raise UnsupportedError(name, got=f"{remote.nbytes} bytes", where=remote.url,
                               need=f"at most {most_nbytes(name)}")  # fmt: skip
    return await host.fetch_text(remote.url)
