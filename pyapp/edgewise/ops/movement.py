"""Rows that move elements and compute none: shape, order, choice of elements.

Sizes and starts may be symbolic (`Dim`); the reference gets them as integers.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from ..dims import Dim
from ..dtypes import DType
from ..errors import ShapeError
from .base import EXACT, In, Op, Param, Shape, Type, Value, register
from .elementwise import ANY
from .shape import broadcast, check_axes, check_axis, check_range, need, same_count

INDICES = frozenset({DType.INT32, DType.UINT32, DType.INT64})


def _reshape(x: Value, *, newShape: Shape) -> list[Type]:
    need(same_count(x.shape, newShape), "newShape", list(map(str, newShape)),
         f"as many elements as {x}")  # fmt: skip
    return [(x.dtype, newShape)]


def _expand(x: Value, *, newShape: Shape) -> list[Type]:
    need(broadcast(x.shape, newShape) == newShape, "newShape", list(map(str, newShape)),
         f"a shape that {x} broadcasts to")  # fmt: skip
    return [(x.dtype, newShape)]


def _transpose(x: Value, *, permutation: tuple[int, ...] | None = None) -> list[Type]:
    order = permutation if permutation is not None else tuple(range(len(x.shape)))[::-1]
    check_axes(x, order)
    need(len(order) == len(x.shape), "permutation", order, f"every axis of {x}")
    return [(x.dtype, tuple(x.shape[axis] for axis in order))]


def _slice(
    x: Value, *, starts: Shape, sizes: Shape, strides: tuple[int, ...] | None = None
) -> list[Type]:
    rank = len(x.shape)
    steps = strides or (1,) * rank
    need(len(starts) == len(sizes) == len(steps) == rank, "starts, sizes, strides",
         (len(starts), len(sizes), len(steps)), f"{rank} of each for {x}")  # fmt: skip
    out: list[Dim] = []
    for axis, (start, size, step, length) in enumerate(
        zip(starts, sizes, steps, x.shape, strict=True)
    ):
        check_range(f"axis {axis}", start, size, length)
        need(step >= 1 and (step == 1 or isinstance(size, int)), f"stride of axis {axis}",
             f"{step} over {size}", "at least 1, and 1 over a symbolic size")  # fmt: skip
        out.append(-(-size // step) if isinstance(size, int) else size)
    return [(x.dtype, tuple(out))]


def _slice_reference(
    xp: Any, x: Any, *, starts: tuple[int, ...], sizes: tuple[int, ...],
    strides: tuple[int, ...] | None = None,
) -> Any:  # fmt: skip
    for start, size, length in zip(starts, sizes, x.shape, strict=True):
        check_range("slice", start, size, length)  # now that symbols have values
    steps = strides or (1,) * x.ndim
    return x[tuple(slice(start, start + size, step)
                   for start, size, step in zip(starts, sizes, steps, strict=True))]  # fmt: skip


def _split_sizes(length: Dim, splits: int | tuple[int, ...]) -> tuple[int, ...]:
    if not isinstance(length, int):
        raise ShapeError("split axis", got=str(length), need="a length known in advance")
    sizes = splits if isinstance(splits, tuple) else (length // max(splits, 1),) * splits
    need(sum(sizes) == length and bool(sizes), "splits", splits, f"parts of {length}")
    return sizes


def _split(x: Value, *, splits: int | tuple[int, ...], axis: int = 0) -> list[Type]:
    check_axis(x, axis)
    sizes = _split_sizes(x.shape[axis], splits)
    return [(x.dtype, (*x.shape[:axis], size, *x.shape[axis + 1 :])) for size in sizes]


def _split_reference(xp: Any, x: Any, *, splits: int | tuple[int, ...], axis: int = 0) -> Any:
    sizes = _split_sizes(x.shape[axis], splits)
    ends = [sum(sizes[:count]) for count in range(len(sizes) + 1)]
    before = (slice(None),) * axis
    return tuple(x[(*before, slice(start, end))] for start, end in pairwise(ends))


def _concat(*values: Value, axis: int) -> list[Type]:
    first = values[0]
    check_axis(first, axis)
    total: Dim = 0
    for value in values:
        rest = (*value.shape[:axis], *value.shape[axis + 1 :])
        need(rest == (*first.shape[:axis], *first.shape[axis + 1 :]), "inputs",
             [str(each) for each in values], f"equal shapes but for axis {axis}")  # fmt: skip
        total = total + value.shape[axis]
    return [(first.dtype, (*first.shape[:axis], total, *first.shape[axis + 1 :]))]


def _gather(x: Value, indices: Value, *, axis: int = 0) -> list[Type]:
    check_axis(x, axis)
    return [(x.dtype, (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))]


def _wrapped(xp: Any, indices: Any, length: int) -> Any:
    """Indices from the end made positive; those out of range clamped, as WebNN allows."""
    positive = indices.astype(xp.int64)
    return xp.clip(xp.where(positive < 0, positive + length, positive), 0, length - 1)


def _scatter(x: Value, indices: Value, updates: Value, *, axis: int = 0) -> list[Type]:
    check_axis(x, axis)
    rest = [shape[:axis] + shape[axis + 1 :] for shape in (x.shape, indices.shape)]
    need(rest[0] == rest[1], "indices", indices, f"the shape of {x} but for axis {axis}")
    need(updates.shape == indices.shape, "updates", updates, f"the shape of {indices}")
    return [(x.dtype, x.shape)]


def _scatter_reference(xp: Any, x: Any, indices: Any, updates: Any, *, axis: int = 0) -> Any:
    out = x.copy()
    xp.put_along_axis(out, _wrapped(xp, indices, x.shape[axis]), updates, axis)
    return out


register(Op(
    "reshape", (In("input", ANY),), _reshape, attrs=(Param("newShape", "dims"),),
    reference=lambda xp, x, newShape: x.reshape(newShape),
    tolerance=EXACT, spec="#api-mlgraphbuilder-reshape-method",
))  # fmt: skip

register(Op(
    "expand", (In("input", ANY),), _expand, attrs=(Param("newShape", "dims"),),
    reference=lambda xp, x, newShape: xp.broadcast_to(x, newShape),
    tolerance=EXACT, spec="#api-mlgraphbuilder-expand",
))  # fmt: skip

register(Op(
    "transpose", (In("input", ANY),), _transpose, attrs=(Param("permutation", "ints", None),),
    reference=lambda xp, x, permutation=None: xp.transpose(x, permutation),
    tolerance=EXACT, spec="#api-mlgraphbuilder-transpose",
))  # fmt: skip

register(Op(
    "slice", (In("input", ANY),), _slice,
    attrs=(Param("starts", "dims"), Param("sizes", "dims"), Param("strides", "ints", None)),
    reference=_slice_reference, tolerance=EXACT, spec="#api-mlgraphbuilder-slice",
))  # fmt: skip

register(Op(
    "split", (In("input", ANY),), _split,
    attrs=(Param("splits", "int|ints"), Param("axis", "int", 0)),
    reference=_split_reference, several=True, tolerance=EXACT, spec="#api-mlgraphbuilder-split",
))  # fmt: skip

register(Op(
    "concat", (In("inputs", ANY, variadic=True),), _concat, attrs=(Param("axis", "int"),),
    reference=lambda xp, *arrays, axis: xp.concatenate(arrays, axis),
    tolerance=EXACT, spec="#api-mlgraphbuilder-concat",
))  # fmt: skip

register(Op(
    "gather", (In("input", ANY), In("indices", INDICES)), _gather, attrs=(Param("axis", "int", 0),),
    reference=lambda xp, x, indices, axis=0: xp.take(
        x, _wrapped(xp, indices, x.shape[axis]), axis),
    tolerance=EXACT, spec="#api-mlgraphbuilder-gather",
))  # fmt: skip

register(Op(
    "scatterElements", (In("input", ANY), In("indices", INDICES), In("updates", ANY, like="input")),
    _scatter, attrs=(Param("axis", "int", 0),),
    reference=_scatter_reference, tolerance=EXACT, spec="#api-mlgraphbuilder-scatterelements",
))  # fmt: skip
