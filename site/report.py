"""The capability report: what a device can do and what each part of it is good for.

Pure: facts in, rows of text out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgewise.errors import EdgewiseError
from edgewise.host.base import DeviceFacts
from edgewise.host.browser import Environment


@dataclass(frozen=True, slots=True)
class Row:
    """One line: a name, what was found, and what it unlocks."""

    name: str
    value: str
    unlocks: str


def summary(facts: DeviceFacts | None) -> str:
    """The report in one line."""
    if facts is None:
        return "has no WebGPU here"
    half = ", half precision" if "shader-f16" in facts.features else ""
    kind = " (software, slow)" if facts.fallback else ""
    return f"WebGPU on {facts.name}{kind}{half}"


def device_rows(facts: DeviceFacts | None, why: EdgewiseError | None) -> list[Row]:
    """What the GPU offers, or why there is none."""
    if facts is None:
        reason = f"none: {why.what}" if why else "none"
        return [Row("WebGPU", reason, "Would run the model here. The server answers instead.")]
    limits = facts.limits
    return [
        Row("WebGPU", facts.name + (" (software)" if facts.fallback else ""),
            "Runs the model on this device."),
        Row("Half precision", _yes("shader-f16" in facts.features),
            "Weights and state in half the bytes, once its check against known outputs passes."),
        Row("Subgroups", _subgroups(facts), "Sums across a kernel's threads without memory."),
        Row("Largest binding", _size(limits.get("maxStorageBufferBindingSize")),
            "Larger tensors are split."),
        Row("Workgroup", f"{limits.get('maxComputeInvocationsPerWorkgroup', '?')} threads, "
            f"{_size(limits.get('maxComputeWorkgroupStorageSize'))} shared",
            "The size of a kernel's tiles."),
        Row("Other features", _others(facts.features), "Not needed for this model."),
    ]  # fmt: skip


def page_rows(environment: Environment) -> list[Row]:
    """What the page itself may count on."""
    kept = "kept under pressure" if environment.persistent else "the browser may clear it"
    return [
        Row("Storage", f"{_free(environment)}; {kept}",
            "The model is downloaded once and read from here afterwards."),
        Row("Isolated page", _yes(environment.isolated),
            "Shared memory and threads in Wasm. WebGPU needs neither."),
        Row("Start of Python", _timings(environment.timings), "While it starts, weights download."),
    ]  # fmt: skip


def size(nbytes: float) -> str:
    """Bytes for people: 98362432 -> "98.4 MB"."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if nbytes >= scale:
            return f"{nbytes / scale:.1f} {unit}"
    return f"{nbytes:.0f} B"


def duration(seconds: float) -> str:
    """Seconds for people: 75 -> "1 min 15 s"."""
    whole = max(round(seconds), 1)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"


def _size(nbytes: int | None) -> str:
    return "not said" if nbytes is None else size(nbytes)


def _yes(found: bool) -> str:
    return "yes" if found else "no"


def _subgroups(facts: DeviceFacts) -> str:
    if "subgroups" not in facts.features:
        return "no"
    low, high = facts.subgroup_min, facts.subgroup_max
    if not high:
        return "yes"
    return f"of {low}" if low == high else f"of {low} to {high}"


def _others(features: frozenset[str]) -> str:
    rest = sorted(features - {"shader-f16", "subgroups", "core-features-and-limits"})
    return f"{len(rest)}: {', '.join(rest)}" if rest else "none"


def _free(environment: Environment) -> str:
    usage, quota = environment.room.usage, environment.room.quota
    if usage is None or quota is None:
        return "size not said"
    return f"{size(quota - usage)} free, {size(usage)} used"


def _timings(timings: Mapping[str, float]) -> str:
    return ", ".join(f"{phase} {ms:.0f} ms" for phase, ms in timings.items())
