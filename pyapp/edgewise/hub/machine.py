"""What `resolve` has to know of a machine, and how it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from ..errors import FormatError
from ..host.builtins import Availability, Builtins, Interface
from ..store.base import ObjectStore
from ..store.known import PREFIX
from ..store.manifest import Manifest
from ..store.runs import missing, wanted
from ..targets.device import DeviceFacts
from .index import Index, Variant
from .language import TRANSLATION


def unknown(variant: Variant) -> float | None:
    """Nobody predicts how long it takes."""
    return None


@dataclass(frozen=True, slots=True)
class Machine:
    """What is known of a machine.

    features  what a variant may need: see `features_of`.
    memory    the most bytes that a model may take; room: free for the store. None: it does not say.
    missing   weight bytes that are not here, by the manifests that are; others lack all of theirs.
    builtins  what its browser says of its own models, for the task and languages that are asked.
    seconds   predicted time of a typical answer of a variant; None: not known.
    """

    features: frozenset[str] = frozenset()
    memory: int | None = None
    room: int | None = None
    missing: Mapping[str, int] = field(default_factory=dict)
    builtins: Mapping[Interface, Availability] = field(default_factory=dict)
    seconds: Callable[[Variant], float | None] = unknown


def features_of(devices: Iterable[DeviceFacts]) -> frozenset[str]:
    """Each device's target ("webgpu", "wasm", "webnn"), what it has ("shader-f16",
    "relaxed-simd"), and "wasm-threads"."""
    found: set[str] = set()
    for facts in devices:
        found |= {facts.target, *facts.features}
        if facts.target == "wasm" and facts.limits.get("threads", 1) > 1:
            found.add("wasm-threads")
    return frozenset(found)


async def missing_bytes(store: ObjectStore, index: Index) -> dict[str, int]:
    """Weight bytes that the store lacks, for each of the index's manifests that it has.

    Weights count wherever they came from: another address, another version, another format.
    """
    variants = (variant for entry in index.entries for variant in entry.variants)
    urls = dict.fromkeys(part.manifest for variant in variants for part in variant.parts)
    manifests: dict[str, Manifest] = {}
    for url in urls:
        text = await store.get_text(PREFIX + url)
        with suppress(FormatError):  # one that nobody can read now is fetched again
            manifests |= {url: Manifest.from_json(text)} if text is not None else {}
    named = {s.hash for m in manifests.values() for s in m.segments if s.hash is not None}
    asked = sorted(named)
    flags = await store.has(asked) if asked else []
    there = {hash for hash, is_there in zip(asked, flags, strict=True) if is_there}
    return {
        url: sum(m.segments[index].nbytes for index in missing(m, wanted(m), there))
        for url, m in manifests.items()
    }


def options_of(interface: Interface, languages: Sequence[str]) -> dict[str, object]:
    """What an interface of the browser is to be opened with for these languages."""
    asked = list(languages)
    if interface == "Translator":
        return dict(zip(("sourceLanguage", "targetLanguage"), asked, strict=False))
    if not asked:
        return {}
    if interface == "LanguageModel":
        texts = [{"type": "text", "languages": asked}]
        return {"expectedInputs": texts, "expectedOutputs": texts}
    if interface == "Summarizer":
        return {"expectedInputLanguages": asked, "outputLanguage": asked[-1]}
    return {"expectedInputLanguages": asked}


async def builtins_of(
    builtins: Builtins, index: Index, task: str, languages: Sequence[str] = ()
) -> dict[Interface, Availability]:
    """What the browser says of those of its models that the index has for `task`."""
    names = {entry.builtin for entry in index.entries if entry.task == task and entry.builtin}
    if task == TRANSLATION and len(languages) != 2:
        return {}  # a Translator cannot be asked about no languages
    return {
        name: await builtins.availability(name, options_of(name, languages))
        for name in sorted(names)
    }
