"""The small texts of a model, such as its manifest, there without a network once they were read.

Weights never pass here: they go from the network to the store to the device.
"""

from __future__ import annotations

from hashlib import sha256

from ..errors import DownloadError, FormatError, HashMismatchError, QuotaError
from ..host.base import Host, Tokenizer
from ..store.huggingface import parse_address
from ..store.known import PREFIX
from ..store.manifest import Manifest, TextRef
from .unpacked import is_unpacked, open_unpacked


async def load_manifest(host: Host, url: str) -> Manifest:
    """The manifest at `url` with absolute addresses inside; without a network, the last one seen.

    The address of a GGUF file works too (see `unpacked`), and what `store.huggingface` knows as an
    address on a model hub, such as `hf://org/name/model.gguf`. Raises DownloadError when it can be had from neither, FormatError when it is
    not one, UnsupportedError for an architecture that is not known.
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
        return Manifest.from_json(kept).at(source)
    manifest = Manifest.from_json(text).at(source)
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
    kept = await host.store.get_text(name)
    before = Manifest.from_json(kept) if kept is not None else None
    ref = before.tokenizer if before is not None else None
    whole = ref is not None and await host.store.get_text(f"tokenizer {ref.sha256}") is not None
    try:
        found = await open_unpacked(host, url, before if whole else None)
    except DownloadError:
        if before is None:
            raise
        return before
    if found is None:
        assert before is not None, "nothing new of nothing"
        return before
    await _keep(host, name, found.manifest.to_json())
    if found.manifest.tokenizer is not None:
        await _keep(host, f"tokenizer {found.manifest.tokenizer.sha256}", found.tokenizer)
    return found.manifest


async def _keep(host: Host, name: str, text: str) -> None:
    try:
        await host.store.put_text(name, text)
    except QuotaError:
        return  # a full disk costs the visit without a network, not this one
