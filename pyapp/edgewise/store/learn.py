"""Hashes of a file that was opened by URL without a pack: learnt as its bytes arrive.

They are kept as a small document under the URL, with the ETag of the file that they belong to, and
its SHA-256 where a hub tells it, so that the next download resumes. A file that changed since is
noticed by one of them, and the record is dropped.
"""

from __future__ import annotations

import json

from .base import ObjectStore, Segment
from .document import parse
from .manifest import Manifest


def document(url: str) -> str:
    """The name of the document that keeps what was learnt of the file at `url`."""
    return f"learnt {url}"


async def known(store: ObjectStore, url: str) -> list[Segment]:
    """The segments of a file as far as they are known; none where nothing was learnt."""
    return _segments(await store.get_text(document(url)))


def _segments(text: str | None) -> list[Segment]:
    if text is None:
        return []
    record = parse(text)
    sizes = [item.integer(1) for item in record.field("nbytes").items()]
    hashes = [item.sha256_or_none() for item in record.field("hashes").items(len(sizes))]
    return [Segment(hash, nbytes) for hash, nbytes in zip(hashes, sizes, strict=True)]


async def recall(store: ObjectStore, url: str, manifest: Manifest) -> tuple[Manifest, str | None]:
    """The manifest with the hashes that are known by now, and the file's ETag."""
    text = await store.get_text(document(url))
    found = _segments(text)
    if text is None or [each.nbytes for each in found] != [s.nbytes for s in manifest.segments]:
        return manifest, None  # nothing is known, or another file was here then
    if parse(text).field("sha256").data not in (None, manifest.file.sha256):
        return manifest, None
    etag = parse(text).field("etag").text_or_none()
    both = zip(found, manifest.segments, strict=True)
    return manifest.with_hashes([learnt.hash or own.hash for learnt, own in both]), etag


async def record(store: ObjectStore, url: str, manifest: Manifest, etag: str | None) -> None:
    """Keeps the hashes that are known by now. Raises QuotaError."""
    hashes = [segment.hash for segment in manifest.segments]
    sizes = [segment.nbytes for segment in manifest.segments]
    whole = manifest.file.sha256
    text = json.dumps({"etag": etag, "sha256": whole, "hashes": hashes, "nbytes": sizes})
    await store.put_text(document(url), text)


async def forget(store: ObjectStore, url: str) -> None:
    """Drops the record of a URL, where there is one."""
    await store.remove_text(document(url))
