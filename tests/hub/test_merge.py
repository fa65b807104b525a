"""Several indices as one: what later ones add, and what they deny by name."""

from __future__ import annotations

from dataclasses import replace

from edgewise.hub.index import Entry, Index, Part, Server, Variant
from edgewise.hub.merge import merge

A, B, C = (f"https://{name}.test/index.json" for name in "abc")


def variant(name: str, nbytes: int = 1) -> Variant:
    part = Part(None, f"https://a.test/{name}.json", nbytes)
    return Variant(name, "gguf", None, (part,), nbytes, 0, 0)


MODEL = Entry("m", "text-generation", ("en",), version="1.0.0", license="mit", quality=0.5,
              variants=(variant("q4"),))  # fmt: skip


def index(*entries: Entry) -> Index:
    return Index(entries)


def test_one_source_is_itself() -> None:
    assert merge([(A, index(MODEL))]) == (index(MODEL), ())


def test_none() -> None:
    assert merge([]) == (Index(), ())


def test_versions_and_entries_are_added() -> None:
    newer, other = replace(MODEL, version="1.1.0"), replace(MODEL, name="n")
    merged, conflicts = merge([(A, index(MODEL)), (B, index(newer, other))])
    assert merged == index(MODEL, newer, other)
    assert not conflicts


def test_variants_and_servers_are_added_to_an_entry() -> None:
    server = Server("https://b.test/v1/", "m")
    later = replace(MODEL, variants=(variant("q8"), variant("q4")), servers=(server,))
    merged, conflicts = merge([(A, index(MODEL)), (B, index(later))])
    assert merged == index(
        replace(MODEL, variants=(variant("q4"), variant("q8")), servers=(server,))
    )
    assert not conflicts


def test_what_came_first_is_believed_and_the_other_named() -> None:
    later = replace(MODEL, quality=1.0, license="cc0-1.0", variants=(variant("q4", 7),))
    merged, conflicts = merge([(A, index(MODEL)), (B, index(later))])
    assert merged == index(MODEL)
    assert [str(each) for each in conflicts] == [
        f"{B} has another license of m 1.0.0; {A} came first",
        f"{B} has another quality of m 1.0.0; {A} came first",
        f"{B} has another variant of m 1.0.0 q4; {A} came first",
    ]


def test_who_says_nothing_denies_nothing() -> None:
    silent = Entry("m", "text-generation", version="1.0.0", variants=(variant("q8"),))
    merged, conflicts = merge([(A, index(MODEL)), (B, index(silent))])
    assert merged.entries[0].license == "mit"
    assert not conflicts


def test_a_conflict_names_who_said_it_first() -> None:
    second = replace(MODEL, variants=(variant("q8"),))
    third = replace(MODEL, variants=(variant("q8", 9),))
    _, conflicts = merge([(A, index(MODEL)), (B, index(second)), (C, index(third))])
    assert [(each.source, each.kept) for each in conflicts] == [(C, B)]
