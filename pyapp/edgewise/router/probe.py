"""What this machine is, asked once before a placement: its device, and its room."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import HostError
from ..host.base import Host
from ..store.manifest import Manifest
from ..store.runs import wanted
from ..targets.device import DeviceFacts
from .place import Room


@dataclass(frozen=True, slots=True)
class Probe:
    """`facts` of the device, or None and then `why_no_device`; `room` for one model."""

    facts: DeviceFacts | None
    why_no_device: HostError | None
    room: Room


async def probe(host: Host, manifest: Manifest) -> Probe:
    """Ask `host` for its device and for room for the model. Downloads nothing."""
    room = await _room(host, manifest)
    try:
        device = await host.open_device()
    except HostError as error:
        return Probe(None, error, room)
    facts = device.facts
    await device.close()
    return Probe(facts, None, room)


async def _room(host: Host, manifest: Manifest) -> Room:
    segments = [manifest.segments[index] for index in wanted(manifest, None)]
    known = [segment for segment in segments if segment.hash is not None]
    there = await host.store.has([segment.hash or "" for segment in known])
    stored = sum(s.nbytes for s, is_there in zip(known, there, strict=True) if is_there)
    estimate = await host.store.estimate()
    if estimate.quota is None or estimate.usage is None:
        return Room(stored=stored)
    return Room(storage=max(estimate.quota - estimate.usage, 0), stored=stored)
