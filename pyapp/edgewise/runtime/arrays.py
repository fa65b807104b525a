"""What goes into a run and comes out of it: arrays or bytes, checked against a graph's values.

With NumPy an operand is an array of its own data type (int4 and uint4: int8 and uint8, an element
each); without it, and wherever one likes, its bytes (4-bit elements packed, low nibble first).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any, TypeAlias

from ..dims import Dim, Expr, bound, evaluate
from ..dtypes import DType
from ..errors import DTypeError, InputError, ShapeError
from ..graph.graph import Graph, Value

if TYPE_CHECKING:
    import numpy as np

    Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Given: TypeAlias = "Array | bytes | bytearray | memoryview"
STORED = {DType.INT4: "int8", DType.UINT4: "uint8"}
RANGES = {DType.INT4: (-8, 7), DType.UINT4: (0, 15)}


def is_array(given: object) -> bool:
    """Whether it is a NumPy array or scalar; NumPy is not imported for it."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(given, numpy.ndarray | numpy.generic)


def to_bytes(value: Value, given: Any) -> bytes:
    """The bytes of an operand. Raises DTypeError, InputError."""
    if not is_array(given):
        try:
            return memoryview(given).cast("B").tobytes()
        except TypeError:
            raise InputError(f"'{value.name}'", got=type(given).__name__,
                             need=f"an array or bytes of {value}") from None  # fmt: skip
    from ..arrays import encode

    need = STORED.get(value.dtype, value.dtype.value)
    if given.dtype.name != need:
        raise DTypeError(f"'{value.name}'", got=f"an array of {given.dtype.name}",
                         need=f"{need} for {value}", fix=f"pass x.astype('{need}')")  # fmt: skip
    if value.dtype in RANGES and given.size:
        low, high = RANGES[value.dtype]
        if given.min() < low or given.max() > high:
            raise InputError(f"'{value.name}'", got=f"{given.min()} to {given.max()}",
                             need=f"{low} to {high} for {value}")  # fmt: skip
    return encode(given, value.dtype)


def from_bytes(dtype: DType, shape: tuple[int, ...], data: bytes) -> Any:
    """The array of an operand's bytes, or the bytes as they are where NumPy is not loaded."""
    if "numpy" not in sys.modules:
        return data
    from ..arrays import decode

    return decode(data, dtype, prod(shape)).reshape(shape).copy()


def bindings_of(
    graph: Graph, given: Mapping[str, Given], fixed: Mapping[str, int]
) -> dict[str, int]:
    """A value for each symbol: from `fixed`, or from the arrays' shapes.

    Raises InputError for a symbol that no shape tells, ShapeError for shapes that do not fit.
    """
    known = {name: value for name, value in fixed.items() if name in graph.symbols}
    arrays: dict[str, Any] = {name: each for name, each in given.items() if is_array(each)}
    shapes = {name: tuple(map(int, array.shape)) for name, array in arrays.items()}
    for name, shape in shapes.items():
        if len(shape) != len(graph.values[name].shape):
            raise _misfit(graph.values[name], shape)
    pairs = [pair for n, shape in shapes.items() for pair in zip(graph.values[n].shape, shape,
                                                                 strict=True)]  # fmt: skip
    while solved := {name: value for pair in pairs for name, value in _solve(*pair, known)}:
        known |= solved
    missing = sorted(set(graph.symbols) - set(known))
    if missing:
        raise InputError(f"symbols of '{graph.name}'", got="shapes that do not tell them",
                         need=", ".join(missing), fix="pass them in `bindings`")  # fmt: skip
    for name, value in known.items():
        if not 0 <= value <= graph.symbols[name]:
            raise ShapeError(f"symbol '{name}'", got=str(value),
                             need=f"0 to {graph.symbols[name]}")  # fmt: skip
    for name, shape in shapes.items():
        if shape != sizes(graph.values[name], known):
            raise _misfit(graph.values[name], shape)
    return known


def sizes(value: Value, bindings: Mapping[str, int]) -> tuple[int, ...]:
    """A value's shape in this run."""
    return tuple(evaluate(dim, bindings) for dim in value.shape)


def _solve(dim: Dim, size: int, known: Mapping[str, int]) -> list[tuple[str, int]]:
    """The one symbol of `dim` that is not known, from the dimension's size."""
    if not isinstance(dim, Expr):
        return []
    unknown = [(name, factor) for name, factor in dim.terms if name not in known]
    if len(unknown) != 1:
        return []
    name, factor = unknown[0]
    rest = dim.constant + sum(f * known[n] for n, f in dim.terms if n in known)
    return [(name, (size - rest) // factor)]


def _misfit(value: Value, shape: tuple[int, ...]) -> ShapeError:
    most = [bound(dim) for dim in value.shape]
    return ShapeError(f"'{value.name}'", got=f"an array of shape {list(shape)}",
                      need=f"{value}, at most {most}")  # fmt: skip


def check_names(what: str, given: Mapping[str, object], need: tuple[str, ...]) -> None:
    """Raises InputError that names what is missing and what is too much."""
    missing, extra = sorted(set(need) - set(given)), sorted(set(given) - set(need))
    if missing or extra:
        parts = [f"no {', '.join(missing)}"] if missing else []
        parts += [f"unknown {', '.join(extra)}"] if extra else []
        raise InputError(what, got="; ".join(parts), need=", ".join(need) or "none")
