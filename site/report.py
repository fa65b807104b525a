"""The capability report: what a device can do and what each part of it is good for.

Pure: facts in, rows of text out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewise.errors import EdgewiseError
from edgewise.router.place import Placement
from edgewise.runtime.session import Report
from edgewise.store.share import Served
from edgewise.targets.device import DeviceFacts
from edgewise.tasks.chat import Stats

if TYPE_CHECKING:
    from edgewise.host.browser import Environment

PLACES = {
    "webgpu": "This device, WebGPU",
    "wasm": "This device, Wasm on its processor",
    "reference": "This device, without a GPU",
    "server": "The server",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line: a name, what was found, and what it unlocks."""

    name: str
    value: str
    unlocks: str

    def parts(self) -> dict[str, str]:
        """As parts of the page's template."""
        return {"name": self.name, "value": self.value, "unlocks": self.unlocks}


def summary(facts: DeviceFacts | None, wasm: DeviceFacts | None = None) -> str:
    """The report in one line."""
    rest = f" {wasm.name}." if wasm else ""
    if facts is None:
        return f"No WebGPU here.{rest}"
    return f"WebGPU on {facts.name}{' (software, slow)' if facts.fallback else ''}.{rest}"


def candidates(where: Placement) -> list[tuple[str, Row]]:
    """The place that won and those that lost, each with its state for the page."""
    lost = [("rejected", Row(_place(c.where), f"{c.reason}.", "")) for c in where.rejected]
    return [("chosen", Row(_place(where.where), f"{where.reason}.", "")), *lost]


def ready(where: Placement) -> str:
    """Where answers come from, as a sentence."""
    return f"Answers are made {'on the server' if where.where == 'server' else 'on this device'}."


def device_rows(facts: DeviceFacts | None, why: EdgewiseError | None) -> list[Row]:
    """What the GPU offers, or why there is none."""
    if facts is None:
        reason = f"none: {why.what}" if why else "none"
        return [
            Row(
                "WebGPU",
                reason,
                "Without it the model runs on this device's processor, or a server.",
            )
        ]
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
        Row("Other features", _others(facts.features), ""),
    ]  # fmt: skip


def wasm_rows(facts: DeviceFacts | None, why: EdgewiseError | None) -> list[Row]:
    """What the processor offers, or why it cannot be used."""
    unlocks = "Runs the model on this device's processor."
    if facts is None:
        return [Row("Wasm", f"none: {why.what}" if why else "none", unlocks)]
    threads = facts.limits.get("threads", 1)
    return [
        Row("Wasm", facts.name.removeprefix("Wasm, "), unlocks),
        Row("Relaxed SIMD", _yes("relaxed-simd" in facts.features),
            "Products of 8-bit integers and fused multiply-adds in one instruction."),
        *([] if threads > 1 else [Row("Wasm threads", "one", "An isolated page may use more.")]),
    ]  # fmt: skip


def page_rows(environment: Environment) -> list[Row]:
    """What the page itself may count on."""
    kept = "kept under pressure" if environment.persistent else "the browser may clear it"
    return [
        Row("Storage", f"{_free(environment)}; {kept}",
            "The model is downloaded once and read from here afterwards."),
        Row("Isolated page", _yes(environment.isolated),
            "Shared memory and threads in Wasm. WebGPU needs neither."),
        Row("Start of Python", _seconds(_awaited(environment.timings)),
            ", ".join(f"{phase} {_seconds(ms)}" for phase, ms in environment.timings.items())),
    ]  # fmt: skip


def figures(stats: Stats, where: str, session: Report | None = None) -> str:
    """What an answer took, in one line."""
    place = "on the server" if where == "server" else "on this device"
    if session is not None and session.facts.target == "wasm":
        place += f" ({session.facts.name})"  # threads come and go
    parts = [f"{stats.tokens} token{'s' if stats.tokens != 1 else ''}"]
    if stats.tokens_per_second:
        parts.append(f"{stats.tokens_per_second:.1f} tokens/s")
    first = stats.first_token_ms
    parts.append(f"first token after {f'{first:.0f} ms' if first < 1e3 else _seconds(first)}")
    parts.append(place)
    if stats.finish != "stop":
        parts.append("stopped" if stats.finish == "cancelled" else "cut at the limit")
    return " · ".join(parts)


def error_parts(error: EdgewiseError) -> dict[str, str]:
    """An error as the parts of the page's error box."""
    found = (("got", error.got), ("need", error.need), ("at", error.where))
    return {
        "code": f"{error.code}:",
        "what": error.what,
        "found": _sentence("; ".join(f"{key} {text}" for key, text in found if text)),
        "fix": _sentence(error.fix or ""),
    }


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:].rstrip('.')}." if text else ""


def session_rows(session: Report) -> list[Row]:
    """What was decided and measured when the model came onto this device."""
    lost = "; ".join(f"not {variant}: {reason}" for variant, reason in session.rejected)
    source = "read from the store" if session.plan_from_store else "compiled by Python here"
    return [
        Row("Precision", str(session.variant), _sentence(f"{session.reason}; {lost}".rstrip("; "))),
        Row("Plan", f"{session.plan_ms:.0f} ms", f"The model's kernels and memory, {source}."),
        Row("Model on the device", f"{size(session.device_nbytes)}, {_seconds(session.load_ms)}",
            "Kernels made ready, and weights put in their layout."),
    ]  # fmt: skip


def file_row(served: Served) -> Row:
    """Where the model's file is read from, and why not from a place above."""
    came = f"{size(served.nbytes)} of it downloaded now" if served.nbytes else "nothing downloaded"
    return Row(f"File {served.file}", f"{served.place}; {came}", " ".join(served.reasons))


def offered_row(served: Served) -> Row:
    """What became of offering the file to other places."""
    return Row("Left for other sites", served.file, " ".join(served.offered))


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


def _place(where: str) -> str:
    return PLACES.get(where, where)


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
    return f"{low} threads" if low == high else f"{low} to {high} threads"


def _others(features: frozenset[str]) -> str:
    rest = sorted(features - {"shader-f16", "subgroups", "core-features-and-limits"})
    return ", ".join(rest) or "none"


def _free(environment: Environment) -> str:
    usage, quota = environment.room.usage, environment.room.quota
    if usage is None or quota is None:
        return "size not said"
    return f"{size(quota - usage)} free, {size(usage)} used"


def _seconds(ms: float) -> str:
    return f"{ms / 1e3:.1f} s"


def _awaited(timings: Mapping[str, float]) -> float:
    """The phases that follow each other; the others run beside them."""
    return sum(timings.get(phase, 0.0) for phase in ("Pyodide", "unpack", "import"))
