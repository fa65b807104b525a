"""The one debug switch: how much Edgewise tells about its own work.

    1  timings             2  also the graph after each pass
    3  also the kernels    4  also the plan

CPython reads `EDGEWISE_DEBUG` once; a page calls `set_level`. Everything goes to standard error,
which in a browser is the console. A text that is costly to make is passed as a function.
Imports nothing of Edgewise, so that every layer may use it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

TIMINGS, GRAPHS, KERNELS, PLANS = 1, 2, 3, 4


def parse_level(text: str | None) -> int:
    """The level that `EDGEWISE_DEBUG=text` asks for; what is no number from 0 to 4 asks for 1."""
    if not text:
        return 0
    return int(text) if text in ("0", "1", "2", "3", "4") else TIMINGS


_level = parse_level(os.environ.get("EDGEWISE_DEBUG"))


def level() -> int:
    """The current level; 0 is silence."""
    return _level


def set_level(value: int) -> None:
    """Change the level from now on."""
    global _level
    _level = value


def say(at: int, topic: str, text: str | Callable[[], str]) -> None:
    """Print `text` under `topic` if the level is at least `at`."""
    if _level >= at:
        sys.stderr.write(f"[{topic}] {text if isinstance(text, str) else text()}\n")


@contextmanager
def timed(topic: str, what: str) -> Iterator[None]:
    """Print how long the block took, at level 1."""
    start = time.perf_counter()
    try:
        yield
    finally:
        say(TIMINGS, topic, f"{what} {(time.perf_counter() - start) * 1e3:.2f} ms")
