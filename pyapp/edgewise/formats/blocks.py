"""ggml's tensor types: sizes of all, contents of those that Edgewise computes with.

A quantised row is a run of blocks. Every type here reads as `code * scale + minimum` over groups
along the row, so the graph knows one form (4-bit or 8-bit codes) and no ggml type.
The same split runs on the GPU: targets/webgpu/kernels/unpack_*.wgsl.

Source: ggml-common.h, ggml-quants.c. NumPy is imported inside the functions that need it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from ..dtypes import DType
from ..errors import FormatError, UnsupportedError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .unpack import Codes, Scales


@dataclass(frozen=True, slots=True)
class BlockType:
    """A ggml type: blocks of `elements` in `nbytes`.

    bits, group, scale  what `split` gives: bits of a code, codes a scale, type of scale and
                        minimum. None for types that it does not do.
    """

    name: str
    code: int
    elements: int
    nbytes: int
    bits: int | None = None
    group: int | None = None
    scale: DType | None = None


_F16, _F32 = DType.FLOAT16, DType.FLOAT32

BLOCKS: dict[str, BlockType] = {
    row.name: row
    for row in (
        BlockType("F32", 0, 1, 4),
        BlockType("F16", 1, 1, 2),
        BlockType("Q4_0", 2, 32, 18, bits=4, group=32, scale=_F16),
        BlockType("Q4_1", 3, 32, 20, bits=4, group=32, scale=_F16),
        BlockType("Q5_0", 6, 32, 22, bits=8, group=32, scale=_F16),
        BlockType("Q5_1", 7, 32, 24, bits=8, group=32, scale=_F16),
        BlockType("Q8_0", 8, 32, 34, bits=8, group=32, scale=_F16),
        BlockType("Q8_1", 9, 32, 40),
        BlockType("Q2_K", 10, 256, 84),
        BlockType("Q3_K", 11, 256, 110),
        BlockType("Q4_K", 12, 256, 144, bits=4, group=32, scale=_F32),
        BlockType("Q5_K", 13, 256, 176, bits=8, group=32, scale=_F32),
        BlockType("Q6_K", 14, 256, 210, bits=8, group=16, scale=_F32),
        BlockType("Q8_K", 15, 256, 292),
        BlockType("IQ2_XXS", 16, 256, 66),
        BlockType("IQ2_XS", 17, 256, 74),
        BlockType("IQ3_XXS", 18, 256, 98),
        BlockType("IQ1_S", 19, 256, 50),
        BlockType("IQ4_NL", 20, 32, 18),
        BlockType("IQ3_S", 21, 256, 110),
        BlockType("IQ2_S", 22, 256, 82),
        BlockType("IQ4_XS", 23, 256, 136),
        BlockType("I8", 24, 1, 1),
        BlockType("I16", 25, 1, 2),
        BlockType("I32", 26, 1, 4),
        BlockType("I64", 27, 1, 8),
        BlockType("F64", 28, 1, 8),
        BlockType("IQ1_M", 29, 256, 56),
        BlockType("BF16", 30, 1, 2),
        BlockType("TQ1_0", 34, 256, 54),
        BlockType("TQ2_0", 35, 256, 66),
        BlockType("MXFP4", 39, 32, 17),
        BlockType("NVFP4", 40, 64, 36),
        BlockType("Q1_0", 41, 128, 18),
    )
}
_BY_CODE = {row.code: row for row in BLOCKS.values()}


def block_type(code: int, what: str, at: int) -> BlockType:
    """The type that ggml numbers `code`; UnsupportedError naming `what` at byte `at` if none."""
    if code not in _BY_CODE:
        raise UnsupportedError(
            f"ggml type of {what}", got=f"number {code}",
            need="one of " + ", ".join(f"{c} {t.name}" for c, t in _BY_CODE.items()),
            where=f"byte {at}",
        )  # fmt: skip
    return _BY_CODE[code]


def dequantise(raw: bytes | memoryview, type: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The values of a tensor, float32 in `shape`, bit for bit what ggml computes (a NaN is a NaN).

    raw    the tensor's bytes.
    type   F32, F16, BF16 or a type with `bits` in BLOCKS.

    Raises   FormatError if `raw` is not as long as `shape` says; UnsupportedError for other types.
    """
    import numpy as np

    from .unpack import UNPACK

    data = _checked(raw, type, shape)
    if type == "F32":
        return data.view("<f4").reshape(shape).astype(np.float32)
    if type == "F16":
        with np.errstate(invalid="ignore"):  # NaN passes through
            return data.view("<f2").reshape(shape).astype(np.float32)
    if type == "BF16":
        return (data.view("<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
    with np.errstate(invalid="ignore"):  # scales of inf and NaN pass through
        parts = UNPACK[type](data.reshape(-1, BLOCKS[type].nbytes))
        codes = parts.codes.astype(np.float32) - np.float32(parts.centre)
        values = parts.scale.astype(np.float32)[..., None] * codes
        if parts.minimum is not None:
            values += parts.minimum.astype(np.float32)[..., None]
    return values.reshape(shape)


def split(
    raw: bytes | memoryview, type: str, shape: tuple[int, ...]
) -> tuple[Codes, Scales, Scales]:
    """A quantised tensor as (codes, scale, minimum), `value = codes * scale + minimum`.

    codes           uint8 in 0..15 (4-bit types) or int8 (8-bit types), in `shape`.
    scale, minimum  float16 or float32 as BLOCKS[type].scale says, [..., K / group].

    Error    none: `codes * scale + minimum` in float32 equals `dequantise` for finite scales
             (every product is exact in 24 bits), with or without fused multiply-add, apart from
             the sign of zero. Q4_0 alone needs |scale| < 8192, or -8 * scale is no float16.
    Raises   as `dequantise`; UnsupportedError for F32, F16, BF16 too: they have no codes.
    """
    import numpy as np

    from .unpack import UNPACK

    block = BLOCKS.get(type)
    if block is None or block.group is None or block.scale is None:
        raise _unsupported("to split", type, [t.name for t in BLOCKS.values() if t.bits])
    data = _checked(raw, type, shape)
    with np.errstate(invalid="ignore", over="ignore"):
        parts = UNPACK[type](data.reshape(-1, block.nbytes))
        if parts.centre:
            minimum = parts.scale * parts.scale.dtype.type(-parts.centre)
        else:
            minimum = np.zeros_like(parts.scale) if parts.minimum is None else parts.minimum
    groups = (*shape[:-1], shape[-1] // block.group)
    return parts.codes.reshape(shape), parts.scale.reshape(groups), minimum.reshape(groups)


def _checked(raw: bytes | memoryview, type: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    import numpy as np

    computed = [t.name for t in BLOCKS.values() if t.bits] + ["F32", "F16", "BF16"]
    if type not in computed:
        raise _unsupported("to dequantise", type, computed)
    block = BLOCKS[type]
    if (shape[-1] if shape else 1) % block.elements:
        raise FormatError(
            f"{type} tensor has a broken row", got=f"shape {list(shape)}",
            need=f"a last dimension that is a multiple of {block.elements}",
        )  # fmt: skip
    nbytes = prod(shape) // block.elements * block.nbytes
    if len(raw) != nbytes:
        raise FormatError(
            f"{type} tensor of shape {list(shape)} has the wrong length",
            got=f"{len(raw)} bytes", need=f"{nbytes} bytes",
        )  # fmt: skip
    return np.frombuffer(raw, np.uint8)


def _unsupported(what: str, type: str, known: list[str]) -> UnsupportedError:
    return UnsupportedError(f"ggml type {what}", got=type, need="one of " + ", ".join(known))
