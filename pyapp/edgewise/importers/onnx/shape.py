"""Operators that move elements and compute none, and those that make constants."""

from __future__ import annotations

from math import prod

from ...dtypes import DType
from ...errors import FormatError, UnsupportedError
from ...formats.onnx import OnnxTensor
from ...graph.graph import Value
from .fold import ints, need_room
from .registry import Call, onnx_op

I32, I64 = DType.INT32, DType.INT64


@onnx_op("Constant")
def Constant(c: Call) -> Value:
    """A tensor of the model's, or numbers."""
    tensor = c.tensor("value")
    if tensor is not None:
        c.types[0] = tensor.dtype
        return c.importer.constant(tensor)
    for name, dtype in (("value_float", DType.FLOAT32), ("value_floats", DType.FLOAT32),
                        ("value_int", I64), ("value_ints", I64)):  # fmt: skip
        found = c.attr(name)
        if found is not None:
            return c.b.literal(found, dtype)
    raise c.unsupported(f"a constant of {sorted(c.node.attributes)}")


@onnx_op("ConstantOfShape", since=9)
def ConstantOfShape(c: Call) -> Value:
    """One number everywhere."""
    tensor = c.tensor("value") or OnnxTensor("", "FLOAT", (1,), data=bytes(4))
    number = c.importer.constant(tensor)
    c.types[0] = tensor.dtype
    return c.b.expand(c.b.reshape(number, ()), c.list(0) or ())


@onnx_op("Shape")
def Shape(c: Call) -> Value:
    """The shape, or a part of it: known."""
    return c.b.literal(list(c.shape(0)[c.int("start", 0):][:None]) if "end" not in c.node.attributes
                       else list(c.shape(0)[c.int("start", 0):c.int("end")]), I64)  # fmt: skip


@onnx_op("Size")
def Size(c: Call) -> Value:
    """The number of elements: known."""
    return c.b.literal(prod(c.shape(0)), I64)


@onnx_op("Reshape", since=5)
def Reshape(c: Call) -> Value:
    """0 keeps the input's size, unless `allowzero`; -1 is what is left."""
    shape, old = list(c.list(1) or ()), c.shape(0)
    if not c.int("allowzero", 0):
        if any(size == 0 and axis >= len(old) for axis, size in enumerate(shape)):
            raise FormatError("Reshape", got=f"shape {shape}", need=f"0 only within {old}")
        shape = [old[axis] if size == 0 else size for axis, size in enumerate(shape)]
    if -1 in shape:
        rest = prod(size for size in shape if size != -1)
        shape[shape.index(-1)] = prod(old) // rest if rest else 0
    return c.b.reshape(c[0], shape)


@onnx_op("Flatten")
def Flatten(c: Call) -> Value:
    """A matrix of the axes before `axis` and the others."""
    shape, rank = c.shape(0), c.rank(0)
    axis = c.int("axis", 1)
    axis = axis + rank if axis < 0 else axis
    return c.b.reshape(c[0], (prod(shape[:axis]), prod(shape[axis:])))


@onnx_op("Squeeze")
def Squeeze(c: Call) -> Value:
    """Without some axes of size 1; all of them by default."""
    shape, axes = c.shape(0), c.list_or(1, "axes")
    drop = {axis for axis, size in enumerate(shape) if size == 1}
    if axes is not None:
        drop = {c.positive(axis, len(shape)) for axis in axes}
    return c.b.reshape(c[0], [size for axis, size in enumerate(shape) if axis not in drop])


@onnx_op("Unsqueeze")
def Unsqueeze(c: Call) -> Value:
    """With axes of size 1 at the places that they have in the result."""
    axes = c.list_or(1, "axes") or ()
    rank = c.rank(0) + len(axes)
    places = {c.positive(axis, rank) for axis in axes}
    sizes = iter(c.shape(0))
    return c.b.reshape(c[0], [1 if axis in places else next(sizes) for axis in range(rank)])


@onnx_op("Transpose")
def Transpose(c: Call) -> Value:
    """Axes in another order, reversed by default."""
    order = c.ints("perm", tuple(reversed(range(c.rank(0)))))
    return c[0] if order == tuple(range(c.rank(0))) else c.b.transpose(c[0], permutation=order)


@onnx_op("Concat")
def Concat(c: Call) -> Value:
    """Inputs one after the other. Empty ones of a list are left out."""
    values = [c[place] for place in range(len(c.inputs))]
    axis = c.axis("axis")
    full = [value for value in values if ints(value)[axis]] or values[:1]
    return full[0] if len(full) == 1 else c.b.concat(full, axis)


@onnx_op("Split")
def Split(c: Call) -> tuple[Value, ...]:
    """Parts of given sizes, or as many as there are outputs, the last one shorter."""
    axis = c.axis("axis", 0)
    length, sizes = c.shape(0)[axis], c.list_or(1, "split")
    if sizes is None:
        count = c.int("num_outputs", len(c.node.outputs))
        if count != len(c.node.outputs):
            raise FormatError("Split", got=f"{len(c.node.outputs)} outputs", need=f"{count}")
        size = -(-length // count)
        sizes = tuple(max(0, min(size, length - size * part)) for part in range(count))
    return c.b.split(c[0], list(sizes), axis=axis)


@onnx_op("Slice")
def Slice(c: Call) -> Value:
    """Until opset 9: attributes, no steps."""
    starts, ends = c.ints("starts") or (), c.ints("ends") or ()
    axes = c.ints("axes") or tuple(range(len(starts)))
    return _slice(c, starts, ends, axes, (1,) * len(starts))


@onnx_op("Slice", since=10)
def Slice_10(c: Call) -> Value:
    """As Python's slices, a step of less than 0 included."""
    starts, ends = c.list(1) or (), c.list(2) or ()
    axes = c.list(3) or tuple(range(len(starts)))
    return _slice(c, starts, ends, axes, c.list(4) or (1,) * len(starts))


def _slice(
    c: Call, starts: tuple[int, ...], ends: tuple[int, ...], axes: tuple[int, ...],
    steps: tuple[int, ...],
) -> Value:  # fmt: skip
    shape = c.shape(0)
    first, count, stride = [0] * len(shape), list(shape), [1] * len(shape)
    back: list[int] = []
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        place = c.positive(axis, len(shape))
        if step == 0:
            raise FormatError("Slice step", got="0", need="another number")
        taken = range(shape[place])[start:end:step]
        low = min(taken[0], taken[-1]) if taken else 0
        first[place], stride[place] = low, abs(step)
        count[place] = abs(taken[-1] - taken[0]) + 1 if taken else 0
        if step < 0 and len(taken) > 1:
            back.append(place)
    x = c[0]
    if tuple(count) != shape or any(first):
        x = c.b.slice(x, first, count, strides=[max(1, s) for s in stride])
    elif any(s > 1 for s in stride):
        x = c.b.slice(x, first, count, strides=stride)
    return c.b.reverse(x, axes=back) if back else x


@onnx_op("Expand", since=8)
def Expand(c: Call) -> Value:
    """Broadcast with a shape, which may be the smaller one."""
    want, have = c.list(1) or (), c.shape(0)
    rank = max(len(want), len(have))
    a, b = (1,) * (rank - len(have)) + have, (1,) * (rank - len(want)) + tuple(want)
    shape = [y if x == 1 else x for x, y in zip(a, b, strict=True)]
    return c[0] if tuple(shape) == have else c.b.expand(c[0], shape)


@onnx_op("Tile", since=6)
def Tile(c: Call) -> Value:
    """Repeated along every axis."""
    return c.b.tile(c[0], c.list(1) or ())


@onnx_op("Pad")
def Pad(c: Call) -> Value:
    """Around the input, or of it where a number is less than 0."""
    pads, shape = c.list_or(1, "pads") or (), c.shape(0)
    axes = c.list(3)
    places = range(len(shape)) if axes is None else [c.positive(a, len(shape)) for a in axes]
    before, after = [0] * len(shape), [0] * len(shape)
    for index, axis in enumerate(places):
        before[axis], after[axis] = pads[index], pads[index + len(pads) // 2]
    return padded(c, c[0], before, after, c.str("mode", "constant"), _filler(c))


def _filler(c: Call) -> float:
    if c.opset < 11:
        return c.float("value", 0)
    value = c.get(2)
    return 0 if value is None else c.b.array(value).reshape(-1)[0].item()


def padded(
    c: Call, x: Value, before: list[int], after: list[int], mode: str, number: float
) -> Value:
    """`x` with margins, which may be less than 0."""
    if min([*before, *after], default=0) < 0:
        starts = [max(0, -margin) for margin in before]
        sizes = [size - start - max(0, -end)
                 for size, start, end in zip(ints(x), starts, after, strict=True)]  # fmt: skip
        x = c.b.slice(x, starts, sizes)
        before, after = ([max(0, margin) for margin in side] for side in (before, after))
    if not any(before) and not any(after):
        return x
    if mode == "wrap":
        return _wrapped(c, x, before, after)
    if mode not in ("constant", "edge", "reflect"):
        raise UnsupportedError("Pad mode", got=mode, need="constant, edge, reflect or wrap")
    if mode == "constant":
        return c.b.pad(x, before, after, mode="constant", value=number)
    if mode == "reflect" and not all(
        max(margins) < size for *margins, size in zip(before, after, ints(x), strict=True)
    ):
        return _reflected(c, x, before, after)
    return c.b.pad(x, before, after, mode={"edge": "edge", "reflect": "reflection"}[mode])


def _wrapped(c: Call, x: Value, before: list[int], after: list[int]) -> Value:
    for axis, (low, high) in enumerate(zip(before, after, strict=True)):
        if low or high:
            size = ints(x)[axis]
            need_room(low + size + high)
            places = [place % size for place in range(-low, size + high)]
            x = c.b.gather(x, c.b.literal(places, I32), axis=axis)
    return x


def _reflected(c: Call, x: Value, before: list[int], after: list[int]) -> Value:
    """Margins wider than the input: reflected again and again."""
    for axis, (low, high) in enumerate(zip(before, after, strict=True)):
        if low or high:
            size = ints(x)[axis]
            period = max(1, 2 * size - 2)
            need_room(low + size + high)
            places = [min(place % period, period - place % period) if size > 1 else 0
                      for place in range(-low, size + high)]  # fmt: skip
            x = c.b.gather(x, c.b.literal(places, I32), axis=axis)
    return x


@onnx_op("Range", since=11)
def Range(c: Call) -> Value:
    """Known: its length is a shape."""
    import numpy as np

    given = c.array(0), c.array(1), c.array(2)
    start, limit, delta = (each.reshape(-1)[0] for each in given)
    if delta == 0:
        raise FormatError("Range delta", got="0", need="another number")
    count = max(0, int(np.ceil((limit.astype(np.float64) - start) / delta)))
    need_room(count)
    return c.b.literal(start + np.arange(count) * delta, c[0].dtype)


@onnx_op("EyeLike", since=9)
def EyeLike(c: Call) -> Value:
    """A diagonal of ones: known."""
    import numpy as np

    dtype, onnx = c[0].dtype, c.type_of(0)
    if "dtype" in c.node.attributes:
        dtype, onnx = c.dtype("dtype", 0)
    c.types[0] = onnx
    rows, columns = c.shape(0)
    need_room(rows * columns)
    return c.b.literal(np.eye(rows, columns, k=c.int("k", 0)), dtype)


@onnx_op("Trilu", since=14)
def Trilu(c: Call) -> Value:
    """The upper or lower triangle, zeros elsewhere."""
    offset = 0 if c.get(1) is None else int(c.array(1).reshape(-1)[0])
    rows, columns = c.shape(0)[-2:]
    offset = max(-rows - 1, min(columns + 1, offset))
    if 0 in c.shape(0):
        return c[0]
    return c.b.triangular(c[0], upper=bool(c.int("upper", 1)), diagonal=offset)


@onnx_op("DepthToSpace")
def DepthToSpace(c: Call) -> Value:
    """Channels to blocks of pixels; DCR: depth, column, row order."""
    n, depth, height, width = c.shape(0)
    size = c.int("blocksize")
    rest = depth // (size * size)
    if c.str("mode", "DCR") == "DCR":
        x = c.b.reshape(c[0], (n, size, size, rest, height, width))
        x = c.b.transpose(x, permutation=(0, 3, 4, 1, 5, 2))
    else:
        x = c.b.reshape(c[0], (n, rest, size, size, height, width))
        x = c.b.transpose(x, permutation=(0, 1, 4, 2, 5, 3))
    return c.b.reshape(x, (n, rest, height * size, width * size))


@onnx_op("SpaceToDepth")
def SpaceToDepth(c: Call) -> Value:
    """Blocks of pixels to channels."""
    n, depth, height, width = c.shape(0)
    size = c.int("blocksize")
    x = c.b.reshape(c[0], (n, depth, height // size, size, width // size, size))
    order = (0, 3, 5, 1, 2, 4) if c.str("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
    x = c.b.transpose(x, permutation=order)
    return c.b.reshape(x, (n, depth * size * size, height // size, width // size))


@onnx_op("ReverseSequence", since=10)
def ReverseSequence(c: Call) -> Value:
    """The first `sequence_lens[i]` elements along time reversed, for each i of the batch."""
    time, batch = c.int("time_axis", 0), c.int("batch_axis", 1)
    shape = c.shape(0)
    x = c[0]
    places = c.b.literal(list(range(shape[time])), I64)
    lengths = c.b.reshape(c[1], (shape[batch], 1))
    one = c.b.scalar(I64, 1)
    turned = c.b.sub(c.b.sub(lengths, one), places)
    order = c.b.where(c.b.greater_or_equal(turned, c.b.scalar(I64, 0)), turned, places)
    wide = [shape[batch] if axis == batch else shape[time] if axis == time else 1
            for axis in range(len(shape))]  # fmt: skip
    if batch > time:
        order = c.b.transpose(order, permutation=(1, 0))
    index = c.b.expand(c.b.reshape(order, wide), shape)
    return c.b.gather_elements(x, index, axis=time)


@onnx_op("CenterCropPad", since=18)
def CenterCropPad(c: Call) -> Value:
    """The middle of the input in a given size, with zeros around where it is smaller."""
    want, shape = c.list(1) or (), c.shape(0)
    axes = c.ints("axes", tuple(range(len(shape)))) or ()
    before, after = [0] * len(shape), [0] * len(shape)
    for axis, size in zip(axes, want, strict=True):
        place = c.positive(axis, len(shape))
        missing = size - shape[place]
        before[place] = missing // 2 if missing >= 0 else -(-missing // 2)
        after[place] = missing - before[place]
    return padded(c, c[0], before, after, "constant", 0)


@onnx_op("Dropout")
def Dropout(c: Call) -> tuple[Value, Value]:
    """Nothing, as it is outside training; the mask is all true."""
    if c.get(2) is not None and bool(c.array(2).reshape(-1)[0]) and _ratio(c):
        raise c.unsupported("training_mode")
    c.types[1] = "BOOL"
    return c[0], c.b.expand(c.b.scalar(DType.UINT8, 1), c.shape(0))


def _ratio(c: Call) -> float:
    return 0.5 if c.get(1) is None else float(c.array(1).reshape(-1)[0])
