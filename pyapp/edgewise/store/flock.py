"""Locks on files, for the store in a folder: between processes and between tasks of one.

A lock belongs to an open file, so the system releases those of a process that dies.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

POLL_S = 0.02  # waiting in the system itself could not be cancelled


@asynccontextmanager
async def flock(path: Path, *, shared: bool, wait: bool) -> AsyncIterator[bool]:
    """Holds the lock on `path`, which is made; yields whether it does: see `ObjectStore.lock`."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        while not (held := _take(handle, shared)) and wait:
            await asyncio.sleep(POLL_S)
        yield held
    finally:
        os.close(handle)


if sys.platform == "win32":

    def _take(handle: int, shared: bool) -> bool:
        """Windows has no shared locks on files: there one process at a time uses a store."""
        return True

else:
    import fcntl

    def _take(handle: int, shared: bool) -> bool:
        mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(handle, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
