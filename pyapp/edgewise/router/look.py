"""A machine as `hub.resolve` wants it: asked once, and before anything is downloaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..host.base import Host
from ..hub.index import Index, Variant
from ..hub.machine import Machine, builtins_of, features_of, missing_bytes
from .place import Found
from .predict import Work, predict
from .probe import devices_of, storage_of


async def look(host: Host, index: Index, task: str, languages: Sequence[str] = ()) -> Machine:
    """What this machine is, has, and could do of `task` in these languages."""
    devices = await devices_of(host)
    return Machine(
        features=features_of([device.facts for device in devices if device.facts]),
        memory=_memory(devices),
        room=await storage_of(host),
        missing=await missing_bytes(host.store, index),
        builtins=await builtins_of(host.builtins, index, task, languages),
        seconds=seconds_of(devices),
    )


def seconds_of(devices: Sequence[Found]) -> Callable[[Variant], float | None]:
    """Seconds of a typical answer, on the fastest of the devices that have what a variant needs.

    None where no device's speed is known, or the index does not say what a token takes.
    """

    def seconds(variant: Variant) -> float | None:
        if not variant.nbytes_per_token or not variant.flops_per_token:
            return None
        work = Work(variant.nbytes_per_token, max(variant.flops_per_token // 2, 1), variant.nbytes)
        times = [
            predict(device.rates, work).answer_s
            for device in devices
            if device.facts and device.rates and variant.needs <= features_of([device.facts])
        ]
        return min(times, default=None)

    return seconds


def _memory(devices: Sequence[Found]) -> int | None:
    """The address space of Wasm where there is nothing else: a GPU does not say what it has."""
    found = [device.facts for device in devices if device.facts]
    if not found or any(facts.target != "wasm" for facts in found):
        return None
    return max(facts.limits.get("maxBufferSize", 0) for facts in found) or None
