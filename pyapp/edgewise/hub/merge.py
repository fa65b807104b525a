"""Several indices as one. Pure.

The first that says something is believed. A later one may add entries, versions, variants and
servers; where it says something else of what is there already, that is a conflict with a name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from .index import Entry, Index

#: What an entry says of itself, which no later index changes.
SAID = ("task", "languages", "pairs", "license", "quality", "builtin", "base")


@dataclass(frozen=True, slots=True)
class Conflict:
    """That `source` says something else of `subject` than `kept`, which is believed."""

    subject: str
    member: str
    kept: str
    source: str

    def __str__(self) -> str:
        return f"{self.source} has another {self.member} of {self.subject}; {self.kept} came first"


Key = tuple[str, str | None]


def merge(sources: Iterable[tuple[str, Index]]) -> tuple[Index, tuple[Conflict, ...]]:
    """All entries of the indices at these addresses, and what the later ones deny."""
    entries: dict[Key, Entry] = {}
    first: dict[tuple[Key, str | None], str] = {}  # who said it, of an entry (None) or a variant
    conflicts: list[Conflict] = []
    for source, index in sources:
        for entry in index.entries:
            key = entry.name, entry.version
            known = entries.setdefault(key, entry)
            kept = first.setdefault((key, None), source)
            denied = [member for member in SAID if _denies(entry, known, member)]
            conflicts += (Conflict(entry.title, member, kept, source) for member in denied)
            entries[key] = _joined(known, entry)
            for variant in entry.variants:
                kept = first.setdefault((key, variant.name), source)
                if variant not in entries[key].variants:
                    name = f"{entry.title} {variant.name}"
                    conflicts.append(Conflict(name, "variant", kept, source))
    return Index(tuple(entries.values())), tuple(conflicts)


def _denies(entry: Entry, known: Entry, member: str) -> bool:
    """One that says nothing denies nothing."""
    said = getattr(entry, member)
    return said not in (None, ()) and said != getattr(known, member)


def _joined(known: Entry, entry: Entry) -> Entry:
    """`known` with what `entry` adds."""
    variants = {variant.name: variant for variant in (*entry.variants, *known.variants)}
    names = dict.fromkeys(variant.name for variant in (*known.variants, *entry.variants))
    servers = dict.fromkeys((*known.servers, *entry.servers))
    return replace(known, variants=tuple(variants[name] for name in names), servers=tuple(servers))
