"""Elements between elements: grids, regions, deformed windows.

`sample` takes a tensor [n, channels, sizes…] and for each of n examples points, each as taps (an
index and a weight value per axis), and gathers and adds what lies around every point.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import TypeAlias

from ...dtypes import DType
from ...graph.graph import Value
from .fold import ints, need_room
from .registry import Call, onnx_op

F32, I32, U8 = DType.FLOAT32, DType.INT32, DType.UINT8
#: For an axis: indices (floats, whole, within the axis) and weights, both [n, points].
Tap: TypeAlias = tuple[Value, Value]


def sample(c: Call, x: Value, taps: list[list[Tap]]) -> Value:
    """Sums of weighted elements [n, points, channels]."""
    n, channels, *sizes = ints(x)
    rank = len(sizes)
    rows = c.b.transpose(x, permutation=(0, *range(2, rank + 2), 1))
    rows = c.b.reshape(rows, (n * prod(sizes), channels))
    images = c.b.literal([[float(i * prod(sizes))] for i in range(n)], F32)
    total: Value | None = None
    for choice in product(*taps):
        flat, weight = images, None
        for axis, (place, share) in enumerate(choice):
            step = c.b.scalar(F32, prod(sizes[axis + 1 :]))
            flat = c.b.add(flat, c.b.mul(place, step))
            weight = share if weight is None else c.b.mul(weight, share)
        assert weight is not None, "a point has axes"
        found = c.b.gather(rows, c.b.cast(flat, I32))
        weight = c.b.reshape(weight, (*ints(weight), 1))
        weight = weight if x.dtype is F32 else c.b.cast(weight, x.dtype)
        part = c.b.mul(found, weight)
        total = part if total is None else c.b.add(total, part)
    assert total is not None, "a point has taps"
    return total


def inside(c: Call, at: Value, size: int) -> Value:
    """1 where a place is in the axis, else 0, as floats."""
    good = c.b.logical_and(c.b.greater_or_equal(at, c.b.scalar(F32, 0)),
                           c.b.lesser_or_equal(at, c.b.scalar(F32, size - 1)))  # fmt: skip
    return c.b.cast(good, F32)


def clamped(c: Call, at: Value, size: int) -> Value:
    """A place moved into the axis."""
    return c.b.clamp(at, min_value=0, max_value=size - 1)


def linear(c: Call, at: Value, size: int) -> list[Tap]:
    """The two elements around a place; those outside weigh nothing."""
    one = c.b.scalar(F32, 1)
    low = c.b.floor(at)
    part = c.b.sub(at, low)
    high = c.b.add(low, one)
    return [
        (clamped(c, low, size), c.b.mul(c.b.sub(one, part), inside(c, low, size))),
        (clamped(c, high, size), c.b.mul(part, inside(c, high, size))),
    ]


@onnx_op("GridSample", since=16)
def GridSample(c: Call) -> Value:
    """Elements at the points of a grid [n, sizes…, axes], which lie in -1 … 1, last axis first."""
    return _Grid(c).run()


class _Grid:
    def __init__(self, c: Call) -> None:
        self.c = c
        self.mode = {"bilinear": "linear", "bicubic": "cubic"}.get(
            c.str("mode", "linear"), c.str("mode", "linear"))  # fmt: skip
        self.padding = c.str("padding_mode", "zeros")
        self.align = bool(c.int("align_corners", 0))

    def run(self) -> Value:
        c, x, grid = self.c, self.c[0], self.c[1]
        n, channels, *sizes = ints(x)
        _, *points, rank = ints(grid)
        grid = grid if grid.dtype is F32 else c.b.cast(grid, F32)
        flat = c.b.reshape(grid, (n, prod(points), rank))
        taps = []
        for axis, size in enumerate(sizes):
            at = c.b.slice(flat, [0, 0, rank - 1 - axis], [n, prod(points), 1])
            taps.append(self._taps(self._place(c.b.reshape(at, (n, prod(points))), size), size))
        made = c.b.transpose(sample(c, x, taps), permutation=(0, 2, 1))
        return c.b.reshape(made, (n, channels, *points))

    def _place(self, at: Value, size: int) -> Value:
        """-1 … 1 as places of the axis."""
        c = self.c
        half = (size - 1) / 2 if self.align else size / 2
        return c.b.linear(at, alpha=half, beta=(size - 1) / 2)

    def _fold(self, at: Value, size: int) -> Value:
        """A place outside as the padding has it."""
        c = self.c
        if self.padding == "border":
            return clamped(c, at, size)
        if self.padding != "reflection":
            return at
        low, high = (0, size - 1) if self.align else (-0.5, size - 0.5)
        span = high - low
        if span == 0:
            return c.b.mul(at, c.b.scalar(F32, 0))
        off = c.b.abs(c.b.sub(at, c.b.scalar(F32, low)))
        turns = c.b.floor(c.b.div(off, c.b.scalar(F32, span)))
        rest = c.b.sub(off, c.b.mul(turns, c.b.scalar(F32, span)))
        half = c.b.mul(turns, c.b.scalar(F32, 0.5))
        odd = c.b.greater(half, c.b.floor(half))
        back = c.b.where(odd, c.b.sub(c.b.scalar(F32, span), rest), rest)
        return clamped(c, c.b.add(back, c.b.scalar(F32, low)), size)

    def _taps(self, at: Value, size: int) -> list[Tap]:
        c = self.c
        if self.mode == "nearest":
            near = self._fold(c.b.round_even(at), size)
            return [self._tap(near, c.b.scalar(F32, 1), size)]
        if self.mode == "linear":
            folded = self._fold(at, size)
            return linear(c, folded, size)
        low = c.b.floor(at)
        part = c.b.sub(at, low)
        taps = []
        for offset in (-1, 0, 1, 2):
            near = self._fold(c.b.add(low, c.b.scalar(F32, offset)), size)
            distance = c.b.abs(c.b.sub(part, c.b.scalar(F32, offset)))
            taps.append(self._tap(near, _cubic(c, distance), size))
        return taps

    def _tap(self, near: Value, weight: Value, size: int) -> Tap:
        return clamped(self.c, near, size), self.c.b.mul(weight, inside(self.c, near, size))


def _cubic(c: Call, x: Value, a: float = -0.75) -> Value:
    """The cubic convolution's weight at a distance of 0 to 2."""
    square = c.b.mul(x, x)
    near = c.b.linear(c.b.mul(square, c.b.linear(x, alpha=a + 2, beta=-(a + 3))), beta=1)
    inner = c.b.linear(c.b.mul(x, c.b.linear(x, alpha=a, beta=-5 * a)), beta=8 * a)
    far = c.b.linear(c.b.mul(x, inner), beta=-4 * a)
    return c.b.where(c.b.lesser_or_equal(x, c.b.scalar(F32, 1)), near, far)


@onnx_op("AffineGrid", since=20)
def AffineGrid(c: Call) -> Value:
    """theta [n, axes, axes + 1] applied to the points of a grid of -1 … 1."""
    import numpy as np

    theta = c[0]
    n, _, *sizes = c.list(1) or ()
    align = bool(c.int("align_corners", 0))
    need_room(prod(sizes))
    lines = [np.linspace(-1, 1, size) if align else (np.arange(size) * 2 + 1) / size - 1
             for size in sizes]  # fmt: skip
    grid = np.meshgrid(*lines, indexing="ij")
    points = np.stack([*grid[::-1], np.ones(sizes)], -1).reshape(1, prod(sizes), len(sizes) + 1)
    made = c.b.matmul(c.b.literal(points, theta.dtype), c.b.transpose(theta, permutation=(0, 2, 1)))
    return c.b.reshape(made, (n, *sizes, len(sizes)))


@onnx_op("RoiAlign", since=10)
def RoiAlign(c: Call) -> Value:
    """The mean or the largest of points within the bins of every region."""
    x, rois, batch = c[0], c[1], c[2]
    half = c.opset >= 16 and c.str("coordinate_transformation_mode", "half_pixel") == "half_pixel"
    ratio = c.int("sampling_ratio", 0)
    bins = (c.int("output_height", 1), c.int("output_width", 1))
    n = c.shape(1)[0]
    channels, *sizes = c.shape(0)[1:]
    steps = (ratio, ratio) if ratio > 0 else _adaptive(c, bins, half)
    scaled = c.b.linear(rois, alpha=c.float("spatial_scale", 1), beta=-0.5 if half else 0)
    places = []
    for axis in (1, 0):  # rows, which are y, first
        low, high = (c.b.slice(scaled, [0, column], [n, 1]) for column in (axis, axis + 2))
        size = c.b.sub(high, low)
        size = size if half else c.b.max(size, c.b.scalar(F32, 1))
        count = bins[1 - axis] * steps[1 - axis]
        parts = [(step + 0.5) / count for step in range(count)]
        places.append(c.b.add(low, c.b.mul(size, c.b.literal([parts], F32))))
    rows, columns = ints(places[0])[1], ints(places[1])[1]
    ys = c.b.expand(c.b.reshape(places[0], (n, rows, 1)), (n, rows, columns))
    xs = c.b.expand(c.b.reshape(places[1], (n, 1, columns)), (n, rows, columns))
    chosen = c.b.gather(x, batch)
    flat = [c.b.reshape(each, (n, rows * columns)) for each in (ys, xs)]
    taps = [_edge(c, at, size) for at, size in zip(flat, sizes, strict=True)]
    shape = (n, bins[0], steps[0], bins[1], steps[1], channels)
    if c.str("mode", "avg") == "avg":
        found = c.b.reduce_mean(c.b.reshape(sample(c, chosen, taps), shape), axes=[2, 4])
    else:
        every = [c.b.reshape(sample(c, chosen, [[a], [b]]), shape) for a, b in product(*taps)]
        best = every[0]
        for each in every[1:]:
            best = c.b.max(best, each)
        found = c.b.reduce_max(best, axes=[2, 4])
    return c.b.transpose(found, permutation=(0, 3, 1, 2))


def _adaptive(c: Call, bins: tuple[int, int], half: bool) -> tuple[int, int]:
    """As many points as a bin has elements: the regions are known, and all of a size."""
    import numpy as np

    rois = c.array(1) * c.float("spatial_scale", 1)
    sizes = np.stack([rois[:, 3] - rois[:, 1], rois[:, 2] - rois[:, 0]], 1)
    sizes = sizes if half else np.maximum(sizes, 1)
    counts = np.ceil(sizes / np.array(bins)).astype(int)
    if len(counts) and (counts != counts[0]).any():
        raise c.unsupported("sampling_ratio 0 with regions of different sizes")
    return (int(counts[0, 0]), int(counts[0, 1])) if len(counts) else (1, 1)


def _edge(c: Call, at: Value, size: int) -> list[Tap]:
    """Taps of a place that counts up to 1 outside the axis, as the edge."""
    low, high = c.b.scalar(F32, -1), c.b.scalar(F32, size)
    good = c.b.logical_and(c.b.greater_or_equal(at, low), c.b.lesser_or_equal(at, high))
    taps = linear(c, clamped(c, at, size), size)
    return [(place, c.b.mul(weight, c.b.cast(good, F32))) for place, weight in taps]


@onnx_op("DeformConv", since=19)
def DeformConv(c: Call) -> Value:
    """A convolution whose windows' elements are moved by offsets: samples, then a product."""
    from .convolution import window

    x, filter, offset, bias, mask = c[0], c[1], c[2], c.get(3), c.get(4)
    n, channels, *sizes = ints(x)
    out, per_group, *kernel = ints(filter)
    if len(sizes) != 2:
        raise c.unsupported(f"{len(sizes)} spatial axes")
    strides, dilations, before, _ = window(c, (kernel[0], kernel[1]), (sizes[0], sizes[1]))
    shape = ints(offset)[2:]
    groups, parts, k = c.int("group", 1), c.int("offset_group", 1), prod(kernel)
    points = k * prod(shape)
    moves = c.b.reshape(offset, (n * parts, k, 2, *shape))
    taps = []
    for axis in range(2):
        base = [[[float(o * strides[axis] + step * dilations[axis] - before[axis])
                  for o in range(shape[axis])] for step in range(kernel[axis])]]  # fmt: skip
        wide = [1, *(kernel if axis == 9 else [1, 1]), 1, 1]
        wide[1 + axis], wide[3 + axis] = kernel[axis], shape[axis]
        first = c.b.reshape(c.b.literal(base, F32), wide)
        first = c.b.expand(first, (1, *kernel, *shape))
        move = c.b.slice(moves, [0, 0, axis, 0, 0], [n * parts, k, 1, *shape])
        at = c.b.add(c.b.reshape(move, (n * parts, points)), c.b.reshape(first, (1, points)))
        taps.append(linear(c, at, sizes[axis]))
    found = sample(c, c.b.reshape(x, (n * parts, channels // parts, *sizes)), taps)
    if mask is not None:
        found = c.b.mul(found, c.b.reshape(mask, (n * parts, points, 1)))
    found = c.b.reshape(found, (n, parts, k, prod(shape), channels // parts))
    found = c.b.transpose(found, permutation=(0, 1, 4, 2, 3))
    found = c.b.reshape(found, (n, groups, channels // groups * k, prod(shape)))
    weights = c.b.reshape(filter, (1, groups, out // groups, per_group * k))
    made = c.b.reshape(c.b.matmul(weights, found), (n, out, *shape))
    return made if bias is None else c.b.add(made, c.b.reshape(bias, (1, out, 1, 1)))
