"""The small texts of a model, such as its manifest, there without a network once they were read.

Weights never pass here: they go from the network to the store to the device.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from hashlib import sha256
from urllib.parse import urljoin, urlsplit

from ..errors import (
    DownloadError,
    EdgewiseError,
    FormatError,
    HashMismatchError,
    NeedMoreBytes,
    QuotaError,
)
from ..formats.gguf import GGUF, parse
from ..host.base import Host, Tokenizer
from ..store.manifest import Manifest, TextRef
from ..store.pack import manifest_from_header, tokenizer_text
from ..store.records import running, use

HEADER_NBYTES = 4 << 20  # vocabularies of 100,000 tokens fit


@asynccontextmanager
async def opened(host: Host, url: str) -> AsyncIterator[Manifest]:
    """The manifest at `url`, as `load_manifest` gives it; the model is not evicted meanwhile."""
    async with host.store.lock(running(url), shared=True):
        yield await load_manifest(host, url)


async def load_manifest(host: Host, url: str) -> Manifest:
    """The manifest at `url` with absolute addresses inside; without a network, the last one seen.

    The address of a GGUF file works too: its header is read, and its hashes are learnt while it
    is downloaded. Raises DownloadError when it can be had from neither, FormatError when it is
    not one, UnsupportedError for an architecture that is not known.
    """
    name = f"manifest {url}"
    if urlsplit(url).path.endswith(".gguf"):
        return await _load_header(host, name, url)
    try:
        text = await host.fetch_text(url)
    except DownloadError:
        kept = await host.store.get_text(name)
        if kept is None:
            raise
        return await _used(host, url, _absolute(Manifest.from_json(kept), url))
    manifest = await _used(host, url, _absolute(Manifest.from_json(text), url))
    await _keep(host, name, text)
    return manifest


async def load_tokenizer(host: Host, manifest: Manifest) -> Tokenizer:
    """The model's tokenizer: from the store, or fetched, checked against its hash, and kept.

    Raises FormatError when the manifest names none, DownloadError, HashMismatchError.
    """
    ref = manifest.tokenizer
    if ref is None:
        raise FormatError(
            "the model has no tokenizer",
            need="one in its manifest",
            where=f"manifest {manifest.name}",
            fix="pack it again",
        )
    return host.tokenizer(await _document(host, ref, "tokenizer"))


async def load_structure(host: Host, manifest: Manifest) -> str:
    """The graph of a packed model: from the store, or fetched, checked, and kept.

    Raises FormatError when the manifest names none, DownloadError, HashMismatchError.
    """
    if manifest.structure is None:
        raise FormatError("the model has no structure", need="one in its manifest",
                          where=f"manifest {manifest.name}", fix="pack it again")  # fmt: skip
    return await _document(host, manifest.structure, "structure")


async def _document(host: Host, ref: TextRef, kind: str) -> str:
    name = f"{kind} {ref.sha256}"
    text = await host.store.get_text(name)
    if text is not None:
        return text
    if ref.url is None:
        raise DownloadError(
            f"the {kind} inside the model's file",
            got="it is not in the store any more",
            need="the file's header",
            fix="open the model again with a network",
        )
    text = await host.fetch_text(ref.url)
    found = sha256(text.encode()).hexdigest()
    if found != ref.sha256:
        raise HashMismatchError(
            f"the {kind} is not what the manifest says", got=found, need=ref.sha256, where=ref.url
        )
    await _keep(host, name, text)
    return text


async def _load_header(host: Host, name: str, url: str) -> Manifest:
    """A manifest made from the header of a GGUF file, and its tokenizer kept."""
    try:
        header, file_nbytes = await _header(host, url)
    except DownloadError:
        kept = await host.store.get_text(name)
        if kept is None:
            raise
        return await _used(host, url, Manifest.from_json(kept))
    manifest = await _used(host, url, manifest_from_header(header, url, file_nbytes))
    await _keep(host, name, manifest.to_json())
    if manifest.tokenizer is not None:
        text = tokenizer_text(header.metadata)
        await _keep(host, f"tokenizer {manifest.tokenizer.sha256}", text)
    return manifest


async def _header(host: Host, url: str) -> tuple[GGUF, int]:
    """The parsed header and the file's size, in as few requests as its length allows."""
    nbytes = HEADER_NBYTES
    while True:
        prefix, file_nbytes = await host.fetch_range(url, 0, nbytes)
        try:
            return parse(prefix, file_nbytes=file_nbytes), file_nbytes
        except NeedMoreBytes:
            nbytes *= 2
        except EdgewiseError as error:
            error.add_note(f"in the file {url}")
            raise


def _absolute(manifest: Manifest, base: str) -> Manifest:
    """The same with the addresses of files and documents joined to the manifest's own."""

    def document(ref: TextRef | None) -> TextRef | None:
        if ref is None or ref.url is None:
            return ref
        return replace(ref, url=urljoin(base, ref.url))

    first, *more = (replace(file, url=urljoin(base, file.url)) for file in manifest.files)
    return replace(
        manifest,
        file=first,
        more_files=tuple(more),
        tokenizer=document(manifest.tokenizer),
        structure=document(manifest.structure),
    )


async def _used(host: Host, url: str, manifest: Manifest) -> Manifest:
    """The same, recorded first: what is kept from now on belongs to it."""
    with suppress(QuotaError):  # as below: what is here already can be used all the same
        await use(host.store, url, manifest)
    return manifest


async def _keep(host: Host, name: str, text: str) -> None:
    try:
        await host.store.put_text(name, text)
    except QuotaError:
        return  # a full disk costs the visit without a network, not this one
