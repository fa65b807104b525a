"""Elements by index: gather and scatter, and what is made of them."""

from __future__ import annotations

from math import prod

from ...dtypes import DType
from ...graph.graph import Value
from .fold import ints, need_room
from .registry import Call, onnx_op

F32, I32, I64, U8 = DType.FLOAT32, DType.INT32, DType.INT64, DType.UINT8
INDEX = frozenset({I32, I64, DType.UINT32})


def index(c: Call, value: Value) -> Value:
    """`value` in a type that may index."""
    return value if value.dtype in INDEX else c.b.cast(value, I32)


def wrapped(c: Call, indices: Value, length: int) -> Value:
    """Indices less than 0 counted from the end."""
    zero, size = c.b.scalar(indices.dtype, 0), c.b.scalar(indices.dtype, length)
    return c.b.where(c.b.lesser(indices, zero), c.b.add(indices, size), indices)


@onnx_op("Gather")
def Gather(c: Call) -> Value:
    """Slices along an axis."""
    axis = c.axis("axis", 0)
    return c.b.gather(c[0], index(c, c[1]), axis=axis)


@onnx_op("GatherElements", since=11)
def GatherElements(c: Call) -> Value:
    """One element for each index, along an axis; the other axes may be shorter than the input's."""
    x, axis, shape = c[0], c.axis("axis", 0), c.shape(1)
    sizes = [size if each == axis else shape[each] for each, size in enumerate(c.shape(0))]
    if tuple(sizes) != c.shape(0):
        x = c.b.slice(x, [0] * len(sizes), sizes)
    return c.b.gather_elements(x, index(c, c[1]), axis=axis)


@onnx_op("GatherND", since=11)
def GatherND(c: Call) -> Value:
    """Slices by coordinates, for each element of the first `batch_dims` axes."""
    x, indices, batch = c[0], index(c, c[1]), c.int("batch_dims", 0)
    if batch == 0:
        return c.b.gather_nd(x, indices)
    shape, where = c.shape(0), ints(indices)
    count = prod(shape[:batch])
    flat = c.b.reshape(x, (count, *shape[batch:]))
    inner = prod(where[batch:-1])
    table = c.b.reshape(indices, (count, inner, where[-1]))
    rows = c.b.literal([[[row]] * inner for row in range(count)], indices.dtype)
    made = c.b.gather_nd(flat, c.b.concat([rows, table], 2))
    return c.b.reshape(made, (*where[:-1], *shape[batch + where[-1] :]))


def coordinates(c: Call, indices: Value, axis: int, length: int) -> Value:
    """Full coordinates [elements, rank] of what `indices` along `axis` names."""
    import numpy as np

    shape = ints(indices)
    grid = np.indices(shape).reshape(len(shape), -1, 1)
    columns = [c.b.literal(places, indices.dtype) for places in grid]
    flat = c.b.reshape(indices, (prod(shape), 1))
    columns[axis] = wrapped(c, flat, length)
    return columns[0] if len(columns) == 1 else c.b.concat(columns, 1)


@onnx_op("Scatter", since=9)
@onnx_op("ScatterElements", since=11)
def ScatterElements(c: Call) -> Value:
    """One element for each index put in, or combined with what is there."""
    x, axis = c[0], c.axis("axis", 0)
    indices = index(c, c[1])
    if 0 in ints(indices):
        return x
    mode = c.str("reduction", "none")
    rest = all(a == b for each, (a, b) in enumerate(zip(ints(x), ints(indices), strict=True))
               if each != axis)  # fmt: skip
    if mode == "none" and rest:
        return c.b.scatter_elements(x, indices, c[2], axis=axis)
    table = coordinates(c, indices, axis, c.shape(0)[axis])
    updates = c.b.reshape(c[2], (prod(ints(indices)),))
    return scatter_nd(c, x, table, updates, mode)


@onnx_op("ScatterND", since=11)
def ScatterND(c: Call) -> Value:
    """Slices by coordinates put in, or combined with what is there."""
    if 0 in c.shape(1):
        return c[0]
    return scatter_nd(c, c[0], index(c, c[1]), c[2], c.str("reduction", "none"))


def scatter_nd(c: Call, x: Value, indices: Value, updates: Value, mode: str) -> Value:
    """WebNN's own scatter, or with a `mode`: for each place all the updates that fall on it.

    WebNN has no scatter that combines. A mask [places, updates] says what falls where; it costs
    their product in memory.
    """
    if mode == "none":
        return c.b.scatter_nd(x, indices, updates)
    shape, depth = ints(x), ints(indices)[-1]
    count, places, inner = prod(ints(indices)[:-1]), prod(shape[:depth]), prod(shape[depth:])
    flat = c.b.reshape(indices, (count, depth))
    steps = c.b.literal([prod(shape[axis + 1 : depth]) for axis in range(depth)], I32)
    sizes = c.b.literal(list(shape[:depth]), I32)
    flat = c.b.cast(flat, I32) if flat.dtype is not I32 else flat
    flat = c.b.where(c.b.lesser(flat, c.b.scalar(I32, 0)), c.b.add(flat, sizes), flat)
    where = c.b.reduce_sum(c.b.mul(flat, steps), axes=[1])
    if places * count * (1 if mode == "add" else inner) > 1 << 28:
        raise c.unsupported(f"reduction {mode} of {count} updates to {places} places")
    mask = c.b.equal(c.b.literal([[row] for row in range(places)], I32), where)
    table = c.b.reshape(updates, (count, inner))
    base = c.b.reshape(x, (places, inner))
    if mode == "add" and x.dtype.is_float:
        made = c.b.add(base, c.b.matmul(c.b.cast(mask, x.dtype), table))
        return c.b.reshape(made, shape)
    method, reduce, neutral = {
        "add": ("add", "reduce_sum", 0), "mul": ("mul", "reduce_product", 1),
        "max": ("max", "reduce_max", _limit(x.dtype, -1)),
        "min": ("min", "reduce_min", _limit(x.dtype, 1)),
    }[mode]  # fmt: skip
    spread = c.b.where(c.b.reshape(mask, (places, count, 1)), table,
                       c.b.scalar(x.dtype, neutral))  # fmt: skip
    together = getattr(c.b, reduce)(spread, axes=[1])
    return c.b.reshape(getattr(c.b, method)(base, together), shape)


def _limit(dtype: DType, sign: int) -> float:
    import numpy as np

    if dtype.is_float:
        return sign * float("inf")
    limits = np.iinfo(dtype.value)
    return int(limits.max if sign > 0 else limits.min)


@onnx_op("OneHot", since=9)
def OneHot(c: Call) -> Value:
    """`on` at the index along a new axis, `off` elsewhere; nothing for an index out of range."""
    depth = int(c.array(1).reshape(-1)[0])
    need_room(depth)
    shape = c.shape(0)
    axis = c.positive(c.int("axis", -1), len(shape) + 1)
    indices = c[0] if c[0].dtype in (I32, I64) else c.b.cast(c[0], I64)
    indices = wrapped(c, indices, depth)
    indices = c.b.reshape(indices, (*shape[:axis], 1, *shape[axis:]))
    places = [depth if each == axis else 1 for each in range(len(shape) + 1)]
    hot = c.b.equal(indices, c.b.reshape(c.b.arange(indices.dtype, depth), places))
    off, on = (c.b.slice(c[2], [place], [1]) for place in (0, 1))
    return c.b.where(hot, on, off)


@onnx_op("NonZero", since=9)
def NonZero(c: Call) -> Value:
    """Coordinates of what is not 0: known, since their number is a shape."""
    import numpy as np

    return c.b.literal(np.array(np.nonzero(np.atleast_1d(c.array(0)))), I64)


@onnx_op("Compress", since=9)
def Compress(c: Call) -> Value:
    """What a condition chooses; the condition is known, since it gives a shape."""
    import numpy as np

    x = c[0]
    places = np.flatnonzero(c.array(1).reshape(-1))
    if "axis" in c.node.attributes:
        return c.b.gather(x, c.b.literal(places, I32), axis=c.axis("axis"))
    return c.b.gather(c.b.reshape(x, (prod(c.shape(0)),)), c.b.literal(places, I32))


@onnx_op("Unique", since=11)
def Unique(c: Call) -> tuple[Value, ...]:
    """Different elements, or slices along an axis: known, since their number is a shape."""
    import numpy as np

    x = c.array(0)
    axis = c.axis("axis") if "axis" in c.node.attributes else None
    values, first, inverse, counts = np.unique(x, True, True, True, axis=axis)
    inverse = inverse.reshape(-1)
    if not c.int("sorted", 1):
        order = np.argsort(first)
        back = np.argsort(order)
        values = np.take(values, order, 0 if axis is None else axis)
        first, counts, inverse = first[order], counts[order], back[inverse]
    return (c.b.literal(values, c[0].dtype),
            *(c.b.literal(each, I64) for each in (first, inverse, counts)))  # fmt: skip


@onnx_op("TopK", since=10)
def TopK(c: Call) -> tuple[Value, Value]:
    """The k largest or smallest along an axis, in order; of equal ones the first."""
    x, axis = c[0], c.axis("axis", -1)
    k = int(c.array(1).reshape(-1)[0])
    largest, rank = bool(c.int("largest", 1)), c.rank(0)
    order = [each for each in range(rank) if each != axis] + [axis]
    turned = c.b.transpose(x, permutation=order) if axis != rank - 1 else x
    n = c.shape(0)[axis]
    if k == 0 or 0 in c.shape(0):
        shape = [k if each == axis else size for each, size in enumerate(c.shape(0))]
        return (c.b.expand(c.b.scalar(x.dtype, 0), shape), c.b.expand(c.b.scalar(I64, 0), shape))
    where = _ranked(c, turned, n, k, largest) if n <= 1024 else _picked(c, turned, n, k, largest)
    made = c.b.gather_elements(turned, where, axis=rank - 1)
    if axis != rank - 1:
        back = [order.index(each) for each in range(rank)]
        made, where = (c.b.transpose(v, permutation=back) for v in (made, where))
    return made, where


def _ranked(c: Call, x: Value, n: int, k: int, largest: bool) -> Value:
    """Places in order, by how many elements come before each: n² comparisons."""
    import numpy as np

    shape = ints(x)
    mine, theirs = c.b.reshape(x, (*shape, 1)), c.b.reshape(x, (*shape[:-1], 1, n))
    beats = c.b.greater(theirs, mine) if largest else c.b.lesser(theirs, mine)
    earlier = c.b.literal(np.tril(np.ones((n, n)), -1), U8)
    ties = c.b.logical_and(c.b.equal(theirs, mine), earlier)
    before = c.b.reduce_sum(c.b.cast(c.b.logical_or(beats, ties), I32), axes=[len(shape)])
    places = c.b.expand(c.b.literal(list(range(n)), I64), shape)
    blank = c.b.expand(c.b.scalar(I64, 0), shape)
    order = c.b.scatter_elements(blank, before, places, axis=len(shape) - 1)
    return c.b.slice(order, [0] * len(shape), [*shape[:-1], k])


def _picked(c: Call, x: Value, n: int, k: int, largest: bool) -> Value:
    """Places in order, one best after the other."""
    if k > 256:
        raise c.unsupported(f"{k} of {n} elements")
    last = len(x.shape) - 1
    lost = c.b.scalar(x.dtype, _limit(x.dtype, -1 if largest else 1))
    every = c.b.literal(list(range(n)), I64)
    found = []
    for _ in range(k):
        best = (c.b.arg_max if largest else c.b.arg_min)(
            x, last, keep_dimensions=True, output_data_type=I64)  # fmt: skip
        found.append(best)
        x = c.b.where(c.b.equal(best, every), lost, x)
    return found[0] if k == 1 else c.b.concat(found, last)


@onnx_op("TensorScatter", since=24)
def TensorScatter(c: Call) -> Value:
    """A part of a cache replaced, from a place of its own for each example of the batch."""
    x, update, axis = c[0], c[1], c.axis("axis", -2)
    shape, new = c.shape(0), c.shape(1)
    size, count = shape[axis], new[axis]
    start = c.get(2) or c.b.literal([0] * shape[0], I64)
    wide = [size if each == axis else 1 for each in range(len(shape))]
    places = c.b.reshape(c.b.literal(list(range(size)), I64), wide)
    first = c.b.reshape(start, [shape[0], *[1] * (len(shape) - 1)])
    offset = c.b.sub(places, first)
    if c.str("mode", "linear") == "circular":
        offset = wrapped(c, offset, size)
    inside = c.b.logical_and(c.b.greater_or_equal(offset, c.b.scalar(I64, 0)),
                             c.b.lesser(offset, c.b.scalar(I64, count)))  # fmt: skip
    taken = c.b.where(inside, offset, c.b.scalar(I64, 0))
    taken = c.b.expand(taken, [size if each == axis else n for each, n in enumerate(new)])
    return c.b.where(inside, c.b.gather_elements(update, taken, axis=axis), x)
