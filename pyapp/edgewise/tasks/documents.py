"""The small texts of a model, such as its manifest, there without a network once they were read.

Weights never pass here: they go from the network to the store to the device.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from hashlib import sha256

from ..errors import DownloadError, FormatError, HashMismatchError, QuotaError
from ..host.base import Host, Tokenizer
from ..store.huggingface import parse_address
from ..store.known import PREFIX
from ..store.manifest import Manifest, TextRef
from ..store.records import running, use
from .unpacked import Unpacked, is_unpacked, open_unpacked


@asynccontextmanager
async def opened(host: Host, url: str) -> AsyncIterator[Manifest]:
    """The manifest at `url`, as `load_manifest` gives it; the model is not evicted meanwhile."""
    async with host.store.lock(running(url), shared=True):
        yield await load_manifest(host, url)


async def load_manifest(host: Host, url: str) -> Manifest:
    """The manifest at `url` with absolute addresses inside; without a network, the last one seen.

    The address of a GGUF file works too (see `unpacked`), and what `store.huggingface` knows as an
    address on a model hub, such as `hf://org/name/model.gguf`. Raises DownloadError when it can be
    had from neither, FormatError when it is not one, UnsupportedError for an architecture that is
    not known.
    """
    name = f"{PREFIX}{url}"
    if is_unpacked(url):
        return await _load_unpacked(host, name, url)
    address = parse_address(url)
    source = address.url if address is not None else url
    try:
        text = await host.fetch_text(source)
    except DownloadError:
        kept = await host.store.get_text(name)
        if kept is None:
            raise
        return await _used(host, url, Manifest.from_json(kept).at(source))
    manifest = await _used(host, url, Manifest.from_json(text).at(source))
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


async def _load_unpacked(host: Host, name: str, url: str) -> Manifest:
    """A manifest made from a model's file, and its tokenizer kept."""
    before = await _kept(host, name)
    ref = before and before.tokenizer
    whole = ref and await host.store.get_text(f"tokenizer {ref.sha256}") is not None
    try:
        found = await open_unpacked(host, url, before if whole else None)
    except DownloadError:
        if before is None:
            raise
        found = Unpacked(before, None)
    manifest = await _used(host, url, found.manifest)
    await _keep(host, name, manifest.to_json())
    if found.tokenizer is not None and manifest.tokenizer is not None:
        await _keep(host, f"tokenizer {manifest.tokenizer.sha256}", found.tokenizer)
    return manifest


async def _kept(host: Host, name: str) -> Manifest | None:
    text = await host.store.get_text(name)
    with suppress(FormatError):  # of another version
        return None if text is None else Manifest.from_json(text)
    return None


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
