"""ONNX's element types as ours, and its tensors as NumPy arrays.

WebNN has no float64, bfloat16, 16-bit integers or booleans: they become the next type that holds
their values (`DTYPES`). NumPy is imported inside the functions.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, TypeAlias

from ...arrays import decode, numpy_name
from ...dtypes import DType
from ...errors import FormatError, UnsupportedError
from ...formats.onnx import OnnxTensor

if TYPE_CHECKING:
    import numpy as np

    Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

DTYPES = {
    "FLOAT": DType.FLOAT32, "FLOAT16": DType.FLOAT16, "DOUBLE": DType.FLOAT32,
    "BFLOAT16": DType.FLOAT32, "INT64": DType.INT64, "UINT64": DType.UINT64,
    "INT32": DType.INT32, "UINT32": DType.UINT32, "INT16": DType.INT32, "UINT16": DType.UINT32,
    "INT8": DType.INT8, "UINT8": DType.UINT8, "BOOL": DType.UINT8,
    "INT4": DType.INT4, "UINT4": DType.UINT4,
}  # fmt: skip
#: TensorProto.DataType, by number.
CODES = (
    "UNDEFINED", "FLOAT", "UINT8", "INT8", "UINT16", "INT16", "INT32", "INT64", "STRING", "BOOL",
    "FLOAT16", "DOUBLE", "UINT32", "UINT64", "COMPLEX64", "COMPLEX128", "BFLOAT16",
    "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ", "UINT4", "INT4",
    "FLOAT4E2M1", "FLOAT8E8M0", "UINT2", "INT2",
)  # fmt: skip
#: The type of a weight that stays in its file (contract of graph.Source).
SOURCES = {
    "FLOAT": "F32", "FLOAT16": "F16", "BFLOAT16": "BF16", "INT64": "I64", "UINT64": "U64",
    "INT32": "I32", "UINT32": "U32", "INT8": "I8", "UINT8": "U8", "BOOL": "BOOL", "INT4": "I4",
    "UINT4": "U4",
}  # fmt: skip
#: NumPy's names; what it lacks is read as the unsigned integer of the same width.
NUMPY = {
    "FLOAT": "float32", "FLOAT16": "float16", "DOUBLE": "float64", "BFLOAT16": "uint16",
    "INT64": "int64", "UINT64": "uint64", "INT32": "int32", "UINT32": "uint32", "INT16": "int16",
    "UINT16": "uint16", "INT8": "int8", "UINT8": "uint8", "BOOL": "bool",
}  # fmt: skip
#: Names of our own types; ONNX's name for a value of which nothing else is known.
NAMES = {
    DType.FLOAT32: "FLOAT", DType.FLOAT16: "FLOAT16", DType.INT64: "INT64",
    DType.UINT64: "UINT64", DType.INT32: "INT32", DType.UINT32: "UINT32", DType.INT8: "INT8",
    DType.UINT8: "UINT8", DType.INT4: "INT4", DType.UINT4: "UINT4",
}  # fmt: skip


def dtype_of(name: str | None, what: str) -> DType:
    """Our type for ONNX's `name`. Raises UnsupportedError for one that nothing here holds."""
    dtype = DTYPES.get(name or "UNDEFINED")
    if dtype is None:
        raise UnsupportedError(what, got=f"element type {name}", need=f"one of {', '.join(DTYPES)}")
    return dtype


def read(tensor: OnnxTensor) -> Array:
    """The array of a tensor with `data`, in the NumPy type of `dtype_of` its type."""
    import numpy as np

    dtype, data = dtype_of(tensor.dtype, f"tensor {tensor.name!r}"), tensor.data
    assert data is not None, f"{tensor.name=} has no data"
    count = prod(tensor.shape)
    if dtype.bits == 4:
        flat = decode(data, dtype, count)
    else:
        stored = np.dtype(NUMPY[tensor.dtype]).newbyteorder("<")
        if len(data) != count * stored.itemsize:
            raise FormatError(f"tensor {tensor.name!r}", got=f"{len(data)} bytes",
                              need=f"{count * stored.itemsize} for {tensor.shape}")  # fmt: skip
        flat = np.frombuffer(data, stored)
    if tensor.dtype == "BFLOAT16":
        flat = (flat.astype(np.uint32) << 16).view(np.float32)
    return flat.reshape(tensor.shape).astype(numpy_name(dtype))
