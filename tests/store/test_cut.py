"""Segments cover the file exactly, are at most 16 MiB, and begin and end where tensors do."""

from __future__ import annotations

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from edgewise.store.cut import SEGMENT_NBYTES, cut


@st.composite
def layouts(draw: st.DrawFn) -> tuple[list[tuple[int, int]], int]:
    """Tensors in file order behind a header, with padding, and the file's size."""
    sizes = st.one_of(st.integers(0, 100), st.integers(0, 5 * SEGMENT_NBYTES))
    end, tensors = draw(sizes), []
    for nbytes in draw(st.lists(sizes, max_size=8)):
        tensors.append((end, nbytes))
        end += nbytes + draw(st.integers(0, 31))
    return draw(st.permutations(tensors)), end + draw(st.integers(0, 100))


@given(layouts())
def test_covers_the_file(layout: tuple[list[tuple[int, int]], int]) -> None:
    tensors, file_nbytes = layout
    lengths = cut(tensors, file_nbytes)
    assert sum(lengths) == file_nbytes
    assert all(0 < nbytes <= SEGMENT_NBYTES for nbytes in lengths)
    borders = set(accumulate(lengths, initial=0))
    for offset, nbytes in tensors:
        assert {offset, offset + nbytes} <= borders


@given(layouts())
def test_a_tensor_is_cut_every_16_mib_from_its_start(
    layout: tuple[list[tuple[int, int]], int],
) -> None:
    tensors, file_nbytes = layout
    borders = list(accumulate(cut(tensors, file_nbytes), initial=0))
    for offset, nbytes in tensors:
        inside = [border for border in borders if offset <= border < offset + nbytes]
        assert inside == list(range(offset, offset + nbytes, SEGMENT_NBYTES))


def test_the_same_tensor_has_the_same_segments_in_another_container() -> None:
    nbytes = 2 * SEGMENT_NBYTES + 5
    here, there = cut([(1000, nbytes)], 1000 + nbytes), cut([(7, nbytes)], nbytes + 100)
    assert here[1:] == there[1:4] == [SEGMENT_NBYTES, SEGMENT_NBYTES, 5]


def test_a_file_of_unknown_format() -> None:
    assert cut([], SEGMENT_NBYTES + 1) == [SEGMENT_NBYTES, 1]
    assert cut([], 0) == []
