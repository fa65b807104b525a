"""Models that are opened by the address of their file, without a pack.

Their header is read; their hashes are learnt while they are downloaded. Where a hub says the file's
SHA-256, a manifest in the store that names such a file saves the download: its objects are digested
in order, behind the header, and believed if that gives the SHA-256.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from ..errors import EdgewiseError, InputError, NeedMoreBytes
from ..formats.gguf import GGUF, parse
from ..host.base import Host
from ..store.huggingface import Remote, list_files, parse_address, resolve
from ..store.known import Known, find
from ..store.manifest import Manifest
from ..store.pack import manifest_from_header, tokenizer_text

HEADER_NBYTES = 4 << 20  # vocabularies of 100,000 tokens fit


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A model's manifest, made of its file, and the text of the tokenizer that the file holds;
    None: it is what it was."""

    manifest: Manifest
    tokenizer: str | None


def is_unpacked(address: str) -> bool:
    """Whether an address is of a model's file, or of a hub's repository, instead of a manifest."""
    if urlsplit(address).path.endswith(".gguf"):
        return True
    found = parse_address(address)
    return found is not None and not found.path


async def open_unpacked(host: Host, address: str, before: Manifest | None) -> Unpacked:
    """The model at the address of a GGUF file, or of a repository that has one.

    before  what was made of this address the last time: it holds still where the file's SHA-256
            is the same.

    Raises as `resolve` and `manifest_from_header`; InputError for a repository with several files.
    """
    remote = await _file(host, address)
    if remote.sha256 is None:
        return await _from_header(host, remote)
    if before is not None and before.file.sha256 == remote.sha256:
        return Unpacked(before, None)
    known = await find(host.store, remote.sha256)
    return (known and await _from_known(host, remote, known)) or await _from_header(host, remote)


async def _file(host: Host, address: str) -> Remote:
    found = parse_address(address)
    if found is None or found.path:
        return await resolve(host, address)
    files = {path: remote for path, remote in (await list_files(host, found)).items()
             if path.endswith(".gguf")}  # fmt: skip
    if len(files) != 1:
        raise InputError("a repository of one model", got=", ".join(sorted(files)) or "no .gguf",
                         need="one .gguf file", fix=f"add a file's name to {address}")  # fmt: skip
    return next(iter(files.values()))


async def _from_header(host: Host, remote: Remote) -> Unpacked:
    """As few requests as the header's length allows."""
    nbytes = HEADER_NBYTES
    while True:
        prefix, file_nbytes = await host.fetch_range(remote.url, 0, nbytes)
        try:
            return _unpacked(parse(prefix, file_nbytes=file_nbytes), remote, file_nbytes)
        except NeedMoreBytes:
            nbytes *= 2
        except EdgewiseError as error:
            error.add_note(f"in the file {remote.url}")
            raise


def _unpacked(header: GGUF, remote: Remote, file_nbytes: int) -> Unpacked:
    manifest = manifest_from_header(header, remote.url, file_nbytes)
    named = replace(manifest, file=replace(manifest.file, sha256=remote.sha256))
    return Unpacked(named, tokenizer_text(header.metadata))


async def _from_known(host: Host, remote: Remote, known: Known) -> Unpacked | None:
    """The model with the hashes that are known, or None where they are not this file's."""
    header, file_nbytes = await host.fetch_range(remote.url, 0, known.header_nbytes)
    try:
        made = _unpacked(parse(header, file_nbytes=file_nbytes), remote, file_nbytes)
    except EdgewiseError:  # it ends elsewhere: the known file is another one
        return None
    segments = made.manifest.segments
    if [each.nbytes for each in segments] != [each.nbytes for each in known.segments]:
        return None
    if await host.digest([header, *_rest(known)]) != remote.sha256:
        return None
    hashes = [each.hash if index in known.tensors else None
              for index, each in enumerate(known.segments)]  # fmt: skip
    return replace(made, manifest=made.manifest.with_hashes(hashes))


def _rest(known: Known) -> Sequence[str | bytes]:
    """What follows the header: objects by hash, and between them the zeros of padding."""
    pieces: list[str | bytes] = []
    start = 0
    for index, segment in enumerate(known.segments):
        hash = segment.hash if index in known.tensors else None
        if start >= known.header_nbytes:
            pieces.append(hash or bytes(segment.nbytes))
        start += segment.nbytes
    return pieces
