"""Which device a machine's best is, for callers who name none and predict nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

from ..errors import HostError
from .base import Device, Target


async def best_device(opening: Callable[[Target], Awaitable[Device]]) -> Device:
    """A GPU by WebGPU; else the CPU by Wasm; else a WebGPU in software; else the reference.

    Raises what `opening` raised of the first, where there is none at all.
    """
    try:
        gpu = await opening("webgpu")
    except HostError as error:
        return await _without_gpu(opening, error)
    if not gpu.facts.fallback:
        return gpu
    try:
        cpu = await opening("wasm")
    except HostError:
        return gpu
    await gpu.close()
    return cpu


async def _without_gpu(opening: Callable[[Target], Awaitable[Device]], why: HostError) -> Device:
    others: tuple[Target, ...] = ("wasm", "reference")
    for target in others:
        with suppress(HostError):
            return await opening(target)
    raise why
