"""Hostile GGUF files: each is refused by name, with its byte, in little time and memory."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from edgewise.errors import EdgewiseError, FormatError, UnsupportedError
from edgewise.formats.gguf import MAX_HEADER_NBYTES, parse
from tests.formats.gguf_bytes import (
    ARRAY,
    BOOL,
    F32,
    Q4_0,
    STRING,
    U8,
    U32,
    file,
    pair,
    string,
    tensor,
    u32,
    u64,
)

HUGE = 2**63
KEY_AT = 24  # the first pair, behind magic, version and two counts
VALUE_AT = KEY_AT + 8 + 1 + 4  # its value, when the key has one letter
DIMS_AT = 24 + 8 + 1  # a first tensor with a one-letter name
F, U = FormatError, UnsupportedError


def alignment(value: int) -> bytes:
    return pair("general.alignment", U32, u32(value))


def array(code: int, n: int, items: bytes = b"") -> bytes:
    return file([pair("a", ARRAY, u32(code) + u64(n) + items)])


CASES: dict[str, tuple[bytes, type[EdgewiseError], int, str]] = {
    "empty": (b"", F, 0, "magic"),
    "magic": (b"GGML" + bytes(20), F, 0, "magic"),
    "version 0": (file(version=0), F, 4, "version"),
    "version 1": (file(version=1), U, 4, "version"),
    "version 4": (file(version=4), U, 4, "version"),
    "big-endian": (file(version=3 << 24), U, 4, "big-endian"),
    "tensor count": (file(n_tensors=HUGE), F, 8, "number of tensors"),
    "pair count": (file(n_pairs=HUGE), F, 16, "number of metadata pairs"),
    "pair count past the end": (file([alignment(32)], n_pairs=2), F, 57, "metadata key"),
    "key length": (file([u64(HUGE) + bytes(99)]), F, KEY_AT, "length of metadata key"),
    "key longer than the format allows": (
        file([string("k" * 65536) + u32(U8) + b"\0"]), F, KEY_AT, "length of metadata key",
    ),
    "key not UTF-8": (file([pair(b"a\xff", U8, b"\0")]), F, KEY_AT + 9, "metadata key"),
    "key twice": (file([pair("a", U8, b"\0")] * 2), F, KEY_AT + 14, "metadata key"),
    "value type": (file([pair("a", 13, bytes(9))]), F, KEY_AT + 9, "type of 'a'"),
    "string length": (file([pair("a", STRING, u64(HUGE))]), F, VALUE_AT + 8, "'a'"),
    "string not UTF-8": (file([pair("a", STRING, string(b"ab\x80"))]), F, VALUE_AT + 10, "'a'"),
    "bool": (file([pair("a", BOOL, b"\2")]), F, VALUE_AT, "'a'"),
    "bool in an array": (array(BOOL, 3, b"\0\1\xff"), F, VALUE_AT + 14, "'a'"),
    "array type": (array(13, 0), F, VALUE_AT, "type of 'a'"),
    "array of bytes count": (array(U8, HUGE), F, VALUE_AT + 4, "elements of 'a'"),
    "array of numbers count": (array(U32, 3, u32(1, 2)), F, VALUE_AT + 4, "elements of 'a'"),
    "array of strings count": (array(STRING, HUGE), F, VALUE_AT + 4, "elements of 'a'"),
    "array of arrays count": (array(ARRAY, HUGE), F, VALUE_AT + 4, "elements of 'a'"),
    "string in an array, length": (
        array(STRING, 2, string("x") + u64(HUGE)), F, VALUE_AT + 29, "'a'",
    ),
    "string in an array, not UTF-8": (array(STRING, 1, string(b"\xc3")), F, VALUE_AT + 20, "'a'"),
    "arrays in arrays without end": (
        array(ARRAY, 1, (u32(ARRAY) + u64(1)) * 100_000), U, VALUE_AT + 48, "nests",
    ),
    "alignment 0": (file([alignment(0)]), F, 49, "general.alignment"),
    "alignment 48": (file([alignment(48)]), F, 49, "general.alignment"),
    "alignment of another type": (
        file([pair("general.alignment", U8, b"\x20")]), F, 49, "general.alignment",
    ),
    "tensor name length": (file(tensors=[u64(HUGE) + bytes(30)]), F, 24, "length of tensor name"),
    "tensor name twice": (
        file(tensors=[tensor("w", [1]), tensor("w", [1], offset=32)], data=64), F, 24 + 33,
        "tensor name",
    ),
    "five dimensions": (file(tensors=[tensor("w", [1] * 5)]), F, DIMS_AT, "dimensions of 'w'"),
    "2^32 dimensions": (
        file(tensors=[string("w") + u32(2**32 - 1) + bytes(20)]), F, DIMS_AT, "dimensions of 'w'",
    ),
    "dimension 0": (file(tensors=[tensor("w", [4, 0])]), F, DIMS_AT + 4, "shape of 'w'"),
    "dimensions that overflow to a small product": (
        file(tensors=[tensor("w", [2**32, 2**32])]), F, DIMS_AT + 4, "shape of 'w'",
    ),
    "broken block": (file(tensors=[tensor("w", [33], Q4_0)]), F, DIMS_AT + 12, "shape of 'w'"),
    "scalar of a block type": (file(tensors=[tensor("w", [], Q4_0)]), F, DIMS_AT + 4, "shape"),
    "ggml type that was removed": (
        file(tensors=[tensor("w", [32], 4)], data=32), U, DIMS_AT + 12, "number 4",
    ),
    "ggml type unheard of": (
        file(tensors=[tensor("w", [32], 2**32 - 1)]), U, DIMS_AT + 12, "number 4294967295",
    ),
    "offset off the alignment": (
        file(tensors=[tensor("w", [1], F32, 4)], data=32), F, DIMS_AT + 16, "offset of 'w'",
    ),
    "tensor past the end": (
        file(tensors=[tensor("w", [9])], data=32), F, 24, "place of 'w'",
    ),
    "offset past the end": (
        file(tensors=[tensor("w", [1], F32, 2**64 - 32)], data=32), F, 24, "place of 'w'",
    ),
    "tensors that overlap": (
        file(tensors=[tensor("v", [9]), tensor("w", [1], F32, 32)], data=64), F, 24 + 33,
        "place of 'w'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_refused_by_name(name: str) -> None:
    raw, kind, at, what = CASES[name]
    with pytest.raises(kind) as caught:
        parse(raw)
    error = caught.value
    assert type(error) is kind
    assert error.where == f"byte {at}", str(error)
    assert what in f"{error.what}: {error.got}", str(error)
    assert error.got
    assert error.need


def test_a_header_larger_than_any_known_is_not_asked_for() -> None:
    raw = file([pair("a", STRING, u64(MAX_HEADER_NBYTES))])
    with pytest.raises(UnsupportedError, match="header too large"):
        parse(raw, file_nbytes=2 * MAX_HEADER_NBYTES)


TINY = file(
    [
        alignment(32),
        pair("b", BOOL, b"\1"),
        pair("s", ARRAY, u32(STRING) + u64(2) + string("a") + string("b")),
    ],
    [tensor("w", [32], Q4_0), tensor("b", [2], F32, 32)],
    data=64,
)


def refusal(raw: bytes) -> str | None:
    """Where the file was refused, None if it was read."""
    try:
        parse(raw)
    except (FormatError, UnsupportedError) as error:
        return error.where or "nowhere"
    return None


def test_every_flipped_bit_is_read_or_refused_in_little_memory() -> None:
    n_bits = 8 * parse(TINY).header_nbytes
    places = []
    tracemalloc.start()
    started = time.process_time()
    for bit in range(n_bits):
        raw = bytearray(TINY)
        raw[bit // 8] ^= 1 << bit % 8
        places.append(refusal(bytes(raw)))
    seconds = time.process_time() - started
    _, peak_nbytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    refused = [place for place in places if place]
    assert all(place.startswith("byte ") for place in refused)
    assert len(refused) > n_bits // 2
    assert seconds < 10, f"{n_bits} headers"  # all together take 0.2 s; one stuck takes minutes
    assert peak_nbytes < 256 << 10


@pytest.mark.parametrize("nbytes", [1 << 14, 1 << 17])
def test_memory_is_a_small_multiple_of_the_header(nbytes: int) -> None:
    """Empty arrays are the values that grow most: 12 bytes become a list."""
    n = nbytes // 12
    raw = array(ARRAY, n, (u32(U8) + u64(0)) * n)
    tracemalloc.start()
    parse(raw)
    _, peak_nbytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_nbytes < 12 * nbytes
