"""Text out of token streams, with the real tokenizer: nothing is lost, nothing comes by halves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from edgewise.formats import gguf
from edgewise.formats.tokenizer import tokenizer_json
from edgewise.host.cpython import CPythonTokenizer
from edgewise.tasks.text import REPLACEMENT, IncrementalDecoder, StopStrings

HEADER_NBYTES = 4 << 20
VOCABULARY = 49152


@pytest.fixture(scope="module")
def tokenizer(model_path: Path) -> CPythonTokenizer:
    with model_path.open("rb") as file:
        header = gguf.parse(file.read(HEADER_NBYTES), file_nbytes=model_path.stat().st_size)
    return CPythonTokenizer(json.dumps(tokenizer_json(header.metadata)))


def in_batches(ids: list[int], sizes: list[int]) -> list[list[int]]:
    batches, at = [], 0
    for size in sizes:
        batches.append(ids[at : at + size])
        at += size
    return [*batches, ids[at:]]


sizes = st.lists(st.integers(1, 9), max_size=20)


@given(text=st.text(max_size=60), sizes=sizes)
@example(text="😀 ありがとう — naïve 👩‍👩‍👧", sizes=[1] * 20)
@example(text="a \ufffd real one", sizes=[1] * 9)
def test_any_text_comes_whole(tokenizer: CPythonTokenizer, text: str, sizes: list[int]) -> None:
    # The vocabulary lacks a few bytes (0xF1 …): such text never comes back whole.
    assume(tokenizer.decode(tokenizer.encode(text)) == text)
    decoder = IncrementalDecoder(tokenizer)
    pieces = [decoder.push(ids) for ids in in_batches(tokenizer.encode(text), sizes)]
    if REPLACEMENT not in text:
        assert not any(REPLACEMENT in piece for piece in pieces)
        assert "".join(pieces) == text
        assert decoder.finish() == ""
    else:
        assert "".join(pieces) + decoder.finish() == text


@given(ids=st.lists(st.integers(0, VOCABULARY - 1), max_size=40), sizes=sizes)
def test_any_ids_give_what_decoding_at_once_gives(
    tokenizer: CPythonTokenizer, ids: list[int], sizes: list[int]
) -> None:
    decoder = IncrementalDecoder(tokenizer)
    text = "".join(decoder.push(batch) for batch in in_batches(ids, sizes))
    assert text + decoder.finish() == tokenizer.decode(ids)


def test_a_character_split_over_tokens_is_held_back(tokenizer: CPythonTokenizer) -> None:
    ids = tokenizer.encode("🦙")
    assert len(ids) > 1
    decoder = IncrementalDecoder(tokenizer)
    assert [decoder.push([token]) for token in ids] == [""] * (len(ids) - 1) + ["🦙"]


def test_an_answer_that_ends_inside_a_character_shows_it(tokenizer: CPythonTokenizer) -> None:
    decoder = IncrementalDecoder(tokenizer)
    assert decoder.push(tokenizer.encode("hi 🦙")[:-1]) == "hi "
    assert decoder.finish() == REPLACEMENT


def test_the_work_for_a_token_does_not_grow_with_the_text(tokenizer: CPythonTokenizer) -> None:
    longest = 0

    class Counting:
        def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
            return tokenizer.encode(text, add_special_tokens=add_special_tokens)

        def decode(self, ids: Sequence[int]) -> str:
            nonlocal longest
            longest = max(longest, len(ids))
            return tokenizer.decode(ids)

    decoder = IncrementalDecoder(Counting())
    for token in tokenizer.encode("It is a truth universally acknowledged. " * 20):
        decoder.push([token])
    assert longest <= 3


@given(
    text=st.text("abX", max_size=30),
    stops=st.lists(st.text("abX", min_size=1, max_size=4), max_size=3),
    sizes=sizes,
)
@example(text="aab", stops=["ab"], sizes=[1, 1, 1])
def test_stop_strings(text: str, stops: list[str], sizes: list[int]) -> None:
    filter, shown, found = StopStrings(stops), "", False
    for piece in (text[i : i + 1] for i in range(len(text))):
        now, found = filter.push(piece)
        shown += now
        if found:
            break
    else:
        shown += filter.finish()
    ends = [at + len(stop) for stop in stops if (at := text.find(stop)) >= 0]
    assert found == bool(ends)
    if not found:
        assert shown == text
    else:  # one character at a time: the stop that is complete first counts
        first = min(ends)
        whole = [stop for stop in stops if text[:first].endswith(stop)]
        assert shown == text[: first - max(map(len, whole))]


def test_a_stop_in_one_piece_ends_before_the_earliest() -> None:
    assert StopStrings(["two", "one"]).push("zero one two") == ("zero ", True)
