"""What this machine is, asked once before a placement: its devices, and its room."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from ..errors import EdgewiseError, HostError, PlanError, QuotaError, UnsupportedError
from ..host.base import Device, Host, Target
from ..store.library import evictable
from ..store.manifest import Manifest
from ..store.runs import wanted
from .measure import measured
from .place import Found, Room

#: What may run a language model; the reference would take minutes for a token.
TARGETS: tuple[Target, ...] = ("webgpu", "wasm")


@dataclass(frozen=True, slots=True)
class Probe:
    """What there is to choose from; `room` for one model."""

    devices: tuple[Found, ...]
    room: Room

    def without(self, target: str, why: EdgewiseError) -> Probe:
        """The same, when a device turned out not to be able to."""
        kept = (Found(d.target, why=why) if d.target == target else d for d in self.devices)
        return replace(self, devices=tuple(kept))


async def probe(host: Host, manifest: Manifest, target: Target | None = None) -> Probe:
    """Ask `host` for its devices and for room for the model. Downloads nothing.

    target  the only device that is asked for. Speed is measured where there is a choice.
    """
    room = await _room(host, manifest)
    return Probe(await devices_of(host, target), room)


async def devices_of(host: Host, target: Target | None = None) -> tuple[Found, ...]:
    """What may run a language model here, or why not; `target` as in `probe`."""
    async with AsyncExitStack() as opened:
        devices: dict[str, Device] = {}
        lacking = []
        for each in (target,) if target else TARGETS:
            try:
                device = await host.open_device(each)
            except (HostError, QuotaError) as error:
                lacking.append(Found(each, why=error))
                continue
            opened.push_async_callback(device.close)
            devices.setdefault(device.facts.target, device)  # one may stand in for others
        if len(devices) == 1:
            found = [Found(each, device.facts) for each, device in devices.items()]
        else:
            found = [await _measured(host, device) for device in devices.values()]
    return (*found, *lacking)


async def _measured(host: Host, device: Device) -> Found:
    facts = device.facts
    try:
        return Found(facts.target, facts, await measured(host, device))
    except (HostError, PlanError, QuotaError, UnsupportedError) as error:
        return Found(facts.target, why=error)


async def _room(host: Host, manifest: Manifest) -> Room:
    segments = [manifest.segments[index] for index in wanted(manifest, None)]
    known = [segment for segment in segments if segment.hash is not None]
    there = await host.store.has([segment.hash or "" for segment in known])
    stored = sum(s.nbytes for s, is_there in zip(known, there, strict=True) if is_there)
    return Room(storage=await storage_of(host), stored=stored)


async def storage_of(host: Host) -> int | None:
    """Bytes that are free for the store or may be made so; None where the machine does not say."""
    estimate = await host.store.estimate()
    if estimate.quota is None or estimate.usage is None:
        return None
    return max(estimate.quota - estimate.usage, 0) + await evictable(host.store)
