"""What the manifests of a store say of a file by its SHA-256: the segments that it consists of.

Manifests come from anywhere, and nobody has digested the whole file: what they say is a claim until
the objects that they name, in order, give that SHA-256.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from ..errors import FormatError
from . import learn
from .base import ObjectStore, Segment
from .manifest import Manifest

MAX_HEADER_NBYTES = 64 << 20  # as in formats.gguf
PREFIX = "manifest "  # of the names of documents that are manifests, before their address


@dataclass(frozen=True, slots=True)
class Known:
    """A file as a manifest describes it.

    segments       all of them, in order.
    tensors        which of them hold tensors, and are objects of the store once they were fetched.
    header_nbytes  what comes before the first tensor.
    """

    segments: tuple[Segment, ...]
    tensors: frozenset[int]
    header_nbytes: int


async def find(store: ObjectStore, sha256: str) -> Known | None:
    """What is known of a file whose tensors are all here, as far as a manifest says so."""
    for name in sorted(await store.texts()):
        text = await store.get_text(name) if name.startswith(PREFIX) else None
        if text is None or sha256 not in text:
            continue
        with suppress(FormatError):  # of another version
            manifest = Manifest.from_json(text).at(name.removeprefix(PREFIX))
            for index, file in enumerate(manifest.files):
                if file.sha256 != sha256:
                    continue
                known = part(await _learnt(store, manifest), index)
                if known is not None and await _there(store, known):
                    return known
    return None


async def _learnt(store: ObjectStore, manifest: Manifest) -> Manifest:
    if manifest.more_files or all(segment.hash for segment in manifest.segments):
        return manifest
    found, _ = await learn.recall(store, manifest.file.url, manifest)
    return found if any(segment.hash for segment in found.segments) else manifest


def part(manifest: Manifest, index: int) -> Known | None:
    """One of a manifest's files; None where it does not begin with a header and have tensors."""
    start = manifest.starts[index]
    end = start + manifest.files[index].nbytes
    own = [i for i, offset in enumerate(manifest.offsets) if start <= offset < end]
    places = [(ref.offset, name) for name, ref in manifest.tensors.items()
              if start <= ref.offset < end and ref.nbytes]  # fmt: skip
    header_nbytes = min(places)[0] - start if places else 0
    if not 0 < header_nbytes <= MAX_HEADER_NBYTES:
        return None
    held: set[int] = set()
    for _, name in places:
        span = manifest.segments_of(name)
        held |= {span.first + i - own[0] for i in range(len(span.segments))}
    segments = tuple(manifest.segments[i] for i in own)
    return Known(segments, frozenset(held), header_nbytes)


async def _there(store: ObjectStore, known: Known) -> bool:
    hashes: Sequence[str | None] = [known.segments[index].hash for index in known.tensors]
    return None not in hashes and all(await store.has([hash for hash in hashes if hash]))
