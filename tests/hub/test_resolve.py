"""The table of queries in queries.toml, against the index beside it: rankings and every reason."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.errors import InputError, UnsupportedError
from edgewise.hub.index import Index, Variant
from edgewise.hub.machine import Machine
from edgewise.hub.resolve import Choice, best, resolve

HERE = Path(__file__).parent
URL = "https://models.test/index.json"
INDEX = Index.from_json((HERE / "index.json").read_text(), URL)
QUERIES = tomllib.loads((HERE / "queries.toml").read_text())["query"]
ANSWER = 128  # tokens
WISHES = ("languages", "version", "prefer", "max_bytes", "licences", "local")


def machine_of(query: Mapping[str, Any]) -> Machine:
    """What queries.toml says of the machine; its head explains the words."""
    missing = {f"{URL.rpartition('/')[0]}/{path}": 0 for path in query.get("here", ())}
    missing |= {f"{URL.rpartition('/')[0]}/{path}": n for path, n in query.get("lacks", {}).items()}
    rate = query.get("bytes_per_second", 0)

    def seconds(variant: Variant) -> float | None:
        known = rate and variant.nbytes_per_token
        return ANSWER * variant.nbytes_per_token / rate if known else None

    return Machine(
        frozenset(query.get("has", ("wasm", "webgpu", "shader-f16", "wasm-threads"))),
        query.get("memory"), query.get("room"), missing, query.get("builtins", {}), seconds,
    )  # fmt: skip


def asked(query: Mapping[str, Any]) -> tuple[Choice, ...]:
    wishes = {name: query[name] for name in WISHES if name in query}
    return resolve(query["task"], index=INDEX, machine=machine_of(query), **wishes)


def shown(choices: Iterable[Choice]) -> list[str]:
    return [f"{'yes' if choice.accepted else 'no'}: {choice}" for choice in choices]


@pytest.mark.parametrize("query", QUERIES, ids=[query["shows"] for query in QUERIES])
def test_query(query: dict[str, Any]) -> None:
    assert shown(asked(query)) == query["answer"]


def test_every_rule_is_in_the_table() -> None:
    """A reason of each kind that there is."""
    told = " ".join(line for query in QUERIES for line in query["answer"])
    reasons = (
        "preferred as", "is here already", "runs on this machine", "is newer",
        "there are fewer newer", "of better quality", "against not known", "is faster",
        "less to download", "first by its name", "everything is here", "built into", "a server",
        " of 104.0 MB to download", "it translates", "it knows", "and 2 more", "states no version",
        "a pre-release", " is not ", "its licence is", "not stated", "none will do",
        "nothing may be sent", "this browser has no", "it goes on", "which no index has",
        "this machine lacks", "of memory", "is more than", "is not known, and", "there is room for",
    )  # fmt: skip
    assert [each for each in reasons if each not in told] == []
    assert len(QUERIES) >= 40


def test_rankings_do_not_depend_on_the_order_of_the_index() -> None:
    turned = Index(INDEX.entries[::-1])
    for query in QUERIES:
        wishes = {name: query[name] for name in WISHES if name in query}
        again = resolve(query["task"], index=turned, machine=machine_of(query), **wishes)
        assert shown(again) == query["answer"], query["shows"]


def test_the_best_or_why_there_is_none() -> None:
    choices = resolve("feature-extraction", index=INDEX)
    assert best("feature-extraction", choices).manifests == (
        "https://models.test/sentences/int8.json",
    )
    with pytest.raises(UnsupportedError, match=r"twin-a 1.0.0 f32: 11.0 MB to download is more"):
        best("image-to-text", resolve("image-to-text", index=INDEX, max_bytes=1))
    with pytest.raises(UnsupportedError, match="an index without any"):
        best("dancing", resolve("dancing", index=INDEX))


@pytest.mark.parametrize(("name", "value"), [("version", "1.3"), ("languages", ("en",))])
def test_what_cannot_be_asked(name: str, value: object) -> None:
    with pytest.raises(InputError):
        resolve("translation", index=INDEX, **{name: value})  # type: ignore[arg-type]


def test_what_has_to_be_opened() -> None:
    made = best("automatic-speech-recognition", resolve(
        "automatic-speech-recognition", index=INDEX, languages=("sw",),
        machine=Machine(frozenset({"webgpu"})),
    ))  # fmt: skip
    assert made.manifests == (
        "https://models.test/polyglot.json", "https://models.test/polyglot-sw.json",
    )  # fmt: skip
    assert (made.nbytes, made.download, made.memory) == (609_000_000, 609_000_000, 710_000_000)


PATHS = sorted({
    part.manifest.removeprefix("https://models.test/")
    for entry in INDEX.entries for variant in entry.variants for part in variant.parts
})  # fmt: skip
MB = 1_000_000
ASKED = st.fixed_dictionaries(
    {"task": st.sampled_from(sorted({entry.task for entry in INDEX.entries}))},
    optional={
        "here": st.lists(st.sampled_from(PATHS), max_size=4),
        "has": st.lists(st.sampled_from(["wasm", "webgpu", "shader-f16", "wasm-threads"])),
        "memory": st.integers(0, 1500).map(MB.__mul__),
        "version": st.sampled_from([">=1", "<2", "~=1.0", ">=1.0.0-0"]),
        "prefer": st.lists(st.sampled_from(["int8", "Q4_1", "pair", "server"]), max_size=2),
        "local": st.booleans(),
        "bytes_per_second": st.sampled_from([1e8, 1e10]),
    },
)


@pytest.mark.slow
@given(ASKED, st.integers(0, 900).map(MB.__mul__), st.integers(0, 900).map(MB.__mul__))
def test_whatever_is_asked(query: dict[str, Any], some: int, more: int) -> None:
    """All are told of, ranked and with a reason; who may download more can do no less."""
    fewer = asked({**query, "max_bytes": min(some, more)})
    choices = asked({**query, "max_bytes": max(some, more)})
    able = [choice.candidate for choice in choices if choice.accepted]
    assert [choice.candidate for choice in choices[: len(able)]] == able
    assert [each.rank for each in able] == sorted(each.rank for each in able)
    assert all(choice.reason for choice in choices)
    assert {c.candidate.entry.title for c in choices} == {
        entry.title for entry in INDEX.entries if entry.task == query["task"]
    }
    names = {choice.candidate.name for choice in choices if choice.accepted}
    assert {choice.candidate.name for choice in fewer if choice.accepted} <= names
    assert all((each.download or 0) <= max(some, more) for each in able)
