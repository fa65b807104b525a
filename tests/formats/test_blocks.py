"""ggml blocks against the official package: sizes, values bit for bit, the canonical split."""

from __future__ import annotations

import gguf as official
import numpy as np
import pytest
from numpy.typing import NDArray

from edgewise.dtypes import DType
from edgewise.errors import FormatError, UnsupportedError
from edgewise.formats.blocks import BLOCKS, BlockType, block_type, dequantise, split

QUANTISED = [name for name, block in BLOCKS.items() if block.bits]
COMPUTED = ["F32", "F16", "BF16", *QUANTISED]
# Where a block keeps its f16 scales and minima.
HALFS = {"Q4_0": (0,), "Q4_1": (0, 2), "Q5_0": (0,), "Q5_1": (0, 2), "Q8_0": (0,),
         "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}  # fmt: skip
# zeros, subnormals, the smallest normal, 1, the largest, inf, NaN
EXTREME = [0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x3C00, 0xBC00, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00,
           0x7E00, 0xFE01]  # fmt: skip


def random_rows(type: str, rows: int, k: int, seed: int = 0) -> NDArray[np.uint8]:
    """[rows, bytes] of random blocks: scales can be anything that 16 bits can be."""
    block = BLOCKS[type]
    shape = (rows, k // block.elements * block.nbytes)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def official_values(raw: NDArray[np.uint8], type: str) -> NDArray[np.float32]:
    with np.errstate(all="ignore"):
        return np.asarray(official.quants.dequantize(raw, official.GGMLQuantizationType[type]))


def assert_same_bits(got: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    """Equal in every bit, signs of zeros included. Of NaN, IEEE 754 leaves sign and rest open."""
    assert got.dtype == expected.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(got.view(np.uint32)[number], expected.view(np.uint32)[number])


def test_table_is_ggmls_own() -> None:
    known = {(t.name, t.code, t.elements, t.nbytes) for t in BLOCKS.values()}
    sizes = official.GGML_QUANT_SIZES
    assert known == {(t.name, int(t), *sizes[t]) for t in official.GGMLQuantizationType}
    assert all(name == block.name for name, block in BLOCKS.items())


def test_a_type_is_found_by_number_and_an_unknown_one_named() -> None:
    assert block_type(3, "tensor 'w'", 8) is BLOCKS["Q4_1"]
    with pytest.raises(UnsupportedError, match="tensor 'w': got number 36") as caught:
        block_type(36, "tensor 'w'", 99)
    assert caught.value.where == "byte 99"
    assert "3 Q4_1" in str(caught.value.need)


@pytest.mark.parametrize("type", COMPUTED)
def test_dequantise_is_bit_exact(type: str) -> None:
    k = 3 * BLOCKS[type].elements * (1 if type in QUANTISED else 7)
    raw = random_rows(type, 301, k)
    got = dequantise(raw.tobytes(), type, (301, k))
    assert_same_bits(got, official_values(raw, type))


@pytest.mark.parametrize("type", QUANTISED)
def test_dequantise_is_bit_exact_for_extreme_scales(type: str) -> None:
    k = BLOCKS[type].elements
    raw = random_rows(type, len(EXTREME) ** 2, k)
    pairs = np.array([(a, b) for a in EXTREME for b in EXTREME], np.uint16)
    for i, at in enumerate(HALFS[type]):
        raw[:, at : at + 2] = pairs[:, i : i + 1].copy().view(np.uint8)
    got = dequantise(raw.tobytes(), type, (len(raw), k))
    assert_same_bits(got, official_values(raw, type))


@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 5)])
def test_float_tensors_have_any_shape(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    np.testing.assert_array_equal(dequantise(values.tobytes(), "F32", shape), values)
    half = values.astype(np.float16)
    np.testing.assert_array_equal(dequantise(half.tobytes(), "F16", shape), half)


@pytest.mark.parametrize("type", QUANTISED)
def test_split_is_canonical_and_loses_nothing(type: str) -> None:
    block = BLOCKS[type]
    assert block.group is not None
    k = 5 * block.elements
    shape = (4, 13, k)
    raw = random_rows(type, 52, k, seed=1).tobytes()
    codes, scale, minimum = split(raw, type, shape)

    float_type = np.float32 if block.scale == DType.FLOAT32 else np.float16
    assert codes.shape == shape
    assert codes.dtype == (np.uint8 if block.bits == 4 else np.int8)
    assert block.bits == 8 or codes.max() <= 15
    assert scale.dtype == minimum.dtype == float_type
    assert scale.shape == minimum.shape == (4, 13, k // block.group)

    value = recombined(block, codes, scale, minimum)
    # Scales of inf and NaN, and Q4_0 scales whose 8-fold is no float16, promise nothing.
    fits = np.repeat(np.isfinite(scale) & np.isfinite(minimum), block.group, axis=-1)
    assert fits.mean() > 0.8
    np.testing.assert_array_equal(value[fits], dequantise(raw, type, shape)[fits])


def recombined(
    block: BlockType, codes: NDArray[np.generic], scale: NDArray[np.generic],
    minimum: NDArray[np.generic],
) -> NDArray[np.float32]:  # fmt: skip
    assert block.group is not None
    groups = codes.astype(np.float32).reshape(*scale.shape, block.group)
    with np.errstate(all="ignore"):
        value = groups * scale.astype(np.float32)[..., None] + minimum.astype(np.float32)[..., None]
    return np.asarray(value, np.float32).reshape(codes.shape)


@pytest.mark.parametrize("type", QUANTISED)
def test_products_of_split_are_exact_so_fused_multiply_add_changes_nothing(type: str) -> None:
    block = BLOCKS[type]
    k = block.elements
    codes, scale, _ = split(random_rows(type, 500, k).tobytes(), type, (500, k))
    assert block.group is not None
    groups = codes.reshape(*scale.shape, block.group)
    finite = np.isfinite(scale)
    single = groups[finite].astype(np.float32) * scale[finite].astype(np.float32)[:, None]
    double = groups[finite].astype(np.float64) * scale[finite].astype(np.float64)[:, None]
    np.testing.assert_array_equal(single, double)


@pytest.mark.parametrize("type", ["Q5_0", "Q8_0", "Q6_K"])
def test_symmetric_types_have_a_minimum_of_zero(type: str) -> None:
    k = BLOCKS[type].elements
    _, _, minimum = split(random_rows(type, 9, k).tobytes(), type, (9, k))
    assert not minimum.any()
    assert not np.signbit(minimum).any()


@pytest.mark.parametrize("type", ["Q4_1", "Q8_0", "F32"])
@pytest.mark.parametrize("missing", [1, -1])
def test_wrong_length_is_refused(type: str, missing: int) -> None:
    raw = bytes(2 * BLOCKS[type].nbytes - missing)
    with pytest.raises(FormatError, match=rf"{type} tensor of shape .* got {len(raw)} bytes"):
        dequantise(raw, type, (2, BLOCKS[type].elements))


@pytest.mark.parametrize("shape", [(2, 16), (1, 33), ()])
def test_broken_rows_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(FormatError, match="multiple of 32"):
        split(bytes(20), "Q4_1", shape)


def test_types_without_values_or_codes_are_named() -> None:
    with pytest.raises(UnsupportedError, match=r"to dequantise: got IQ4_XS; need one of .*Q4_0"):
        dequantise(bytes(136), "IQ4_XS", (1, 256))
    with pytest.raises(UnsupportedError, match="to split: got BF16; need one of Q4_0"):
        split(bytes(2), "BF16", (1,))
