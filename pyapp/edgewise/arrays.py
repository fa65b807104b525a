"""Bytes of a data type and NumPy arrays: the one place that knows how elements are packed.

Little-endian; 4-bit elements lie two to a byte, low nibble first, and are 8-bit integers in an
array. NumPy is imported inside the functions, so that the compiler starts without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from .dtypes import DType

if TYPE_CHECKING:
    import numpy as np

    Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def numpy_name(dtype: DType) -> str:
    """The NumPy type of an array of `dtype`: a 4-bit element is an 8-bit integer."""
    return {DType.INT4: "int8", DType.UINT4: "uint8"}.get(dtype, dtype.value)


def decode(data: bytes, dtype: DType, n_elements: int) -> Array:
    """The elements of `data` as an array of rank 1."""
    import numpy as np

    if dtype.bits >= 8:
        return np.frombuffer(data, np.dtype(dtype.value).newbyteorder("<"))
    packed = np.frombuffer(data, np.uint8)
    nibbles = np.stack([packed & 15, packed >> 4], 1).reshape(-1)[:n_elements]
    # two's complement of 4 bits: 8 to 15 are -8 to -1
    return (nibbles ^ 8).astype(np.int8) - np.int8(8) if dtype is DType.INT4 else nibbles


def encode(array: Array, dtype: DType) -> bytes:
    """The bytes of an array of `dtype`: the inverse of `decode`."""
    import numpy as np

    if dtype.bits >= 8:
        return np.ascontiguousarray(array, np.dtype(dtype.value).newbyteorder("<")).tobytes()
    nibbles = np.ascontiguousarray(array).reshape(-1).astype(np.uint8) & 15
    if nibbles.size % 2:
        nibbles = np.append(nibbles, np.uint8(0))
    packed: Array = nibbles[0::2] | nibbles[1::2] << 4
    return packed.tobytes()
