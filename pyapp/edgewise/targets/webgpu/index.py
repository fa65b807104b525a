"""Index arithmetic as WGSL text: sizes, coordinates of a flat index, flat indices, broadcasting.

All indices are u32 and row-major. A size may depend on the slot's symbols; what is known in
advance is folded here, so that a shader compiler sees constants.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...dims import Dim
from ...ops.base import Shape
from ...plan.plan import Size


def wgsl_dim(dim: Dim) -> str:
    """A dimension as a WGSL u32 expression over the slot's symbols."""
    if isinstance(dim, int):
        return f"{dim}u"
    terms = "".join(f" + {factor}u * slot.{name}" for name, factor in dim.terms if factor > 0)
    minus = "".join(f" - {-factor}u * slot.{name}" for name, factor in dim.terms if factor < 0)
    constant = f" - {-dim.constant}u" if dim.constant < 0 else f" + {dim.constant}u"
    return f"(0u{terms}{minus}{constant})"


def wgsl_size(size: Size) -> str:
    """A product of dimensions as a WGSL u32 expression."""
    dims = size if isinstance(size, tuple) else (size,)
    known = 1
    factors = []
    for dim in dims:
        if isinstance(dim, int):
            known *= dim
        else:
            factors.append(wgsl_dim(dim))
    if known != 1 or not factors:
        factors.insert(0, f"{known}u")
    return factors[0] if len(factors) == 1 else f"({' * '.join(factors)})"


def coordinate(i: str, shape: Shape, axis: int) -> str:
    """The coordinate on `axis` of the flat index `i` into `shape`."""
    if shape[axis] == 1 or 0 in shape:  # nothing is divided by the 0 of an empty shape
        return "0u"
    inner = wgsl_size(tuple(shape[axis + 1 :]))
    steps = i if inner == "1u" else f"({i} / {inner})"
    outermost = all(dim == 1 for dim in shape[:axis])
    return steps if outermost else f"({steps} % {wgsl_dim(shape[axis])})"


def coordinates(i: str, shape: Shape) -> list[str]:
    """The coordinates of the flat index `i` into `shape`."""
    return [coordinate(i, shape, axis) for axis in range(len(shape))]


def flat(at: Sequence[str], shape: Shape) -> str:
    """The flat index of the coordinates `at` into `shape`."""
    terms = []
    for axis, where in enumerate(at):
        if where == "0u" or shape[axis] == 1:
            continue
        stride = wgsl_size(tuple(shape[axis + 1 :]))
        terms.append(where if stride == "1u" else f"{where} * {stride}")
    return " + ".join(terms) if terms else "0u"


def broadcast(i: str, x: Shape, y: Shape) -> str:
    """The flat index into `x` of the element that broadcasts to flat index `i` of `y`."""
    if x == y:
        return i
    kept = list(x)
    while kept and kept[0] == 1:
        kept.pop(0)
    if not kept or 0 in kept:
        return "0u"
    if tuple(kept) == tuple(y[len(y) - len(kept) :]):
        return f"({i} % {wgsl_size(tuple(kept))})"
    shift = len(y) - len(x)
    at = ["0u" if dim == 1 else coordinate(i, y, axis + shift) for axis, dim in enumerate(x)]
    return f"({flat(at, x)})"
