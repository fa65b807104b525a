"""Data types, by their WebNN names (MLOperandDataType), and their sizes.

4-bit types are packed two to a byte, low nibble first, as WebNN packs them.
"""

from __future__ import annotations

from enum import StrEnum
from math import ceil


class DType(StrEnum):
    """One of WebNN's operand data types."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    INT64 = "int64"
    UINT64 = "uint64"
    INT32 = "int32"
    UINT32 = "uint32"
    INT8 = "int8"
    UINT8 = "uint8"
    INT4 = "int4"
    UINT4 = "uint4"

    @property
    def bits(self) -> int:
        """Bits of one element."""
        return int(self.value.lstrip("uintfloa"))

    @property
    def is_float(self) -> bool:
        """Whether elements are IEEE 754 numbers."""
        return self.value.startswith("float")

    def nbytes(self, n_elements: int) -> int:
        """Bytes of `n_elements` packed elements."""
        return ceil(n_elements * self.bits / 8)


#: safetensors' names of plain element types; BF16, float32's upper half, is none of ours.
PLAIN = {
    "F32": DType.FLOAT32, "F16": DType.FLOAT16, "I64": DType.INT64, "U64": DType.UINT64,
    "I32": DType.INT32, "U32": DType.UINT32, "I8": DType.INT8, "U8": DType.UINT8,
    "BOOL": DType.UINT8, "I4": DType.INT4, "U4": DType.UINT4,
}  # fmt: skip

FLOATS = frozenset(t for t in DType if t.is_float)
