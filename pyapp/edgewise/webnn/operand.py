"""Operands, tensors and what describes both: a data type and a shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, TypeAlias

from ..dims import Dim, Expr
from ..dtypes import DType
from ..errors import DTypeError, InputError, ShapeError
from ..graph.graph import Value

if TYPE_CHECKING:
    from .context import MLContext


@dataclass(frozen=True, slots=True)
class MLOperandDescriptor:
    """A data type by its WebNN name, and a shape, outermost dimension first."""

    data_type: DType
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """The number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the elements; 4-bit ones are packed."""
        return self.data_type.nbytes(self.size)

    def __str__(self) -> str:
        return f"{self.data_type}{list(self.shape)}"


MOST = 2**31 - 1

Described: TypeAlias = MLOperandDescriptor | Mapping[str, Any]


def dtype_of(given: DType | str, where: str) -> DType:
    """A data type from its name. Raises DTypeError."""
    try:
        return DType(str(given))
    except ValueError:
        raise DTypeError(where, got=f"data type {given!r}",
                         need=f"one of {', '.join(DType)}") from None  # fmt: skip


def dims_of(given: Sequence[Any], where: str, *, symbols: bool = False) -> tuple[Dim, ...]:
    """A shape as a tuple of ints, and symbols where they may be. Raises ShapeError.

    The specification's "valid dimension": sizes and their product are from 1 to 2^31 - 1. That none
    is 0 is a rule of this interface alone: graphs of the package may have empty tensors.
    """
    try:
        shape = tuple(each if isinstance(each, Expr) else each.__index__() for each in given)
    except (TypeError, AttributeError):
        raise ShapeError(where, got=repr(given), need="a list of integers") from None
    sizes = [each for each in shape if isinstance(each, int)]
    if len(sizes) < len(shape) and not symbols:
        raise ShapeError(where, got=f"shape [{', '.join(map(str, shape))}]", need="integers")
    if any(each < 1 for each in sizes) or prod(sizes) > MOST:
        raise ShapeError(where, got=f"shape [{', '.join(map(str, shape))}]",
                         need=f"sizes, and as many elements, from 1 to {MOST} (WebNN has no empty "
                              "tensors)")  # fmt: skip
    return shape


def described(given: Described, where: str) -> MLOperandDescriptor:
    """A descriptor, also from a dict with `data_type` (or `dataType`) and `shape`."""
    if isinstance(given, MLOperandDescriptor):
        return descriptor(given.data_type, given.shape, where)
    dtype = given.get("data_type", given.get("dataType"))
    if dtype is None or set(given) - {"data_type", "dataType", "shape"}:
        raise InputError(f"{where}: a descriptor", got=f"a dict of {sorted(given)}",
                         need="data_type and shape")  # fmt: skip
    return descriptor(dtype, given.get("shape", ()), where)


def descriptor(dtype: DType | str, shape: Sequence[int], where: str) -> MLOperandDescriptor:
    """A descriptor from its parts. Raises DTypeError, ShapeError."""
    sizes = tuple(each for each in dims_of(shape, where) if isinstance(each, int))
    return MLOperandDescriptor(dtype_of(dtype, where), sizes)


class MLOperand:
    """A value of a graph that is being built."""

    __slots__ = ("_value", "name")

    def __init__(self, value: Value, name: str | None = None) -> None:
        self._value, self.name = value, name

    @property
    def data_type(self) -> str:
        """The data type's WebNN name."""
        return self._value.dtype.value

    @property
    def shape(self) -> list[Dim]:
        """The shape, outermost dimension first."""
        return list(self._value.shape)

    @property
    def rank(self) -> int:
        """The number of dimensions."""
        return len(self._value.shape)

    def __repr__(self) -> str:
        return f"<MLOperand {self.name or self._value.name}: {self._value}>"


class MLTensor:
    """Elements that live in a context, between dispatches. Made by `MLContext.create_tensor`."""

    __slots__ = ("_bytes", "_context", "constant", "descriptor", "readable", "writable")

    def __init__(
        self, context: MLContext, descriptor: MLOperandDescriptor, *, readable: bool,
        writable: bool, constant: bool = False,
    ) -> None:  # fmt: skip
        self._context, self.descriptor = context, descriptor
        self.readable, self.writable, self.constant = readable, writable, constant
        self._bytes: bytes | None = bytes(descriptor.nbytes)

    @property
    def data_type(self) -> str:
        """The data type's WebNN name."""
        return self.descriptor.data_type.value

    @property
    def shape(self) -> list[int]:
        """The shape, outermost dimension first."""
        return list(self.descriptor.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.descriptor.size

    @property
    def exportable_to_gpu(self) -> bool:
        """Never: no tensor can become a texture."""
        return False

    def destroy(self) -> None:
        """Let its memory go; any use after that is an error. A second call does nothing."""
        self._bytes = None

    def __repr__(self) -> str:
        state = ", destroyed" if self._bytes is None else ""
        return f"<MLTensor {self.descriptor}{state}>"
