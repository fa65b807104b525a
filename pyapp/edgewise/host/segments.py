"""Byte ranges of a file that is segments in a store, read in order, one segment in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from ..errors import HostError
from .base import WeightFile

Read = Callable[[str], Awaitable[bytes]]


class SegmentReader:
    """`read` gives the bytes of an object by its hash. The last segment read is kept."""

    def __init__(self, read: Read, weights: WeightFile) -> None:
        self._read = read
        self._segments = weights.segments
        self._index, self._start, self._bytes = -1, 0, b""

    async def range(self, start: int, nbytes: int) -> AsyncIterator[memoryview]:
        """The bytes from `start` in order, one piece a segment. Ranges must not go backwards."""
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
