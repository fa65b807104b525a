"""Rows that move elements and compute none: shape, order, repetition, padding.

Sizes and starts may be symbolic (`Dim`); the reference gets them as integers.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from ..dims import Dim
from ..dtypes import DType
from ..errors import GraphError, ShapeError
from .base import EXACT, LARGEST, In, Op, Param, Shape, Type, Value, register
from .elementwise import ANY
from .precision import number
from .shape import broadcast, check_axes, check_axis, check_range, like, need, same_count

MOST_TENSORS = 8192  # the specification's "valid tensor count"
PADDING = ("constant", "edge", "reflection")


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
    steps = (1,) * rank if strides is None else strides
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
    steps = (1,) * x.ndim if strides is None else strides
    return x[tuple(slice(start, start + size, step)
                   for start, size, step in zip(starts, sizes, steps, strict=True))]  # fmt: skip


def _split_sizes(length: Dim, splits: int | tuple[int, ...]) -> tuple[int, ...]:
    if not isinstance(length, int):
        raise ShapeError("split axis", got=str(length), need="a length known in advance")
    count = len(splits) if isinstance(splits, tuple) else splits
    need(1 <= count <= MOST_TENSORS, "splits", splits, f"1 to {MOST_TENSORS} parts")
    sizes = splits if isinstance(splits, tuple) else (length // splits,) * splits
    good = sum(sizes) == length and min(sizes) >= 0
    need(good, "splits", splits, f"parts of {length}")
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
    need(len(values) <= MOST_TENSORS, "inputs", len(values), f"at most {MOST_TENSORS}")
    total: Dim = 0
    for value in values:
        rest = (*value.shape[:axis], *value.shape[axis + 1 :])
        same = rest == (*first.shape[:axis], *first.shape[axis + 1 :])
        need(same and len(value.shape) == len(first.shape), "inputs",
             [str(each) for each in values], f"equal shapes but for axis {axis}")  # fmt: skip
        total = total + value.shape[axis]
    return [(first.dtype, (*first.shape[:axis], total, *first.shape[axis + 1 :]))]


def _pad(
    x: Value, *, beginningPadding: tuple[int, ...], endingPadding: tuple[int, ...], mode: str,
    value: float,
) -> list[Type]:  # fmt: skip
    if mode not in PADDING:
        raise GraphError("attribute 'mode'", got=repr(mode), need=f"one of {list(PADDING)}")
    for name, widths in (("beginningPadding", beginningPadding), ("endingPadding", endingPadding)):
        fine = len(widths) == len(x.shape) and all(width >= 0 for width in widths)
        need(fine, name, list(widths), f"{len(x.shape)} sizes, as {x} has axes")
        for axis, (width, length) in enumerate(zip(widths, x.shape, strict=True)):
            least = 1 if mode == "edge" and width else width + 1 if mode == "reflection" else 0
            need(not isinstance(length, int) or length >= least, f"{name}[{axis}]", width,
                 f"less than {length} for {mode!r} of {x}")  # fmt: skip
    shape = zip(beginningPadding, x.shape, endingPadding, strict=True)
    return [(x.dtype, tuple(before + length + after for before, length, after in shape))]


def _pad_reference(
    xp: Any, x: Any, *, beginningPadding: tuple[int, ...], endingPadding: tuple[int, ...],
    mode: str, value: float,
) -> Any:  # fmt: skip
    widths = list(zip(beginningPadding, endingPadding, strict=True))
    if mode == "constant":
        shape = tuple(sum(pair) + length for pair, length in zip(widths, x.shape, strict=True))
        dtype = DType.FLOAT32 if x.dtype == "float64" else DType(x.dtype.name)
        out = xp.full(shape, number(value, dtype), x.dtype)
        out[tuple(slice(before, before + length) for (before, _), length
                  in zip(widths, x.shape, strict=True))] = x  # fmt: skip
        return out
    for axis, (before, after) in enumerate(widths):
        top = x.shape[axis] - 1
        at = xp.arange(-before, x.shape[axis] + after)
        at = xp.clip(at, 0, top) if mode == "edge" else top - xp.abs(top - xp.abs(at))
        x = xp.take(x, at, axis)
    return x


def _reverse(x: Value, *, axes: tuple[int, ...] | None = None) -> list[Type]:
    check_axes(x, axes or ())
    return like(x)


def _tile(x: Value, *, repetitions: tuple[int, ...]) -> list[Type]:
    fine = len(repetitions) == len(x.shape) and all(count >= 0 for count in repetitions)
    need(fine, "repetitions", list(repetitions), f"{len(x.shape)} counts, as {x} has axes")
    shape = zip(x.shape, repetitions, strict=True)
    return [(x.dtype, tuple(length * count for length, count in shape))]


def _triangular(x: Value, *, upper: bool, diagonal: int) -> list[Type]:
    need(len(x.shape) >= 2, "input 'input'", x, "rank 2 or more")
    need(abs(diagonal) <= LARGEST, "diagonal", diagonal, f"at most {LARGEST} either way")
    return like(x)


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
    "pad", (In("input", ANY),), _pad,
    attrs=(Param("beginningPadding", "ints"), Param("endingPadding", "ints"),
           Param("mode", "str", "constant"), Param("value", "number", 0)),
    reference=_pad_reference, tolerance=EXACT, spec="#api-mlgraphbuilder-pad",
))  # fmt: skip

register(Op(
    "reverse", (In("input", ANY),), _reverse, attrs=(Param("axes", "ints", None),),
    reference=lambda xp, x, axes=None: xp.flip(x, axes),
    tolerance=EXACT, spec="#api-mlgraphbuilder-reverse-method",
))  # fmt: skip

register(Op(
    "tile", (In("input", ANY),), _tile, attrs=(Param("repetitions", "ints"),),
    reference=lambda xp, x, repetitions: xp.tile(x, repetitions),
    tolerance=EXACT, spec="#api-mlgraphbuilder-tile",
))  # fmt: skip

register(Op(
    "triangular", (In("input", ANY),), _triangular,
    attrs=(Param("upper", "bool", True), Param("diagonal", "int", 0)),
    reference=lambda xp, x, upper, diagonal: (xp.triu if upper else xp.tril)(x, diagonal),
    tolerance=EXACT, spec="#api-mlgraphbuilder-triangular",
))  # fmt: skip
