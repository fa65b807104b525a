"""Other forms of an operator for a browser that does not take it as it stands.

A rule gives functions that build such a form; the first whose parts are all taken is used. Forms
are exact, but for the average pool's, which rounds twice. A rule says in its docstring which
refusals it is an answer to; what is refused is not its business (limits.py, guards.py).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import partial
from math import inf, prod
from typing import Any, TypeAlias

from ...dims import evaluate
from ...dtypes import DType
from ...graph.builder import STRUCT, GraphBuilder
from ...ops.base import Value
from .guards import Use, Windows, padding_counts, windows

Form: TypeAlias = Callable[[], Any]
Rule: TypeAlias = Callable[[GraphBuilder, Use], Iterator[Form]]

#: Integer types that hold every value of another, smallest first.
WIDER = {
    DType.INT8: (DType.INT32, DType.INT64),
    DType.UINT8: (DType.INT32, DType.INT64),
    DType.UINT32: (DType.INT64,),
    DType.INT32: (DType.INT64,),
}
#: Same result in a wider integer type, then cut back: elements are moved, ordered, or added and
#: multiplied modulo 2^n.
CUT_BACK = frozenset({
    "reshape", "transpose", "slice", "split", "concat", "expand", "gather", "gatherElements",
    "gatherND", "scatterElements", "scatterND", "pad", "tile", "reverse", "where", "triangular",
    "identity", "max", "min", "clamp", "relu", "add", "sub", "mul", "div", "neg", "abs", "sign",
    "reduceMax", "reduceMin", "reduceSum", "reduceProduct", "reduceL1", "reduceSumSquare",
    "cumulativeSum",
})  # fmt: skip
#: Same result in a wider integer type, with a data type of its own.
OWN_TYPE = frozenset({
    "equal", "notEqual", "greater", "greaterOrEqual", "lesser", "lesserOrEqual", "argMax", "argMin",
})  # fmt: skip


def widened(b: GraphBuilder, use: Use) -> Iterator[Form]:
    """Integers in a wider type: for a data type that the operator does not take."""
    if use.op.name not in CUT_BACK | OWN_TYPE:
        return
    rows = use.op.inputs
    data = [
        not rows[0 if rows[0].variadic else index].name.startswith(("indices", "condition"))
        for index in range(len(use.inputs))
    ]
    old = next(v.dtype for v, is_data in zip(use.inputs, data, strict=True) if v and is_data)

    def form(wide: DType) -> Any:
        inputs = [
            b.cast(value, wide) if is_data and value is not None else value
            for value, is_data in zip(use.inputs, data, strict=True)
        ]
        made = b.apply(use.op, inputs, dict(use.attrs))
        if use.op.name in OWN_TYPE:
            return made
        if use.op.several:
            return tuple(b.cast(each, old) for each in made)
        return b.cast(made, old)

    for wide in WIDER.get(old, ()):
        yield partial(form, wide)


def narrow_indices(b: GraphBuilder, use: Use) -> Iterator[Form]:
    """Indices as int32, which holds every index of a tensor: for indices of another type."""
    names = [row.name for row in use.op.inputs]
    if "indices" not in names or use.input(names.index("indices")).dtype is DType.INT32:
        return
    at = names.index("indices")

    def form() -> Any:
        inputs = list(use.inputs)
        inputs[at] = b.cast(inputs[at], DType.INT32)
        return b.apply(use.op, inputs, dict(use.attrs))

    yield form


def one_index(b: GraphBuilder, use: Use) -> Iterator[Form]:
    """A gather of one element with one index in a list: for an output or indices of rank 0."""
    if use.op.name != "gather" or use.input(1).shape:
        return
    x, shape = use.input(0), _sizes(use.outputs[0][1])

    def form() -> Any:
        index = b.reshape(use.input(1), new_shape=(1,))
        return b.reshape(b.apply(use.op, [x, index], dict(use.attrs)), new_shape=shape)

    yield form


def flattened(b: GraphBuilder, use: Use) -> Iterator[Form]:
    """Element-wise operators over one axis: for a rank that the operator does not take."""
    shape = _sizes(use.outputs[0][1])
    if use.op.wgsl is None or len(shape) < 2:
        return

    def flat(value: Value) -> Any:
        if _sizes(value.shape) != shape:
            value = b.expand(value, new_shape=shape)
        return b.reshape(value, new_shape=(prod(shape),))

    def form() -> Any:
        inputs = [None if value is None else flat(value) for value in use.inputs]
        return b.reshape(b.apply(use.op, inputs, dict(use.attrs)), new_shape=shape)

    yield form


def magnitude(b: GraphBuilder, use: Use) -> Iterator[Form]:
    """abs and sign of integers by comparisons: for a data type that these do not take."""
    if use.op.name not in ("abs", "sign") or use.input(0).dtype.is_float:
        return
    x = use.input(0)
    if use.op.name == "abs":
        yield lambda: b.max(x, b.neg(x))
        return

    def form() -> Any:
        zero = b.scalar(x.dtype, 0)
        above, below = b.greater(x, zero), b.lesser(x, zero)
        return b.sub(b.cast(above, x.dtype), b.cast(below, x.dtype))

    yield form


def padded_before(b: GraphBuilder, use: Use) -> Iterator[Form]:
    """Windows over an input that is padded first: for padding that is got wrong.

    An average divides by the whole window; its sums are then put right by a constant.
    """
    pool = use.op.name.endswith("Pool2d")
    if not (pool or use.op.name == "conv2d") or not padding_counts(use):
        return
    both, x = windows(use), use.input(0)
    if pool and any(count <= 0 for each in both for count in each.there()):
        return  # what a window without elements gives is nobody's word

    def form() -> Any:
        begin, end = [0] * 4, [0] * 4
        for axis, each in zip(use.spatial, both, strict=True):
            begin[axis], end[axis] = each.before, each.beyond
        attrs = {name: attr for name, attr in use.attrs.items() if name != "outputSizes"}
        attrs["padding"] = (0,) * 4
        if pool:
            attrs |= {"outputShapeRounding": "floor", "windowDimensions": use.window}
        wide = b.pad(x, begin, end, value=-inf if use.op.name == "maxPool2d" else 0.0)
        made = b.apply(use.op, [wide, *use.inputs[1:]], attrs)
        average = use.op.name == "averagePool2d"
        return b.mul(made, _correction(b, use, both)) if average else made

    yield form


def _correction(b: GraphBuilder, use: Use, both: tuple[Windows, Windows]) -> Any:
    """For each output of an average pool, the window's elements over those that are there."""
    dtype, out = use.input(0).dtype, _sizes(use.outputs[0][1])
    area = both[0].window * both[1].window
    factors = [area / (high * wide) for high in both[0].there() for wide in both[1].there()]
    shape = tuple(out[axis] if axis in use.spatial else 1 for axis in range(4))
    data = struct.pack(f"<{len(factors)}{STRUCT[dtype]}", *factors)
    return b.constant(dtype, shape, data=data)


def cropped(b: GraphBuilder, use: Use) -> Iterator[Form]:
    """Transposed convolution without padding, then a slice: for padding that is got wrong."""
    pads, strides = use.ints("padding"), use.ints("strides", 1)
    if use.op.name != "convTranspose2d" or not any(pads):
        return
    x, out = use.input(0), _sizes(use.outputs[0][1])
    starts, extra = [0] * 4, []
    for index, axis in enumerate(use.spatial):
        whole = (evaluate(x.shape[axis], {}) - 1) * strides[index]
        whole += (use.window[index] - 1) * use.ints("dilations", 1)[index] + 1
        starts[axis] = pads[2 * index]
        extra.append(max(starts[axis] + out[axis] - whole, 0))
    if any(more >= stride for more, stride in zip(extra, strides, strict=False)):
        return  # outputPadding has to be below the stride

    def form() -> Any:
        attrs = {name: attr for name, attr in use.attrs.items() if name != "outputSizes"}
        attrs |= {"padding": (0,) * 4, "outputPadding": tuple(extra)}
        return b.slice(b.apply(use.op, use.inputs, attrs), starts, list(out))

    yield form


def edges(b: GraphBuilder, use: Use) -> Iterator[Form]:
    """Edge padding as slices put beside: for a browser without that mode."""
    if use.op.name != "pad" or use.attrs.get("mode") != "edge":
        return

    def form() -> Any:
        x = use.input(0)
        sides = zip(use.ints("beginningPadding"), use.ints("endingPadding"), strict=True)
        for axis, (before, beyond) in enumerate(sides):
            parts = [_edge(b, x, axis, 0, before), x,
                     _edge(b, x, axis, evaluate(x.shape[axis], {}) - 1, beyond)]  # fmt: skip
            there = [part for part in parts if part is not None]
            x = b.concat(there, axis=axis) if len(there) > 1 else x
        return x

    yield form


def _edge(b: GraphBuilder, x: Value, axis: int, at: int, times: int) -> Value | None:
    """What lies at `at` of an axis, `times` times over."""
    if times == 0:
        return None
    starts, sizes = [0] * len(x.shape), list(_sizes(x.shape))
    starts[axis], sizes[axis] = at, 1
    made: Value = b.slice(x, starts, sizes)
    sizes[axis] = times
    return made if times == 1 else b.expand(made, new_shape=sizes)


def nearest(b: GraphBuilder, use: Use) -> Iterator[Form]:
    """Nearest-neighbour resampling as a choice of rows: for another rule at halves."""
    mode = use.attrs.get("mode", "nearest-neighbor")
    if use.op.name != "resample2d" or mode != "nearest-neighbor":
        return

    def form() -> Any:
        x = use.input(0)
        for axis, new in enumerate(_sizes(use.outputs[0][1])):
            old = evaluate(x.shape[axis], {})
            if old != new:
                # i -> the integer nearest to (i + 1/2)·old/new - 1/2, the smaller one at halves
                chosen = [-((2 * new - (2 * i + 1) * old) // (2 * new)) for i in range(new)]
                rows = [min(max(each, 0), old - 1) for each in chosen]
                x = b.gather(x, b.vector(DType.INT32, rows), axis=axis)
        return x

    yield form


def in_rows(b: GraphBuilder, use: Use) -> Iterator[Form]:
    """gatherND and scatterND with one list of coordinates: for indices of a high rank."""
    if use.op.name not in ("gatherND", "scatterND") or len(use.input(1).shape) < 3:
        return
    *lead, depth = _sizes(use.input(1).shape)
    count = prod(lead)

    def form() -> Any:
        rows = b.reshape(use.input(1), (count, depth))
        if use.op.name == "gatherND":
            return b.reshape(b.gather_nd(use.input(0), rows), _sizes(use.outputs[0][1]))
        rest = _sizes(use.input(2).shape)[len(lead) :]
        return b.scatter_nd(use.input(0), rows, b.reshape(use.input(2), (count, *rest)))

    yield form


def by_coordinates(b: GraphBuilder, use: Use) -> Iterator[Form]:
    """gatherElements and scatterElements with whole coordinates: for computed indices."""
    if use.op.name not in ("gatherElements", "scatterElements"):
        return
    axis, indices = use.attrs["axis"], use.input(1)
    shape = _sizes(indices.shape)

    def column(at: int, size: int) -> Any:
        if at == axis:
            line = indices if indices.dtype is DType.INT32 else b.cast(indices, DType.INT32)
        else:
            alone = tuple(size if each == at else 1 for each in range(len(shape)))
            line = b.expand(b.reshape(b.arange(DType.INT32, size), alone), shape)
        return b.reshape(line, (*shape, 1))

    def form() -> Any:
        columns = [column(at, size) for at, size in enumerate(shape)]
        where = b.concat(columns, axis=len(shape))
        if use.op.name == "gatherElements":
            return b.gather_nd(use.input(0), where)
        return b.scatter_nd(use.input(0), where, use.input(2))

    yield form


RULES: tuple[Rule, ...] = (
    magnitude, narrow_indices, one_index, widened, flattened, padded_before,
    cropped, edges, nearest, in_rows, by_coordinates,
)  # fmt: skip


def _sizes(shape: Any) -> tuple[int, ...]:
    return tuple(evaluate(dim, {}) for dim in shape)
