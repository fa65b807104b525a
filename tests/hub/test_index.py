"""An index survives its JSON; another is refused where it is wrong, by us as by its schema."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from edgewise.errors import FormatError, InputError
from edgewise.hub.index import Entry, Index, Part, Variant

ROOT = Path(__file__).parents[2]
TEXT = (Path(__file__).parent / "index.json").read_text()
DATA = json.loads(TEXT)
URL = "https://models.test/index.json"
SCHEMA = json.loads((files("edgewise.hub") / "index.schema.json").read_text())
VALID = Draft202012Validator(SCHEMA)

Path_ = tuple[str | int, ...]


def find(name: str, version: str | None = None) -> int:
    """Where an entry of index.json is."""
    named = (e for e in DATA["entries"] if e["name"] == name and version in (None, e["version"]))
    return int(DATA["entries"].index(next(named)))


def changed(path: Path_, value: object) -> Any:
    data = deepcopy(DATA)
    at = data
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return data


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_json_and_back() -> None:
    index = Index.from_json(TEXT, URL)
    assert Index.from_json(index.to_json()) == index
    VALID.validate(json.loads(index.to_json()))


def test_what_is_not_known_is_ignored() -> None:
    data = changed(("entries", 0, "later"), {"a": 1}) | {"author": "somebody"}
    VALID.validate(data)
    assert Index.from_json(json.dumps(data), URL) == Index.from_json(TEXT, URL)


def test_addresses_are_relative_to_the_index() -> None:
    found = Index.from_json(TEXT, "https://a.test/models/index.json")
    first = found.entries[0].variants[0]
    assert first.parts[0].manifest == "https://a.test/models/smol/1.0/q4.json"
    large = found.entries[find("large")]
    assert large.servers[0].url == "https://answers.test/v1/"


def test_components_are_shared() -> None:
    found = Index.from_json(TEXT, URL)
    listener, sounds = (found.entries[find(name)].variants[0] for name in ("listener", "sounds"))
    assert [part.component for part in listener.parts] == ["listener-encoder", "listener-decoder"]
    assert listener.parts[0] in sounds.parts
    assert sounds.nbytes == 42_000_000


def test_components_of_one_name_cannot_be_written() -> None:
    parts = [Part("encoder", f"{at}.json", 1) for at in "ab"]
    variants = [Variant(p.manifest, "onnx", None, (p,), 1, 0, 0) for p in parts]
    index = Index((Entry("m", "t", variants=tuple(variants)),))
    with pytest.raises(InputError, match="two that are named 'encoder'"):
        index.to_json()


SMOL, Q4 = ("entries", find("smol")), ("entries", find("smol"), "variants", 0)
PAIR = ("entries", find("pair"))
WRONG: list[tuple[Path_, object]] = [
    (("format",), "edgewise-index/2"),
    (("entries",), None),
    (("entries",), {}),
    (("components",), []),
    (("components", "listener-encoder"), "listener/encoder.json"),
    (("components", "listener-encoder", "nbytes"), 0),
    (("components", "listener-encoder", "manifest"), ""),
    (SMOL, "smol"),
    ((*SMOL, "name"), ""),
    ((*SMOL, "task"), "Text Generation"),
    ((*SMOL, "task"), None),
    ((*SMOL, "languages"), "en"),
    ((*SMOL, "languages", 0), "english language"),
    ((*SMOL, "version"), "1.0"),
    ((*SMOL, "version"), 1),
    ((*SMOL, "license"), ""),
    ((*SMOL, "quality"), 1.5),
    ((*SMOL, "quality"), "good"),
    ((*SMOL, "quality"), True),
    ((*SMOL, "variants"), []),
    ((*SMOL, "variants"), None),
    ((*SMOL, "builtin"), "Writer"),
    ((*SMOL, "servers"), [{"url": "https://a.test/"}]),
    ((*SMOL, "servers"), {}),
    ((*PAIR, "pairs"), [["en"]]),
    ((*PAIR, "pairs"), [["en", "ja", "de"]]),
    ((*PAIR, "pairs"), [["en", 1]]),
    (("entries", find("pirate"), "base"), "smol"),
    (("entries", find("pirate"), "base", "name"), None),
    (("entries", find("pirate"), "base", "version"), "1.0"),
    ((*Q4, "name"), None),
    ((*Q4, "format"), 4),
    ((*Q4, "quantisation"), ""),
    ((*Q4, "manifest"), None),
    ((*Q4, "nbytes"), None),
    ((*Q4, "nbytes"), 2**53),
    ((*Q4, "memory"), -1),
    ((*Q4, "memory"), None),
    ((*Q4, "flops_per_token"), 1.5),
    ((*Q4, "needs"), "webgpu"),
    ((*Q4, "needs"), [""]),
    ((*Q4, "fidelity"), -0.1),
    ((*Q4, "tensors"), "A" * 64),
    ((*Q4, "base"), "smol"),
]


@pytest.mark.parametrize(("path", "value"), WRONG, ids=str)
def test_wrong_here_and_wrong_by_the_schema(path: Path_, value: object) -> None:
    data = changed(path, value)
    assert not VALID.is_valid(data)
    with pytest.raises(FormatError, match="index does not hold what it must") as raised:
        Index.from_json(json.dumps(data), URL)
    where = "$" + "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in path)
    assert raised.value.where is not None
    # what is missing altogether is told where it is missing
    assert raised.value.where.startswith(where) or where.startswith(raised.value.where)


def put_twice(data: Any) -> None:
    data["entries"].append(data["entries"][0])


def put_variant_twice(data: Any) -> None:
    data["entries"][0]["variants"].append(data["entries"][0]["variants"][0])


def name_no_component(data: Any) -> None:
    data["entries"][find("sounds")]["variants"][0]["components"] = ["lost"]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (put_twice, f"$.entries[{len(DATA['entries'])}].name"),
        (put_variant_twice, "$.entries[0].variants[3].name"),
        (name_no_component, f"$.entries[{find('sounds')}].variants[0].components[0]"),
    ],
)
def test_what_no_schema_can_say(change: Callable[[Any], None], where: str) -> None:
    data = deepcopy(DATA)
    change(data)
    with pytest.raises(FormatError) as raised:
        Index.from_json(json.dumps(data), URL)
    assert raised.value.where == where


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\x00"])
def test_no_json(text: str) -> None:
    with pytest.raises(FormatError, match="index is no JSON"):
        Index.from_json(text)


def places(data: Any, path: Path_ = ()) -> Iterator[Path_]:
    yield path
    steps = data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
    for step in steps:
        yield from places(data[step], (*path, step))


VALUES: st.SearchStrategy[object] = st.one_of(
    st.none(), st.booleans(), st.integers(-1, 2), st.floats(allow_nan=False), st.text(max_size=4),
    st.lists(st.text(max_size=2), max_size=2), st.just({}),
)  # fmt: skip


@pytest.mark.slow
@given(st.sampled_from([path for path in places(DATA) if path]), VALUES)
def test_whatever_is_there_only_the_schema_s_own_is_read(path: Path_, value: object) -> None:
    """Nothing but FormatError comes out, and nothing is read that the schema refuses."""
    data = changed(path, value)
    with contextlib.suppress(FormatError):
        Index.from_json(json.dumps(data), URL)
        VALID.validate(data)
