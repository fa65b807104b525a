"""Hashes of a file that was opened by URL without a pack: learnt as its bytes arrive.

They are kept as a small document under the URL, with the ETag they belong to, so that the next
download resumes. A file that changed since is noticed by either, and the record is dropped.
"""

from __future__ import annotations

import json

from .base import ObjectStore
from .document import parse
from .manifest import Manifest


def _name(url: str) -> str:
    return f"learnt {url}"


async def recall(store: ObjectStore, url: str, manifest: Manifest) -> tuple[Manifest, str | None]:
    """The manifest with the hashes that are known by now, and the file's ETag."""
    text = await store.get_text(_name(url))
    if text is None:
        return manifest, None
    record = parse(text)
    sizes = [item.integer(1) for item in record.field("nbytes").items()]
    if sizes != [segment.nbytes for segment in manifest.segments]:
        return manifest, None  # another file was here then
    known = [item.sha256_or_none() for item in record.field("hashes").items(len(sizes))]
    return manifest.with_hashes(known), record.field("etag").text_or_none()


async def record(store: ObjectStore, url: str, manifest: Manifest, etag: str | None) -> None:
    """Keeps the hashes that are known by now. Raises QuotaError."""
    hashes = [segment.hash for segment in manifest.segments]
    sizes = [segment.nbytes for segment in manifest.segments]
    document = {"etag": etag, "hashes": hashes, "nbytes": sizes}
    await store.put_text(_name(url), json.dumps(document))


async def forget(store: ObjectStore, url: str) -> None:
    """Drops the record of a URL, where there is one."""
    await store.remove_text(_name(url))
