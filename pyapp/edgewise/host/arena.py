"""Which bytes of one linear memory are taken: the allocator of Wasm devices.

The twin of shims/arena.js. First fit over a sorted list of free ranges; a plan has some hundred
buffers, so nothing quicker is needed.
"""

from __future__ import annotations

ALIGNMENT = 256


class Arena:
    """Ranges of a memory that begins to be free at `start`; `end` is where it ends now."""

    def __init__(self, start: int, end: int) -> None:
        first = -(-start // ALIGNMENT) * ALIGNMENT
        self.end = end
        self._free = [(first, end)]  # (from, to), in order, none empty

    def take(self, nbytes: int) -> int | None:
        """The address of `nbytes` bytes that were free, or None if there is no such range."""
        size = max(-(-nbytes // ALIGNMENT), 1) * ALIGNMENT
        for index, (low, high) in enumerate(self._free):
            if high - low >= size:
                self._free[index : index + 1] = [(low + size, high)] if high - low > size else []
                return low
        return None

    def lacking(self, nbytes: int) -> int:
        """How many bytes the memory has to grow by for `take(nbytes)` to succeed."""
        size = max(-(-nbytes // ALIGNMENT), 1) * ALIGNMENT
        at_end = self._free and self._free[-1][1] == self.end
        return size - (self._free[-1][1] - self._free[-1][0] if at_end else 0)

    def grow(self, nbytes: int) -> None:
        """The memory became longer."""
        self.give(self.end, nbytes)
        self.end += nbytes

    def give(self, address: int, nbytes: int) -> None:
        """A range is free again."""
        size = max(-(-nbytes // ALIGNMENT), 1) * ALIGNMENT
        ranges = sorted([*self._free, (address, address + size)])
        merged = ranges[:1]
        for low, high in ranges[1:]:
            if low == merged[-1][1]:
                merged[-1] = (merged[-1][0], high)
            else:
                merged.append((low, high))
        self._free = merged
