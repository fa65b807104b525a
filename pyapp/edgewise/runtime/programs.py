"""A model's plan for a device: from the store, or compiled and kept there.

A plan is named by the hash of all that it follows from: the model's shape, the device's limits
and features, the precision, and the very files of this package.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, distribution

from .. import debug
from ..dtypes import DType
from ..errors import QuotaError, UnsupportedError
from ..importers import llama
from ..importers.adapters import NONE, Adapters
from ..passes import pipeline
from ..store.base import ObjectStore
from ..store.manifest import Manifest
from ..targets.device import DeviceFacts
from .compiling import DECODER, compile_for

IMPORTERS = {"llama": llama.build}
LIMITS = ("maxBufferSize", "maxStorageBufferBindingSize", "maxComputeWorkgroupsPerDimension")


@dataclass(frozen=True, slots=True)
class Variant:
    """How a model is to be computed: activations and KV state, and the features in use."""

    activation: DType
    features: frozenset[str]

    def __str__(self) -> str:
        return " + ".join([self.activation.value, *sorted(self.features - {"shader-f16"})])


@dataclass(frozen=True, slots=True)
class Made:
    """A plan as JSON, and whether the store had it."""

    plan: str
    from_store: bool


async def plan_for(
    store: ObjectStore,
    manifest: Manifest,
    facts: DeviceFacts,
    variant: Variant,
    max_context: int,
    adapters: Adapters = NONE,
) -> Made:
    """The plan of a model on a device, and of adapters whose tensors are in `manifest` too.

    Raises UnsupportedError for an architecture or an operator without a kernel, PlanError for
    what does not fit.
    """
    name = _name(manifest, facts, variant, max_context, adapters)
    kept = await store.get_text(name) if name else None
    if kept is not None:
        return Made(kept, from_store=True)
    with debug.timed("plan", f"compile {manifest.name}"):
        text = build_plan(manifest, facts, variant, max_context, adapters)
    if name:
        with suppress(QuotaError):  # a full disk costs the next visit time, not this its answer
            await store.put_text(name, text)
    return Made(text, from_store=False)


def build_plan(
    manifest: Manifest,
    facts: DeviceFacts,
    variant: Variant,
    max_context: int,
    adapters: Adapters = NONE,
) -> str:
    """Import, optimise and compile; see `plan_for`."""
    build = IMPORTERS.get(manifest.architecture)
    if build is None:
        raise UnsupportedError(
            f"model '{manifest.name}'",
            got=f"architecture '{manifest.architecture}'",
            need=f"one of {', '.join(IMPORTERS)}",
        )
    graph = build(
        manifest.config, manifest.tensors, max_context=max_context, activation=variant.activation,
        adapters=adapters,
    )  # fmt: skip
    graph, notes = pipeline.run(
        graph, debug.level(), lambda text: debug.say(debug.TIMINGS, "passes", text)
    )
    for note in notes:
        debug.say(debug.GRAPHS, "passes", str(note))
    return compile_for(graph, manifest.tensors, facts, variant.features, DECODER).text


def _name(
    manifest: Manifest,
    facts: DeviceFacts,
    variant: Variant,
    max_context: int,
    adapters: Adapters,
) -> str | None:
    build = package_digest()
    if build is None:
        return None
    follows: Mapping[str, object] = {
        "build": build,
        "config": manifest.config,
        "tensors": [[name, t.type, t.shape, t.offset] for name, t in manifest.tensors.items()],
        "target": facts.target,
        "fallback": facts.fallback,
        "subgroups": facts.subgroup_min,
        "limits": [facts.limits.get(name) for name in LIMITS],
        "features": sorted(facts.features) if facts.target == "wasm" else None,
        "variant": str(variant),
        "context": max_context,
        "adapters": {name: [each.ranks, each.scales] for name, each in adapters.stacks.items()},
    }
    digest = sha256(json.dumps(follows).encode()).hexdigest()
    return f"plan {digest} {manifest.name}"  # the name says whose it is: see store.records


@cache
def package_digest() -> str | None:
    """The hash of this package's installed files; None for a checkout, whose files change."""
    try:
        record = distribution("edgewise").read_text("RECORD") or ""
    except PackageNotFoundError:
        return None
    if "edgewise/__init__.py" not in record:
        return None
    return sha256(record.encode()).hexdigest()
