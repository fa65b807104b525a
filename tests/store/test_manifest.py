"""A manifest survives its JSON; another document is refused at the place that is wrong."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.errors import FormatError
from edgewise.store.cut import cut
from edgewise.store.manifest import Manifest, TensorRef, TextRef
from tests.store.models import manifest_of, random_bytes, unknown

DATA = random_bytes(100)
MODEL = manifest_of(DATA, [10, 20, 70])


@pytest.mark.parametrize(
    "manifest",
    [
        MODEL,
        unknown(MODEL),
        replace(MODEL, tokenizer=TextRef("a" * 64, 7, "tiny.tokenizer.json"), license="mit"),
        replace(MODEL, chat=None, file=replace(MODEL.file, sha256=None)),
    ],
)
def test_json_and_back(manifest: Manifest) -> None:
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_unknown_members_are_ignored() -> None:
    data = json.loads(MODEL.to_json()) | {"later": {"version": 2}}
    assert Manifest.from_json(json.dumps(data)) == MODEL


def put(*path: str | int) -> Callable[[Any, object], None]:
    def change(root: Any, value: object) -> None:
        for step in path[:-1]:
            root = root[step]
        root[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "value", "where"),
    [
        (put("format"), "edgewise-manifest/2", "$.format"),
        (put("name"), "", "$.name"),
        (put("license"), 3, "$.license"),
        (put("file"), None, "$.file"),
        (put("file", "nbytes"), 0, "$.file.nbytes"),
        (put("file", "nbytes"), True, "$.file.nbytes"),
        (put("file", "nbytes"), 100.0, "$.file.nbytes"),
        (put("file", "nbytes"), 2**53, "$.file.nbytes"),
        (put("file", "nbytes"), 101, "$.segments"),
        (put("file", "sha256"), "A" * 64, "$.file.sha256"),
        (put("segments"), {}, "$.segments"),
        (put("segments", 1), ["a" * 64], "$.segments[1]"),
        (put("segments", 1, 0), "../../etc/passwd", "$.segments[1][0]"),
        (put("segments", 1, 1), 16 * 2**20 + 1, "$.segments[1][1]"),
        (put("segments", 2, 1), 0, "$.segments[2][1]"),
        (put("tensors"), [], "$.tensors"),
        (put("tensors", "t2", "offset"), 101, "$.tensors.t2.offset"),
        (put("tensors", "t2", "nbytes"), 71, "$.tensors.t2.nbytes"),
        (put("tensors", "t2", "shape"), [-1], "$.tensors.t2.shape[0]"),
        (put("config"), None, "$.config"),
        (put("tokenizer"), {"sha256": "b" * 64, "nbytes": 2**30}, "$.tokenizer.nbytes"),
        (put("chat", "stop_ids"), ["2"], "$.chat.stop_ids[0]"),
        (put("demands", "context"), -1, "$.demands.context"),
    ],
)
def test_refused(change: Callable[[Any, object], None], value: object, where: str) -> None:
    data = json.loads(MODEL.to_json())
    change(data, value)
    with pytest.raises(FormatError) as refused:
        Manifest.from_json(json.dumps(data))
    assert refused.value.where == where
    assert refused.value.got
    assert refused.value.need


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "9" * 5000, "[]", "null", "NaN"])
def test_no_json(text: str) -> None:
    with pytest.raises(FormatError):
        Manifest.from_json(text)


@given(st.data())
def test_any_damage_is_a_format_error_or_harmless(data: st.DataObject) -> None:
    """Any value put in any place: from_json gives a manifest or FormatError, nothing else."""
    root = json.loads(MODEL.to_json())
    at = root
    while True:
        key = data.draw(st.sampled_from(list(at) if isinstance(at, dict) else range(len(at))))
        if not isinstance(at[key], dict | list) or not at[key] or data.draw(st.booleans()):
            break
        at = at[key]
    at[key] = data.draw(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
        | st.lists(st.integers(), max_size=3)
    )  # fmt: skip
    with contextlib.suppress(FormatError):
        Manifest.from_json(json.dumps(root))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 30)), min_size=1, max_size=8))
def test_segments_of_finds_the_tensors_bytes(layout: list[tuple[int, int]]) -> None:
    """Whatever the cut, the span's bytes are the file's bytes at the tensor."""
    places, end = [], 0
    for gap, nbytes in layout:
        places.append((end + gap, nbytes))
        end += gap + nbytes
    data = random_bytes(end + 1)
    sizes = cut(places, len(data))
    manifest = replace(
        manifest_of(data, sizes),
        tensors={f"x{i}": TensorRef("I8", (n,), at, n) for i, (at, n) in enumerate(places)},
    )
    for i, (offset, nbytes) in enumerate(places):
        span = manifest.segments_of(f"x{i}")
        assert span.segments == manifest.segments[span.first : span.first + len(span.segments)]
        start = manifest.offsets[span.first]
        joined = data[start : start + sum(segment.nbytes for segment in span.segments)]
        assert joined[span.begin : span.end] == data[offset : offset + nbytes]


def test_segments_of_a_tensor_inside_and_across_segments() -> None:
    tensors = {"in": TensorRef("I8", (5,), 12, 5), "over": TensorRef("I8", (25,), 8, 25)}
    manifest = replace(MODEL, tensors=tensors)
    inside, over = manifest.segments_of("in"), manifest.segments_of("over")
    assert (inside.first, len(inside.segments), inside.begin, inside.end) == (1, 1, 2, 7)
    assert (over.first, len(over.segments), over.begin, over.end) == (0, 3, 8, 33)


def test_a_tensor_that_is_not_there() -> None:
    with pytest.raises(FormatError, match="'nope'"):
        MODEL.segments_of("nope")
