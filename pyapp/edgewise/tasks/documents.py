"""The small texts of a model, manifest and tokenizer, there without a network once they were read.

Weights never pass here: they go from the network to the store to the device.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from urllib.parse import urljoin

from edgewise.errors import DownloadError, FormatError, HashMismatchError, QuotaError
from edgewise.host.base import Host, Tokenizer
from edgewise.store.manifest import Manifest


async def load_manifest(host: Host, url: str) -> Manifest:
    """The manifest at `url` with absolute addresses inside; without a network, the last one seen.

    Raises DownloadError when it can be had from neither, FormatError when it is not one.
    """
    name = f"manifest {url}"
    try:
        text = await host.fetch_text(url)
    except DownloadError:
        kept = await host.store.get_text(name)
        if kept is None:
            raise
        return _absolute(Manifest.from_json(kept), url)
    manifest = _absolute(Manifest.from_json(text), url)
    await _keep(host, name, text)
    return manifest


async def load_tokenizer(host: Host, manifest: Manifest) -> Tokenizer:
    """The model's tokenizer: from the store, or fetched, checked against its hash, and kept.

    Raises FormatError when the manifest names none, DownloadError, HashMismatchError.
    """
    ref = manifest.tokenizer
    if ref is None or ref.url is None:
        raise FormatError(
            "the model has no tokenizer",
            need="one in its manifest",
            where=f"manifest {manifest.name}",
            fix="pack it again",
        )
    name = f"tokenizer {ref.sha256}"
    text = await host.store.get_text(name)
    if text is None:
        text = await host.fetch_text(ref.url)
        found = sha256(text.encode()).hexdigest()
        if found != ref.sha256:
            raise HashMismatchError(
                "the tokenizer is not what the manifest says",
                got=found,
                need=ref.sha256,
                where=ref.url,
            )
        await _keep(host, name, text)
    return host.tokenizer(text)


def _absolute(manifest: Manifest, base: str) -> Manifest:
    """The same with the file's and the tokenizer's addresses joined to the manifest's own."""
    file = replace(manifest.file, url=urljoin(base, manifest.file.url))
    ref = manifest.tokenizer
    if ref is not None and ref.url is not None:
        ref = replace(ref, url=urljoin(base, ref.url))
    return replace(manifest, file=file, tokenizer=ref)


async def _keep(host: Host, name: str, text: str) -> None:
    try:
        await host.store.put_text(name, text)
    except QuotaError:
        return  # a full disk costs the visit without a network, not this one
