"""How far a download is and when it will end: bytes and times in, numbers out. No clock."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

WINDOW_S = 5.0  # long enough to smooth a network, short enough to follow it
TICK_S = 0.1  # what an eye can follow; a report a chunk would cost more than the chunk


@dataclass(frozen=True, slots=True)
class Progress:
    """done of total bytes are here (those found in the store included).

    rate          bytes a second over the last seconds, 0 before anything came.
    seconds_left  None while the rate is 0.
    dropped       a sentence on each address that is asked no more, while another one is.
    """

    done_nbytes: int
    total_nbytes: int
    rate: float
    seconds_left: float | None
    dropped: tuple[str, ...] = ()


class Meter:
    """Counts bytes as they arrive; times are seconds of any clock that never goes back."""

    def __init__(self, done_nbytes: int, total_nbytes: int, now_s: float) -> None:
        self._stored = done_nbytes
        self._flying: dict[object, int] = {}
        self._total = total_nbytes
        self._samples = deque([(now_s, done_nbytes)])

    def arrived(self, run: object, nbytes: int) -> None:
        """More bytes of a request, not verified yet."""
        self._flying[run] = self._flying.get(run, 0) + nbytes

    def ended(self, run: object, stored_nbytes: int) -> None:
        """A request ended: of what arrived, this much was verified and stored."""
        self._flying.pop(run, None)
        self._stored += stored_nbytes

    def elsewhere(self, nbytes: int) -> None:
        """So many bytes have arrived in another tab or process, which fetches the same."""
        self._flying["elsewhere"] = max(0, nbytes)

    def due(self, now_s: float) -> bool:
        """Whether it is time for another report."""
        return now_s - self._samples[-1][0] >= TICK_S

    def read(self, now_s: float) -> Progress:
        """The state, which also becomes a sample for the rate."""
        done = min(self._stored + sum(self._flying.values()), self._total)
        self._samples.append((now_s, done))
        while len(self._samples) > 2 and now_s - self._samples[1][0] >= WINDOW_S:
            self._samples.popleft()
        since_s, before = self._samples[0]
        # a failed request takes back what it had counted: the rate never falls below 0
        rate = max(0, done - before) / (now_s - since_s) if now_s > since_s else 0.0
        left = (self._total - done) / rate if rate else None
        return Progress(done, self._total, rate, left)
