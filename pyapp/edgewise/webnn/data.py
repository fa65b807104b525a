"""The bytes of constants and tensors, from arrays, buffers, numbers and lists of numbers."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

from ..dtypes import DType
from ..errors import DTypeError, InputError, ShapeError
from ..graph.builder import STRUCT
from ..graph.graph import Value
from ..runtime.arrays import is_array, to_bytes
from .operand import MLOperandDescriptor, descriptor, dtype_of

Scalar = int | float


def constant_from(
    value: Any, shape: Sequence[int] | None, dtype: DType | str | None
) -> tuple[MLOperandDescriptor, bytes]:
    """What `builder.constant(value, shape=None, data_type=None)` makes of its arguments.

    An array keeps its data type (int4 and uint4 come as int8 and uint8 arrays with `data_type`); a
    list's is float32 where a number in it is a float and int32 where none is, if not said.
    """
    where = "constant"
    if is_array(value):
        own = dtype_of(dtype if dtype is not None else value.dtype.name, where)
        made = descriptor(own, value.shape if shape is None else shape, where)
        return made, elements(made, value, where)
    if isinstance(value, list | tuple | int | float):
        numbers, sizes = flatten(value)
        found = DType.FLOAT32 if any(isinstance(n, float) for n in numbers) else DType.INT32
        own = found if dtype is None else dtype_of(dtype, where)
        made = descriptor(own, sizes if shape is None else shape, where)
        if prod(made.shape) != len(numbers):
            raise ShapeError(where, got=f"{len(numbers)} numbers", need=str(made))
        return made, packed(own, numbers)
    if shape is None or dtype is None:
        raise InputError(where, got=f"a {type(value).__name__} alone",
                         need="its shape and data_type, or an array")  # fmt: skip
    made = descriptor(dtype, shape, where)
    return made, elements(made, value, where)


def elements(described: MLOperandDescriptor, value: Any, where: str) -> bytes:
    """The bytes of an array or buffer that has the descriptor's type and as many elements.

    Raises DTypeError, ShapeError, InputError.
    """
    data = to_bytes(Value(where, described.data_type, described.shape), value)
    if len(data) != described.nbytes or (is_array(value) and value.size != described.size):
        raise ShapeError(f"'{where}'", got=f"{len(data)} bytes",
                         need=f"{described.nbytes} for {described}")  # fmt: skip
    return data


def scalar(dtype: DType | str, number: Scalar) -> tuple[MLOperandDescriptor, bytes]:
    """What `builder.constant(type, number)` makes: a constant of rank 0."""
    made = descriptor(dtype, (), "constant")
    return made, packed(made.data_type, [number])


def packed(dtype: DType, numbers: Sequence[Scalar]) -> bytes:
    """Numbers as elements of `dtype`. Raises DTypeError for those that do not fit."""
    try:
        if dtype in STRUCT:
            return struct.pack(f"<{len(numbers)}{STRUCT[dtype]}", *numbers)
        low = -8 if dtype is DType.INT4 else 0
        if not all(low <= number <= low + 15 for number in numbers):
            raise struct.error(f"not from {low} to {low + 15}")
        nibbles = [int(number) & 15 for number in numbers] + [0]
        return bytes(a | b << 4 for a, b in zip(nibbles[0::2], nibbles[1::2], strict=False))
    except (struct.error, OverflowError) as error:
        raise DTypeError("constant", got=f"{list(numbers[:8])}: {error}",
                         need=f"numbers of {dtype}") from None  # fmt: skip


def flatten(value: Any) -> tuple[list[Scalar], tuple[int, ...]]:
    """`[[1, 2], [3, 4]]` -> `[1, 2, 3, 4], (2, 2)`. Raises ShapeError for ragged lists."""
    if isinstance(value, int | float):
        return [value], ()
    if not isinstance(value, Iterable):
        raise InputError("constant", got=f"a {type(value).__name__}", need="numbers")
    rows = [flatten(each) for each in value]
    if len({shape for _, shape in rows}) > 1:
        raise ShapeError("constant", got="rows of different lengths", need="one length")
    inner = rows[0][1] if rows else ()
    return [number for numbers, _ in rows for number in numbers], (len(rows), *inner)
