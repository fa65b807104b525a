"""Shape rules that several rows share. A rule maps input values to output types."""

from __future__ import annotations

from collections.abc import Sequence

from ..dims import Dim, Expr, bound, product
from ..dtypes import DType
from ..errors import ShapeError
from .base import Shape, Type, Value


def need(condition: bool, what: str, got: object, rule: str) -> None:
    """Raise ShapeError unless `condition`."""
    if not condition:
        raise ShapeError(what, got=str(got), need=rule)


def broadcast(*shapes: Shape) -> Shape:
    """The shape that all `shapes` broadcast to, NumPy's way (WebNN: bidirectional).

    A symbolic dimension broadcasts with itself and with 1.
    """
    first = shapes[0]
    if all(shape == first for shape in shapes):
        return first
    rank = max(map(len, shapes))
    out: list[Dim] = [1] * rank
    for shape in shapes:
        for index, dim in enumerate(shape, rank - len(shape)):
            if out[index] == 1:
                out[index] = dim
            elif dim not in (1, out[index]):
                need(False, "shapes", shapes, f"equal dimensions or 1 at axis {index}")
    return tuple(out)


def n_elements(shape: Shape) -> tuple[Shape, Dim]:
    """Symbolic dimensions in a canonical order, and the product of the others."""
    symbolic = tuple(sorted((dim for dim in shape if isinstance(dim, Expr)), key=str))
    return symbolic, product(tuple(dim for dim in shape if isinstance(dim, int)))


def same_count(old: Shape, new: Shape) -> bool:
    """Whether two shapes hold the same number of elements for every binding of the symbols."""
    if n_elements(old) == n_elements(new):
        return True
    if max(len(n_elements(old)[0]), len(n_elements(new)[0])) > 1:
        return False
    return product(old) == product(new)


def like(x: Value, *_others: object, **_attrs: object) -> list[Type]:
    """As the first input."""
    return [(x.dtype, x.shape)]


def elementwise(*values: Value) -> list[Type]:
    """All inputs broadcast together; the data type of the last."""
    return [(values[-1].dtype, broadcast(*(value.shape for value in values)))]


def comparison(*values: Value) -> list[Type]:
    """All inputs broadcast together; uint8, as WebNN has it for booleans."""
    return [(DType.UINT8, broadcast(*(value.shape for value in values)))]


def check_axis(x: Value, axis: int, name: str = "axis") -> None:
    """Raise ShapeError unless `x` has an axis `axis`."""
    need(0 <= axis < len(x.shape), name, axis, f"an axis of {x}")


def check_axes(x: Value, axes: Sequence[int]) -> None:
    """Raise ShapeError unless `axes` are different axes of `x`."""
    good = len(set(axes)) == len(axes) and all(0 <= axis < len(x.shape) for axis in axes)
    need(good, "axes", list(axes), f"different axes of {x}")


def check_range(what: str, start: Dim, count: Dim, length: Dim) -> None:
    """Raise ShapeError where `start + count` can pass `length`, or either is a negative integer.

    A symbolic range is held to its own bound: `past + seq` may exceed a state's length at the
    bounds of both symbols, and the session checks that at run time.
    """
    ends = start + count
    fits = not (isinstance(ends, int) and isinstance(length, int)) or ends <= length
    positive = not any(isinstance(dim, int) and dim < 0 for dim in (start, count))
    need(fits and positive and bound(count) >= 0, what, f"{start}+{count}", f"within {length}")
