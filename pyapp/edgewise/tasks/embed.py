"""Texts to vectors: the class that keeps an encoder open, and one call that does it all.

    vectors = await embed(["Hello", "Bonjour"], model="models/all-minilm-l6-v2.manifest.json")

Vectors are float32 rows of a NumPy array [texts, hidden] where NumPy is there, else
`array('f')`s. Everything runs on this machine: no text leaves it.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import InputError, RouteError
from ..host.base import Host, Target
from ..host.current import current
from ..router.place import POLICIES, Policy
from ..runtime.encoder import BATCH, Encoder
from ..runtime.session import Progress
from .documents import load_tokenizer, opened
from .framing import Framing, batches

if TYPE_CHECKING:
    import numpy as np

    Vectors: TypeAlias = np.ndarray[Any, np.dtype[np.float32]] | list[array[float]]


class Embedder:
    """Open one with `Embedder.open`; close it to free the device. See `embed`."""

    def __init__(self, encoder: Encoder, framing: Framing) -> None:
        self.encoder, self.framing = encoder, framing
        self._running = AsyncExitStack()  # keeps the model from eviction

    @classmethod
    async def open(
        cls,
        model: str,
        *,
        policy: Policy = "auto",
        target: Target | None = None,
        host: Host | None = None,
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> Embedder:
        """Bring the model of a manifest onto this machine's device; parameters as `embed`.

        Raises what stands in the way: RouteError under the policy "server", DownloadError,
        FormatError, UnsupportedError, NoDeviceError, PlanError, QuotaError, HashMismatchError.
        """
        if policy not in POLICIES:
            raise InputError("policy", got=repr(policy), need=f"one of {', '.join(POLICIES)}")
        if policy == "server":
            raise RouteError("embeddings on a server", got="a server that makes none",
                             need="policy 'auto' or 'local'")  # fmt: skip
        host = host or current()
        async with AsyncExitStack() as stack:
            manifest = await stack.enter_async_context(opened(host, model))
            tokenizer = await load_tokenizer(host, manifest)
            # The tokenizer is here and kept: the encoder has only weights to fetch.
            weights = replace(manifest, tokenizer=None)
            encoder = await Encoder.open(
                host, weights, target=target or "auto", on_progress=on_progress
            )
            embedder = cls(encoder, Framing(tokenizer, encoder.limit))
            embedder._running = stack.pop_all()
            return embedder

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """The vector of each text, in their order. Raises InputError, DeviceLostError."""
        if isinstance(texts, str):
            raise InputError("texts", got="one text", need="a list of texts", fix="embed([text])")
        ids = [self.framing.ids(text) for text in texts]
        rows: dict[int, array[float]] = {}
        for batch in batches([len(each) for each in ids], BATCH):
            found = await self.encoder.run([ids[index] for index in batch])
            rows.update(zip(batch, found, strict=True))
        return _stacked([rows[index] for index in range(len(ids))], self.encoder.width)

    async def close(self) -> None:
        """Free the device."""
        async with self._running:
            await self.encoder.close()


async def embed(
    texts: Sequence[str],
    *,
    model: str,
    policy: Policy = "auto",
    target: Target | None = None,
    host: Host | None = None,
) -> Vectors:
    """A vector for each text, near those of texts that mean the same.

    texts   each is cut to what the model reads at most (256 tokens for all-MiniLM-L6-v2).
    model   address of its manifest, as `edgewise pack FOLDER` writes it: a URL or a path.
    policy  "auto" and "local" both run here; "server" is refused, since no server embeds yet.
    target  "webgpu", "wasm", "webnn" or "reference"; the best device of this machine unless given.
    host    this machine unless given.

    Returns float32 [texts, hidden]: a NumPy array, or a list of `array('f')` without NumPy.
    Raises  as `Embedder.open`. For more than one call open an `Embedder`: it keeps the model.
    """
    embedder = await Embedder.open(model, policy=policy, target=target, host=host)
    try:
        return await embedder.embed(texts)
    finally:
        await embedder.close()


def embed_sync(
    texts: Sequence[str], *, model: str, policy: Policy = "auto", target: Target | None = None
) -> Vectors:
    """As `embed`, where the caller may wait. Raises HostError where it may not."""
    work = embed(texts, model=model, policy=policy, target=target)
    return current().wait(work, "embed(...)")


def _stacked(rows: list[array[float]], width: int) -> Vectors:
    try:
        import numpy as np
    except ImportError:
        return rows
    joined = b"".join(row.tobytes() for row in rows)
    return np.frombuffer(joined, np.float32).reshape(len(rows), width).copy()
