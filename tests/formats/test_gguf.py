"""GGUF headers against the official package: a real model, random files, prefixes of a file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import gguf as official
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.errors import FormatError, NeedMoreBytes
from edgewise.formats.blocks import BLOCKS
from edgewise.formats.gguf import GGUF, parse
from edgewise.formats.tensor import TensorInfo
from tests.formats.gguf_bytes import (
    ARRAY,
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

VT = official.GGUFValueType


def assert_same_as_reader(found: GGUF, path: Path) -> None:
    reader = official.GGUFReader(path)
    metadata = {
        key: field.contents()
        for key, field in reader.fields.items()
        if not key.startswith("GGUF.")  # version and counts, made up by the reader
    }
    assert found.metadata == metadata
    assert list(found.metadata) == list(metadata)
    assert found.data_offset == reader.data_offset
    assert found.tensors == {
        t.name: TensorInfo(
            name=t.name,
            type=t.tensor_type.name,
            shape=tuple(t.shape.tolist()[::-1]),
            offset=t.data_offset,
            nbytes=t.n_bytes,
        )
        for t in reader.tensors
    }


@pytest.mark.slow
def test_real_model_from_its_first_two_mebibytes(model_path: Path) -> None:
    with model_path.open("rb") as model:
        prefix = model.read(2 << 20)
    found = parse(prefix, file_nbytes=model_path.stat().st_size)
    assert_same_as_reader(found, model_path)
    assert (found.version, len(found.tensors), len(found.metadata)) == (3, 272, 33)
    assert found.tensors["blk.0.ffn_down.weight"].shape == (576, 1536)


SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    VT.UINT8: st.integers(0, 2**8 - 1), VT.INT8: st.integers(-(2**7), 2**7 - 1),
    VT.UINT16: st.integers(0, 2**16 - 1), VT.INT16: st.integers(-(2**15), 2**15 - 1),
    VT.UINT32: st.integers(0, 2**32 - 1), VT.INT32: st.integers(-(2**31), 2**31 - 1),
    VT.UINT64: st.integers(0, 2**64 - 1), VT.INT64: st.integers(-(2**63), 2**63 - 1),
    VT.FLOAT32: st.floats(allow_nan=False, width=32), VT.FLOAT64: st.floats(allow_nan=False),
    VT.BOOL: st.booleans(), VT.STRING: st.text(st.characters(codec="utf-8"), max_size=20),
}  # fmt: skip
VALUES = st.one_of(
    *(st.tuples(st.just(kind), st.none(), values) for kind, values in SCALARS.items()),
    *(
        st.tuples(st.just(VT.ARRAY), st.just(kind), st.lists(values, min_size=1, max_size=5))
        for kind, values in SCALARS.items()
    ),
)
KEYS = st.text("abcdefgh_.", min_size=1, max_size=12)
TENSORS = st.tuples(
    st.sampled_from(list(BLOCKS.values())),
    st.lists(st.integers(1, 3), max_size=2),
    st.integers(1, 3),
)


@settings(max_examples=60)
@given(
    st.dictionaries(KEYS, VALUES, max_size=6),
    st.dictionaries(KEYS, TENSORS, max_size=4),
    st.sampled_from([None, 8, 32, 64, 256]),
)
def test_random_files_read_as_the_official_reader_reads_them(
    metadata: dict[str, Any], tensors: dict[str, Any], alignment: int | None
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.gguf"
        writer = official.GGUFWriter(path, "llama")
        if alignment is not None:
            writer.add_custom_alignment(alignment)
        for key, (kind, sub, value) in metadata.items():
            writer.add_key_value(key, value, kind, sub)
        for name, (block, leading, n_blocks) in tensors.items():
            raw = np.zeros((*leading, n_blocks * block.nbytes), np.uint8)
            writer.add_tensor(name, raw, raw_dtype=official.GGMLQuantizationType(block.code))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        assert_same_as_reader(parse(path.read_bytes()), path)


SMALL = file(
    [
        pair("general.architecture", STRING, string("llama")),
        pair("tokens", ARRAY, u32(STRING) + u64(3) + string("a") + string("") + string("ü")),
        pair("numbers", ARRAY, u32(U8) + u64(3) + bytes([1, 2, 255])),
        pair("nested", ARRAY, u32(ARRAY) + u64(2) + (u32(U32) + u64(1) + u32(7)) * 2),
    ],
    [tensor("w", [32, 2], Q4_0), tensor("b", [2], F32, 64), tensor("s", [], F32, 96)],
    data=100,
)


def test_small_file() -> None:
    found = parse(SMALL)
    assert found.metadata == {
        "general.architecture": "llama",
        "tokens": ["a", "", "ü"],
        "numbers": [1, 2, 255],
        "nested": [[7], [7]],
    }
    start = found.data_offset
    assert found.tensors == {
        "w": TensorInfo("w", "Q4_0", (2, 32), start, 36),
        "b": TensorInfo("b", "F32", (2,), start + 64, 8),
        "s": TensorInfo("s", "F32", (), start + 96, 4),
    }
    assert start % 32 == 0
    assert start - 32 < found.header_nbytes <= start


def test_version_2_reads_the_same() -> None:
    raw = SMALL[:4] + u32(2) + SMALL[8:]
    assert parse(raw).tensors == parse(SMALL).tensors


def test_a_memoryview_will_do() -> None:
    assert parse(memoryview(bytearray(SMALL))) == parse(SMALL)


def test_a_file_cut_short_anywhere_is_refused() -> None:
    for nbytes in range(len(SMALL)):
        with pytest.raises(FormatError) as caught:
            parse(SMALL[:nbytes])
        assert type(caught.value) is FormatError, f"{nbytes=}"
        assert str(caught.value.where).startswith("byte "), f"{nbytes=}"


def test_a_prefix_asks_for_more_until_the_header_is_whole() -> None:
    whole = parse(SMALL)
    for nbytes in range(whole.header_nbytes):
        with pytest.raises(NeedMoreBytes):
            parse(SMALL[:nbytes], file_nbytes=len(SMALL))
    for nbytes in range(whole.header_nbytes, len(SMALL) + 1):
        assert parse(SMALL[:nbytes], file_nbytes=len(SMALL)) == whole, f"{nbytes=}"
