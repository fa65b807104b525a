"""Runs bring exactly what is missing (and small holes), in balanced consecutive pieces."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edgewise.store.manifest import TensorRef
from edgewise.store.runs import BRIDGE_NBYTES, coalesce, missing, plan, split, wanted
from tests.store.models import manifest_of, random_bytes, unknown


@st.composite
def holes(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Sizes of all segments, and the indices of those that are missing."""
    sizes = draw(st.lists(st.integers(1, 10_000), min_size=1, max_size=40))
    indices = draw(st.sets(st.integers(0, len(sizes) - 1), min_size=1))
    return sizes, sorted(indices)


@given(holes(), st.integers(0, 20_000))
def test_coalesce(drawn: tuple[list[int], list[int]], bridge: int) -> None:
    sizes, indices = drawn
    ranges = coalesce(indices, sizes, bridge)
    covered = [index for r in ranges for index in r]
    assert covered == sorted(set(covered)), "ranges overlap or are out of order"
    assert set(indices) <= set(covered)
    assert {r.start for r in ranges} | {r.stop - 1 for r in ranges} <= set(indices)
    for before, after in pairwise(ranges):
        assert sum(sizes[before.stop : after.start]) > bridge, "neighbours were not joined"
    for r in ranges:
        inside = [index for index in indices if index in r]
        for left, right in pairwise(inside):
            assert sum(sizes[left + 1 : right]) <= bridge


@given(holes(), st.integers(1, 6))
def test_split(drawn: tuple[list[int], list[int]], parts: int) -> None:
    sizes, indices = drawn
    whole = coalesce(indices, sizes, 0)
    pieces = split(whole, sizes, parts)
    assert [i for piece in pieces for i in piece] == [i for r in whole for i in r]
    assert all(len(piece) for piece in pieces)
    share = sum(sizes[i] for i in indices) / parts
    for piece in pieces:
        nbytes = sum(sizes[piece.start : piece.stop])
        assert nbytes <= 2 * share + max(sizes)


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=60), st.integers(1, 6))
def test_one_range_gives_at_most_so_many_parts_of_even_size(sizes: list[int], parts: int) -> None:
    pieces = split([range(len(sizes))], sizes, parts)
    assert 1 <= len(pieces) <= parts
    for piece in pieces:
        off = abs(sum(sizes[piece.start : piece.stop]) - sum(sizes) / parts)
        assert off <= max(sizes), f"{pieces=}"


@given(st.lists(st.integers(1, 9000), min_size=1, max_size=20), st.data())
def test_plan_asks_for_every_byte_that_is_missing(sizes: list[int], data: st.DataObject) -> None:
    manifest = manifest_of(random_bytes(sum(sizes)), sizes)
    there = data.draw(st.sets(st.sampled_from([s.hash or "" for s in manifest.segments])))
    absent = missing(manifest, wanted(manifest), there)
    runs = plan(manifest, ["u"], absent, parts=4, ranged=True)
    asked = {run.offset + at for run in runs for at in range(run.nbytes)}
    need = {manifest.offsets[i] + at for i in absent for at in range(sizes[i])}
    assert need <= asked
    assert len(asked) == sum(run.nbytes for run in runs), "a byte is asked for twice"
    assert len(asked - need) <= BRIDGE_NBYTES * len(absent)
    whole = plan(manifest, ["u"], absent, parts=4, ranged=False)
    assert len(whole) == bool(absent)
    for run in runs + whole:
        first = manifest.offsets.index(run.offset)
        assert run.segments == manifest.segments[first : first + len(run.segments)]


def test_wanted_tensors_alone_without_header() -> None:
    manifest = manifest_of(random_bytes(60), [10, 20, 30])
    tensors = {name: manifest.tensors[name] for name in ("t1", "t2")}
    assert wanted(replace(manifest, tensors=tensors)) == [1, 2]
    assert wanted(manifest, ["t2"]) == [2]
    assert wanted(manifest, []) == []


def test_the_same_bytes_twice_are_wanted_once() -> None:
    twice = manifest_of(bytes(40), [10, 20, 10])
    assert wanted(twice) == [0, 1]
    assert wanted(unknown(twice)) == [0, 1, 2], "without hashes nobody knows"
    assert missing(twice, [0, 1], {twice.segments[0].hash or ""}) == [1]


def test_a_tensor_in_two_segments_wants_both() -> None:
    manifest = manifest_of(random_bytes(30), [10, 10, 10])
    manifest = replace(manifest, tensors={"x": TensorRef("I8", (12,), 9, 12)})
    assert wanted(manifest) == [0, 1, 2]
