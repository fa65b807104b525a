"""Manifests and bytes that tests of the store share."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from itertools import accumulate, pairwise

from edgewise.formats.tokenizer import Chat
from edgewise.store.base import Segment
from edgewise.store.manifest import Demands, FileRef, Manifest, TensorRef


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def random_bytes(nbytes: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(nbytes)


def manifest_of(data: bytes, sizes: Sequence[int], url: str = "model.gguf") -> Manifest:
    """A model whose tensor `t<i>` is segment i of `data`."""
    starts = list(accumulate(sizes, initial=0))
    pieces = [data[a:b] for a, b in pairwise(starts)]
    return Manifest(
        name="tiny",
        task="text-generation",
        architecture="llama",
        license=None,
        file=FileRef(url, "gguf", digest(data), len(data)),
        segments=tuple(Segment(digest(piece), len(piece)) for piece in pieces),
        tensors={
            f"t{i}": TensorRef("I8", (len(piece),), starts[i], len(piece))
            for i, piece in enumerate(pieces)
        },
        config={"architecture": "llama", "layers": 1},
        tokenizer=None,
        chat=Chat("{{ messages }}", "<s>", None, (2, 7)),
        demands=Demands(len(data), 8, 2, len(data), 128),
    )


def unknown(manifest: Manifest) -> Manifest:
    """The same, opened by URL: no hash is known."""
    return manifest.with_hashes([None] * len(manifest.segments))
