"""Byte ranges of a plan's weights, read in order: segments in a store, one of them in memory, then
the bytes that are in memory anyway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from hashlib import sha256

from ..errors import HostError
from .base import Weights

Read = Callable[[str], Awaitable[bytes]]


async def digest(pieces: Sequence[str | bytes], read: Read) -> str:
    """See `Host.digest`."""
    whole = sha256()
    for piece in pieces:
        whole.update(piece if isinstance(piece, bytes) else await read(piece))
    return whole.hexdigest()


class SegmentReader:
    """`read` gives the bytes of an object by its hash. The last segment read is kept."""

    def __init__(self, read: Read, weights: Weights) -> None:
        self._read = read
        self._segments, self._tail = weights.segments, memoryview(weights.tail)
        self._end = sum(segment.nbytes for segment in weights.segments)
        self._index, self._start, self._bytes = -1, 0, b""

    async def range(self, start: int, nbytes: int) -> AsyncIterator[memoryview]:
        """The bytes from `start` in order, one piece a segment. Ranges must not go backwards."""
        if start + nbytes > self._end + len(self._tail):
            raise HostError("weights", got=f"bytes {start} to {start + nbytes}",
                            need=f"at most the {self._end + len(self._tail)} there are",
                            fix="load the plan with the weights that it was made for")  # fmt: skip
        in_file = max(0, min(nbytes, self._end - start))
        async for piece in self._file(start, in_file):
            yield piece
        if in_file < nbytes:
            at = start + in_file - self._end
            yield self._tail[at : at + nbytes - in_file]

    async def _file(self, start: int, nbytes: int) -> AsyncIterator[memoryview]:
        while nbytes > 0:
            while self._index < 0 or start >= self._start + self._segments[self._index].nbytes:
                self._start += self._segments[self._index].nbytes if self._index >= 0 else 0
                self._index += 1
                self._bytes = b""
            segment = self._segments[self._index]
            if not self._bytes:
                if segment.hash is None:
                    raise HostError(
                        "weights",
                        got="a segment whose hash is not known",
                        need="a file that was downloaded or packed",
                    )
                self._bytes = await self._read(segment.hash)
            low = start - self._start
            piece = memoryview(self._bytes)[low : low + nbytes]
            start += len(piece)
            nbytes -= len(piece)
            yield piece
