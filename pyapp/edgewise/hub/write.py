"""From what `edgewise pack` wrote to an entry of an index. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from math import sqrt
from typing import Any

from ..errors import InputError
from ..store.adapter import TASK as ADAPTER
from ..store.adapter import adapter_config, tensors_id
from ..store.manifest import Manifest
from ..store.runs import wanted
from .index import Base, Entry, Index, Part, Variant

#: The input that a variant's memory has room for.
TOKENS = 2048
#: Relative error of a code of n bits: a block of 32 normal values spans so many deviations.
SPAN = 4.1
_BITS = re.compile(r"I?Q(\d)")
_AS_PUBLISHED = ("safetensors", "onnx")  # formats that models are published in


def variant_of(manifest: Manifest, url: str, needs: Sequence[str] = ()) -> Variant:
    """The variant that the manifest at `url`, relative to the index, describes.

    needs  what the machine must have to run it.
    """
    demands, type = manifest.demands, _main_type(manifest)
    state = demands.kv_nbytes_per_token * min(demands.context, TOKENS)
    done = manifest.quantised.type if manifest.quantised else None
    if done is None and manifest.file.format not in _AS_PUBLISHED and _BITS.match(type):
        done = type
    return Variant(
        name=(done or type).lower(),
        format=manifest.file.format,
        quantisation=done,
        parts=(part_of(manifest, url),),
        memory=demands.weight_nbytes + state,
        flops_per_token=demands.flops_per_token,
        nbytes_per_token=demands.nbytes_per_token,
        needs=frozenset(needs),
        fidelity=_fidelity(manifest, type),
        tensors=None if manifest.task == ADAPTER else tensors_id(manifest),
        base=adapter_config(manifest).base_sha256 if manifest.task == ADAPTER else None,
    )


def composed_of(parts: Sequence[tuple[Manifest, str]], needs: Sequence[str] = ()) -> Variant:
    """One variant that takes all of these, each a component under its manifest's name."""
    each = [variant_of(manifest, url, needs) for manifest, url in parts]
    return replace(
        each[0],
        parts=tuple(part_of(manifest, url, manifest.name) for manifest, url in parts),
        memory=sum(variant.memory for variant in each),
        flops_per_token=sum(variant.flops_per_token for variant in each),
        nbytes_per_token=sum(variant.nbytes_per_token for variant in each),
        fidelity=min(variant.fidelity for variant in each),
        tensors=None,
    )


def part_of(manifest: Manifest, url: str, component: str | None = None) -> Part:
    """What has to be fetched of the model at `url`; its name as a component, if it is one."""
    nbytes = sum(manifest.segments[index].nbytes for index in wanted(manifest))
    return Part(component, url, nbytes)


def entry_of(manifest: Manifest, variant: Variant) -> Entry:
    """The entry of a manifest, under the name of the model that it was rounded from; an adapter's
    names its base."""
    name, base = manifest.name, None
    if manifest.quantised is not None:
        name = name.removesuffix(f"-{manifest.quantised.type}")
    if manifest.task == ADAPTER:
        base = Base(adapter_config(manifest).base_name, ">=0")
    return Entry(name, manifest.task, license=manifest.license, variants=(variant,), base=base)


def add(index: Index, entry: Entry) -> Index:
    """The index with this entry. Of one that it has, what the new one says is changed, variants of
    other names and servers stay. The task of an adapter is its base's.

    Raises InputError for an adapter whose base the index lacks.
    """
    if entry.base is not None and entry.task == ADAPTER:
        entry = replace(entry, task=_task_of(index, entry.base))
    entries = list(index.entries)
    for at, old in enumerate(entries):
        if (old.name, old.version) == (entry.name, entry.version):
            entries[at] = _changed(old, entry)
            return Index(tuple(entries))
    return Index((*entries, entry))


def stating(entry: Entry, said: Mapping[str, Any]) -> Entry:
    """The entry with the members that `said` has and that are not empty."""
    return replace(entry, **{name: item for name, item in said.items() if item not in (None, ())})


def _changed(old: Entry, new: Entry) -> Entry:
    said = {each.name: getattr(new, each.name) for each in fields(Entry)}
    variants = {variant.name: variant for variant in (*old.variants, *new.variants)}
    servers = dict.fromkeys((*old.servers, *new.servers))
    return stating(old, said | {"variants": tuple(variants.values()), "servers": tuple(servers)})


def _task_of(index: Index, base: Base) -> str:
    for entry in index.entries:
        if entry.name == base.name:
            return entry.task
    raise InputError("the base of an adapter", got=f"an index without {base.name!r}",
                     need="it in the index", fix="add the base first, or name a task")  # fmt: skip


def _main_type(manifest: Manifest) -> str:
    """The type that most bytes of the weights have, such as "Q4_1" or "F32"."""
    nbytes: Counter[str] = Counter()
    for tensor in manifest.tensors.values():
        nbytes[tensor.type] += tensor.nbytes
    return nbytes.most_common(1)[0][0] if nbytes else manifest.file.format


def _fidelity(manifest: Manifest, type: str) -> float:
    """As measured when it was packed, else as codes of so many bits are expected to keep."""
    if manifest.quantised is not None:
        return 1 - manifest.quantised.error_ppm / 1e6
    bits = _BITS.match(type)
    if bits is None:
        return 1.0
    return round(1 - SPAN / ((1 << int(bits[1])) - 1) / sqrt(12), 3)
