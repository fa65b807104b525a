"""gather and scatter: elements chosen or replaced by tensors of positions.

A position below zero counts from the end. One out of range is clamped, as WebNN allows.
"""

from __future__ import annotations

from typing import Any

from ..dims import Dim
from ..dtypes import DType
from .base import EXACT, In, Op, Param, Shape, Type, Value, register
from .elementwise import ANY
from .shape import check_axis, need

INDICES = frozenset({DType.INT32, DType.UINT32, DType.INT64})
AXIS = (Param("axis", "int", 0),)


def _check_positions(x: Value, axis: int, indices: Value) -> None:
    empty = x.shape[axis] == 0 and 0 not in indices.shape
    need(not empty, "input 'indices'", indices, f"no positions, as axis {axis} of {x} has none")


def _gather(x: Value, indices: Value, *, axis: int) -> list[Type]:
    check_axis(x, axis)
    _check_positions(x, axis, indices)
    return [(x.dtype, (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))]


def _wrapped(xp: Any, indices: Any, length: int) -> Any:
    """Positions as they are meant: those from the end made positive, others clamped."""
    positive = indices.astype(xp.int64)
    return xp.clip(xp.where(positive < 0, positive + length, positive), 0, length - 1)


def _check_along(x: Value, indices: Value, axis: int) -> None:
    check_axis(x, axis)
    shape = [(*value.shape[:axis], *value.shape[axis + 1 :]) for value in (x, indices)]
    same = len(indices.shape) == len(x.shape) and shape[0] == shape[1]
    need(same, "input 'indices'", indices, f"the shape of {x} but for axis {axis}")
    _check_positions(x, axis, indices)


def _gather_elements(x: Value, indices: Value, *, axis: int) -> list[Type]:
    _check_along(x, indices, axis)
    return [(x.dtype, indices.shape)]


def _scatter_elements(x: Value, indices: Value, updates: Value, *, axis: int) -> list[Type]:
    _check_along(x, indices, axis)
    need(updates.shape == indices.shape, "input 'updates'", updates, f"the shape of {indices}")
    return [(x.dtype, x.shape)]


def _scatter_elements_reference(xp: Any, x: Any, indices: Any, updates: Any, *, axis: int) -> Any:
    out = x.copy()
    xp.put_along_axis(out, _wrapped(xp, indices, x.shape[axis]), updates, axis)
    return out


def _chosen(x: Value, indices: Value) -> Shape:
    """The shape of the slices of `x` at the coordinates that the last axis of `indices` holds."""
    need(len(x.shape) >= 1, "input 'input'", x, "rank 1 or more")
    need(len(indices.shape) >= 1, "input 'indices'", indices, "rank 1 or more")
    depth: Dim = indices.shape[-1]
    fits = isinstance(depth, int) and 1 <= depth <= len(x.shape)
    need(fits, "input 'indices'", indices, f"a last size from 1 to {len(x.shape)}, the rank of {x}")
    assert isinstance(depth, int)
    for axis in range(depth):
        _check_positions(x, axis, indices)
    return (*indices.shape[:-1], *x.shape[depth:])


def _gather_nd(x: Value, indices: Value) -> list[Type]:
    return [(x.dtype, _chosen(x, indices))]


def _scatter_nd(x: Value, indices: Value, updates: Value) -> list[Type]:
    shape = _chosen(x, indices)
    need(
        updates.shape == shape, "input 'updates'", updates, f"shape [{', '.join(map(str, shape))}]"
    )
    return [(x.dtype, x.shape)]


def _coordinates(xp: Any, x: Any, indices: Any) -> tuple[Any, ...]:
    return tuple(
        _wrapped(xp, indices[..., axis], x.shape[axis]) for axis in range(indices.shape[-1])
    )


def _scatter_nd_reference(xp: Any, x: Any, indices: Any, updates: Any) -> Any:
    out = x.copy()
    out[_coordinates(xp, x, indices)] = updates
    return out


register(Op(
    "gather", (In("input", ANY), In("indices", INDICES)), _gather, attrs=AXIS,
    reference=lambda xp, x, indices, axis: xp.take(
        x, _wrapped(xp, indices, x.shape[axis]), axis),
    tolerance=EXACT, spec="#api-mlgraphbuilder-gather",
))  # fmt: skip

register(Op(
    "gatherElements", (In("input", ANY), In("indices", INDICES)), _gather_elements, attrs=AXIS,
    reference=lambda xp, x, indices, axis: xp.take_along_axis(
        x, _wrapped(xp, indices, x.shape[axis]), axis),
    tolerance=EXACT, spec="#api-mlgraphbuilder-gatherelements",
))  # fmt: skip

register(Op(
    "gatherND", (In("input", ANY), In("indices", INDICES)), _gather_nd,
    reference=lambda xp, x, indices: x[_coordinates(xp, x, indices)],
    tolerance=EXACT, spec="#api-mlgraphbuilder-gathernd",
))  # fmt: skip

register(Op(
    "scatterElements", (In("input", ANY), In("indices", INDICES), In("updates", ANY, like="input")),
    _scatter_elements, attrs=AXIS, reference=_scatter_elements_reference, tolerance=EXACT,
    spec="#api-mlgraphbuilder-scatterelements",
))  # fmt: skip

register(Op(
    "scatterND", (In("input", ANY), In("indices", INDICES), In("updates", ANY, like="input")),
    _scatter_nd, reference=_scatter_nd_reference, tolerance=EXACT,
    spec="#api-mlgraphbuilder-scatternd",
))  # fmt: skip
