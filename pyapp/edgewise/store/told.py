"""What processes over one folder tell each other: a file a name, looked at while somebody hears."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

POLL_S = 0.05  # what is told is for eyes


def tell(path: Path, text: str) -> None:
    """Replaces what was told last. What cannot be written is not told."""
    temp = path.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        temp.write_text(text)
        os.replace(temp, path)


@asynccontextmanager
async def hear(path: Path, on_text: Callable[[str], None]) -> AsyncIterator[None]:
    """Calls `on_text` with what is told from now on: see `ObjectStore.hear`."""
    task = asyncio.ensure_future(_watch(path, on_text))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _watch(path: Path, on_text: Callable[[str], None]) -> None:
    before = _written_ns(path)
    while True:
        now = _written_ns(path)
        if now != before:
            before = now
            on_text(path.read_text())
        await asyncio.sleep(POLL_S)


def _written_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
