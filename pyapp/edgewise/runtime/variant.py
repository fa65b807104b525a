"""Chooses how a device computes: float16 is earned, float32 is the rest, wrong is refused.

Candidates come best first. The first that passes the golden-output check is taken, and why the
ones before it were not is told. The outcome is kept with the device's facts, so that a page
checks a device once.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from ..dtypes import DType
from ..errors import NoDeviceError, QuotaError
from ..host.base import Device
from ..store.base import ObjectStore
from ..targets.device import DeviceFacts
from . import golden
from .programs import Variant

Precision = Literal["auto", "float32", "float16"]
NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Choice:
    """The variant taken, a sentence why, and the rejected ones with their reasons."""

    variant: Variant
    reason: str
    rejected: tuple[tuple[str, str], ...]


async def choose(store: ObjectStore, device: Device, precision: Precision) -> Choice:
    """The best variant that the device computes rightly.

    Raises NoDeviceError, with every reason, when there is none.
    """
    facts = device.facts
    if facts.target == "reference":
        return Choice(Variant(DType.FLOAT32, NONE), "the reference computes in float32", ())
    rejected = list(_declined(facts, precision))
    for variant in candidates(facts, precision):
        wrong = await _checked(store, device, variant)
        if wrong is None:
            return Choice(variant, "the golden-output check passed", tuple(rejected))
        rejected.append((str(variant), wrong))
    raise NoDeviceError(
        f"a usable precision on {facts.name}",
        got="; ".join(f"{name}: {why}" for name, why in rejected),
        need="one that passes the golden-output check",
        fix="update the graphics driver, or use a server",
    )


def candidates(facts: DeviceFacts, precision: Precision) -> list[Variant]:
    """What the device might do, best first."""
    if facts.target == "wasm":  # float16 would be converted on each load and each store
        return [] if precision == "float16" else [Variant(DType.FLOAT32, NONE)]
    subgroups = facts.features & {"subgroups"} if not facts.fallback else NONE
    half = Variant(DType.FLOAT16, subgroups | {"shader-f16"})
    found = [Variant(DType.FLOAT32, subgroups)]
    if subgroups:
        found.append(Variant(DType.FLOAT32, NONE))
    if precision == "float16":
        return [half] if "shader-f16" in facts.features else []
    if precision == "auto" and "shader-f16" in facts.features and not facts.fallback:
        return [half, *found]
    return found


def _declined(facts: DeviceFacts, precision: Precision) -> list[tuple[str, str]]:
    """Why float16 is not even tried."""
    if precision == "float32":
        return []
    if facts.target == "wasm":
        return [("float16", "the kernels for the CPU compute in float32")]
    if "shader-f16" not in facts.features:
        return [("float16", "the device has no shader-f16")]
    if facts.fallback and precision == "auto":
        return [("float16", "a software adapter emulates it, and is slower with it")]
    return []


async def _checked(store: ObjectStore, device: Device, variant: Variant) -> str | None:
    """The golden check's outcome, from the store if it was made there before."""
    code = golden.plan(device, variant.activation, variant.features)
    key = json.dumps([device.facts.to_dict(), str(variant)]) + code
    name = f"golden {sha256(key.encode()).hexdigest()}"
    kept = await store.get_text(name)
    if kept is not None:
        return str(json.loads(kept)) if json.loads(kept) else None
    wrong = await golden.check(device, code, variant.activation)
    with suppress(QuotaError):  # it is checked again next time
        await store.put_text(name, json.dumps(wrong))
    return wrong
