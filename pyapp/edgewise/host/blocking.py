"""Calls that block, kept off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .base import T


async def in_thread(work: Callable[[], T]) -> T:
    """What `work` gives. Cancelled, it still ends first: `close` may destroy what it uses."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
