"""safetensors headers: what the `safetensors` package writes is read, what it refuses is not."""

from __future__ import annotations

import json
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from edgewise.errors import EdgewiseError, FormatError, NeedMoreBytes, UnsupportedError
from edgewise.formats.safetensors import BITS, MAX_HEADER_NBYTES, parse

F, U = FormatError, UnsupportedError
NAMES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "int16": "I16", "uint16": "U16",
    "float16": "F16", "int32": "I32", "uint32": "U32", "float32": "F32", "float64": "F64",
    "int64": "I64", "uint64": "U64", "complex64": "C64",
}  # fmt: skip
SHAPES = st.lists(st.integers(0, 4), max_size=3).map(tuple)
TENSORS = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6).filter(
        lambda name: name != "__metadata__"
    ),
    st.tuples(st.sampled_from(sorted(NAMES)), SHAPES),
    max_size=5,
)


def file(header: object, data: int = 0, *, nbytes: int | None = None) -> bytes:
    """A file around a header, which is JSON unless it is bytes; its length lies if given."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(raw) if nbytes is None else nbytes).to_bytes(8, "little") + raw + bytes(data)


def entry(dtype: Any, shape: Any, begin: Any, end: Any) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@given(TENSORS, st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=2))
def test_reads_what_the_package_writes(
    tensors: dict[str, tuple[str, tuple[int, ...]]], metadata: dict[str, str]
) -> None:
    rng = np.random.default_rng(1)
    arrays = {
        name: rng.integers(0, 2, shape).astype(dtype) for name, (dtype, shape) in tensors.items()
    }
    raw = safetensors.numpy.save(arrays, metadata or None)
    found = parse(raw)
    assert found.metadata == metadata
    assert found.tensors.keys() == arrays.keys()
    for name, array in arrays.items():
        info = found.tensors[name]
        assert (info.name, info.shape, info.type) == (name, array.shape, NAMES[array.dtype.name])
        assert raw[info.offset : info.offset + info.nbytes] == array.tobytes()


def test_minilm() -> None:
    path = Path(__file__).parents[2] / ".cache/models/all-MiniLM-L6-v2/model.safetensors"
    with path.open("rb") as stream:
        found = parse(stream.read(1 << 16), file_nbytes=path.stat().st_size)
    with safetensors.safe_open(path, framework="numpy") as official:
        assert found.tensors.keys() == set(official.keys())
        for name in found.tensors:
            assert found.tensors[name].shape == tuple(official.get_slice(name).get_shape())


CASES: dict[str, tuple[bytes, type[EdgewiseError], int, str]] = {
    "empty": (b"", F, 0, "ends inside its header"),
    "length cut": (bytes(7), F, 0, "ends inside its header"),
    "length past the end": (file({}, nbytes=3), F, 0, "length of the header"),
    "huge length": (file({}, nbytes=2**63), F, 0, "length of the header"),
    "no object": (file(b"[]"), F, 8, "begins with '{'"),
    "nothing": (file(b""), F, 8, "begins with '{'"),
    "space first": (file(b" {}"), F, 8, "begins with '{'"),
    "bad JSON": (file(b'{"a":}'), F, 13, "Expecting value"),
    "JSON cut": (file(b'{"\xc3\xa9": 1'), F, 16, "delimiter"),
    "not UTF-8": (file(b'{"a\xff"}'), F, 11, "0xff"),
    "NaN": (file(b'{"a": NaN}'), F, 8, "NaN"),
    "a number without end": (file(b'{"a": ' + b"9" * 5000 + b"}"), F, 8, "header"),
    "nested without end": (file(b'{"a":' + b"[" * 100_000 + b"}"), F, 8, "header"),
    "name twice": (
        file(b'{"a": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}, "a": 1}'), F, 9,
        "second time",
    ),
    "half a letter": (file(b'{"\\ud800": 1}'), F, 8, "surrogate"),
    "metadata": (file({"__metadata__": {"a": 1}}), F, 9, "__metadata__"),
    "no entry": (file({"w": []}), F, 9, "'w'"),
    "a member missing": (file({"w": {"dtype": "U8", "shape": [1]}}), F, 9, "'w'"),
    "dtype no text": (file({"w": entry(3, [1], 0, 1)}, 1), F, 9, "dtype"),
    "dtype unheard of": (file({"w": entry("Q4", [1], 0, 1)}, 1), U, 9, "'Q4'"),
    "shape no list": (file({"w": entry("U8", 1, 0, 1)}, 1), F, 9, "shape"),
    "negative size": (file({"w": entry("U8", [-1], 0, 1)}, 1), F, 9, "shape"),
    "true as size": (file({"w": entry("U8", [True], 0, 1)}, 1), F, 9, "shape"),
    "half a size": (file({"w": entry("U8", [1.5], 0, 1)}, 1), F, 9, "shape"),
    "sizes that overflow to a small product": (
        file({"w": entry("U8", [2**32, 2**32], 0, 0)}), F, 9, "data_offsets",
    ),
    "a product of a million sizes": (
        file({"w": entry("U8", [2**62] * 100_000, 0, 1)}, 1), F, 9, "data_offsets",
    ),
    "begin past end": (file({"w": entry("U8", [1], 1, 0)}, 1), F, 9, "data_offsets"),
    "past the file": (file({"w": entry("U8", [2], 0, 2)}, 1), F, 9, "data_offsets"),
    "three offsets": (
        file({"w": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1, 1]}}, 1), F, 9, "offsets",
    ),
    "bytes unlike the shape": (file({"w": entry("F32", [2], 0, 4)}, 4), F, 9, "8 bytes for F32"),
    "half a byte": (file({"w": entry("F4", [3], 0, 1)}, 1), F, 9, "1.5 bytes"),
    "overlap": (
        file({"v": entry("U8", [2], 0, 2), "w": entry("U8", [2], 1, 3)}, 3), F, 69, "'w'",
    ),
    "hole": (file({"v": entry("U8", [1], 0, 1), "w": entry("U8", [1], 2, 3)}, 3), F, 69, "'w'"),
    "hole at the start": (file({"w": entry("U8", [1], 1, 2)}, 2), F, 9, "'w'"),
    "bytes after the last": (file({"w": entry("U8", [1], 0, 1)}, 2), F, 69, "data"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_refused_by_name(name: str) -> None:
    raw, kind, at, what = CASES[name]
    with pytest.raises(kind) as caught:
        parse(raw)
    error = caught.value
    assert type(error) is kind
    assert what in str(error)
    assert error.where == f"byte {at}", str(error)
    assert error.got
    assert error.need
    assert len(str(error)) < 1000
    assert officially_refused(raw) or name == "space first"  # the format's text forbids it


def test_a_header_larger_than_any_known_is_not_asked_for() -> None:
    raw = (MAX_HEADER_NBYTES + 1).to_bytes(8, "little")
    with pytest.raises(UnsupportedError, match="header too large"):
        parse(raw, file_nbytes=1 << 40)


def test_elements_less_than_a_byte() -> None:
    raw = file({"w": entry("F4", [2, 3], 0, 3)}, 3)
    assert parse(raw).tensors["w"].nbytes == 3
    assert BITS["F6_E2M3"] == 6


TINY = safetensors.numpy.save(
    {"a": np.zeros((2, 3), np.float32), "é": np.ones(5, np.uint8)}, {"format": "np"}
)


def test_a_prefix_asks_for_more_until_the_header_is_there() -> None:
    whole = parse(TINY)
    for n in range(len(TINY)):
        if n < whole.header_nbytes:
            with pytest.raises(NeedMoreBytes):
                parse(TINY[:n], file_nbytes=len(TINY))
        else:
            assert parse(TINY[:n], file_nbytes=len(TINY)) == whole
        with pytest.raises(FormatError) as caught:  # the same beginning as a whole file
            parse(TINY[:n])
        assert type(caught.value) is FormatError


def refused(raw: bytes) -> bool:
    try:
        parse(raw)
    except (FormatError, UnsupportedError) as error:
        return (error.where or "").startswith("byte ")
    return False


def officially_refused(raw: bytes) -> bool:
    try:
        safetensors.deserialize(raw)  # type: ignore[no-untyped-call]
    except Exception:  # noqa: BLE001  the package has one error, and others inside
        return True
    return False


def test_every_flipped_bit_is_read_or_refused_as_the_package_does() -> None:
    n_bits = 8 * parse(TINY).header_nbytes
    tracemalloc.start()
    started = time.process_time()
    kept = []
    for bit in range(n_bits):
        raw = bytearray(TINY)
        raw[bit // 8] ^= 1 << bit % 8
        if not refused(bytes(raw)):
            kept.append(bytes(raw))
    seconds = time.process_time() - started
    _, peak_nbytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0 < len(kept) < n_bits // 2
    assert not [raw for raw in kept if officially_refused(raw)]
    assert seconds < 10
    assert peak_nbytes < 256 << 10


def test_names_by_the_hundred_thousand_take_little_time() -> None:
    members = ",".join(f'"{index}": 1' for index in range(200_000))
    started = time.process_time()
    with pytest.raises(FormatError, match="second time"):
        parse(file(f'{{{members}, "199999": 1}}'.encode()))
    assert time.process_time() - started < 5
