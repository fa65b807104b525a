"""Pools. WebNN's own where it has them (two axes); else all windows side by side, and a reduction.

Windows side by side (`_patches`) cost one copy of the input for each element of the window.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import TYPE_CHECKING

from ...dtypes import DType
from ...errors import FormatError
from ...graph.graph import Value
from .convolution import interleaved, window
from .fold import ints, need_room
from .registry import Call, onnx_op
from .shape import padded

if TYPE_CHECKING:
    from .arrays import Array

F32, I32, I64 = DType.FLOAT32, DType.INT32, DType.INT64


class Windows:
    """Where the windows of a pool lie: sizes, strides, dilations, margins, and how many there are.

    `after` reaches as far as the last window does, so that rounding down gives `out`.
    """

    def __init__(self, c: Call, x: Value) -> None:
        self.c, self.shape = c, ints(x)[2:]
        rank = len(self.shape)
        self.sizes = c.ints("kernel_shape") or (1,) * rank
        self.strides, self.dilations, self.before, given = window(c, self.sizes, self.shape)
        self.given = given
        up = bool(c.int("ceil_mode", 0))
        self.out, self.after = [], []
        for axis in range(rank):
            reach = (self.sizes[axis] - 1) * self.dilations[axis] + 1
            stride, low = self.strides[axis], self.before[axis]
            room = self.shape[axis] + low + given[axis] - reach
            steps = (-(-room // stride) if up else room // stride) + 1
            # a window may not begin behind the input and its first margin
            if up and (steps - 1) * stride >= self.shape[axis] + low:
                steps -= 1
            self.out.append(steps)
            last = (steps - 1) * stride + reach - self.shape[axis] - low
            self.after.append(max(last, given[axis]) if last > given[axis] else given[axis])

    def places(self) -> Array:
        """Flat places in the input of every window's elements [windows, elements]; -1: outside."""
        import numpy as np

        need_room(*self.out, *self.sizes)
        rank = len(self.shape)
        if min([*self.out, *self.sizes], default=1) < 1:
            raise FormatError("windows", got=f"{self.sizes} over {self.shape}", need="one at least")
        axes = []
        for axis in range(rank):
            starts = np.arange(self.out[axis]) * self.strides[axis] - self.before[axis]
            steps = np.arange(self.sizes[axis]) * self.dilations[axis]
            axes.append(starts[:, None] + steps[None, :])
        flat = np.zeros((*self.out, *self.sizes), np.int64)
        inside = np.ones_like(flat, bool)
        for axis, places in enumerate(axes):
            shape = [1] * (2 * rank)
            shape[axis], shape[rank + axis] = places.shape
            wide = places.reshape(shape)
            flat = flat * self.shape[axis] + wide
            inside &= (wide >= 0) & (wide < self.shape[axis])
        flat = np.where(inside, flat, -1)
        return flat.reshape(prod(self.out), prod(self.sizes))


def _patches(c: Call, x: Value, places: Array, filler: float) -> Value:
    """The windows' elements [n, channels, windows, elements], `filler` outside the input."""
    n, channels, *spatial = ints(x)
    flat = c.b.reshape(x, (n, channels, prod(spatial)))
    if (places < 0).any():
        flat = c.b.pad(flat, [0, 0, 0], [0, 0, 1], value=filler)
        places = places.copy()
        places[places < 0] = prod(spatial)
    return c.b.gather(flat, c.b.literal(places, I32), axis=2)


def _lowest(dtype: DType) -> float:
    import numpy as np

    return float("-inf") if dtype.is_float else int(np.iinfo(dtype.value).min)


def _as2d(c: Call, x: Value) -> Value:
    return c.b.reshape(x, (*ints(x)[:2], 1, *ints(x)[2:])) if len(x.shape) == 3 else x


def _pool2d(
    c: Call, method: str, x: Value, w: Windows, before: list[int], after: list[int]
) -> Value:
    """WebNN's pool, over two axes or one."""
    one = [1] * (2 - len(w.shape))
    none = [0] * (2 - len(w.shape))
    made = getattr(c.b, method)(
        _as2d(c, x), window_dimensions=[*one, *w.sizes], strides=[*one, *w.strides],
        dilations=[*one, *w.dilations],
        padding=interleaved([*none, *before], [*none, *after]),
    )  # fmt: skip
    return c.b.reshape(made, (*ints(x)[:2], *w.out))


@onnx_op("MaxPool")
def MaxPool(c: Call) -> Value | tuple[Value, Value]:
    """The largest of every window, and its place in the whole input."""
    x = c[0]
    w = Windows(c, x)
    if not c.wants(1) and len(w.shape) <= 2:
        return _pool2d(c, "max_pool2d", x, w, w.before, w.after)
    places = w.places()
    n, channels = ints(x)[:2]
    patches = _patches(c, x, places, _lowest(x.dtype))
    made = c.b.reshape(c.b.reduce_max(patches, axes=[3]), (n, channels, *w.out))
    if not c.wants(1):
        return made
    best = c.b.arg_max(patches, 3, output_data_type=I64)
    first = c.b.literal([row * prod(w.sizes) for row in range(prod(w.out))], I64)
    if c.int("storage_order", 0):
        places = _column_major(places, w.shape)
    where = c.b.gather(c.b.literal(places.reshape(-1), I64), c.b.add(best, first))
    images = [[[i * channels * prod(w.shape) + j * prod(w.shape)] for j in range(channels)]
              for i in range(n)]  # fmt: skip
    where = c.b.add(where, c.b.literal(images, I64))
    return made, c.b.reshape(where, (n, channels, *w.out))


def _column_major(places: Array, shape: tuple[int, ...]) -> Array:
    import numpy as np

    inside = np.where(places < 0, 0, places)
    return np.ravel_multi_index(np.unravel_index(inside, shape), shape, order="F")


@onnx_op("AveragePool")
def AveragePool(c: Call) -> Value:
    """The mean of every window; margins of the model count where it says so, others never."""
    x = c[0]
    w = Windows(c, x)
    before, after = w.before, w.after
    if c.int("count_include_pad", 0) and any([*w.before, *w.given]):
        x = padded(c, x, [0, 0, *w.before], [0, 0, *w.given], "constant", 0)
        before = [0] * len(w.shape)
        after = [a - g for a, g in zip(w.after, w.given, strict=True)]
        w.shape, w.before = ints(x)[2:], before
    if len(w.shape) <= 2:
        return _pool2d(c, "average_pool2d", x, w, before, after)
    places = w.places()
    total = c.b.reduce_sum(_patches(c, x, places, 0), axes=[3])
    counts = c.b.literal((places >= 0).sum(1), x.dtype)
    return c.b.reshape(c.b.div(total, counts), (*ints(x)[:2], *w.out))


@onnx_op("LpPool")
def LpPool(c: Call) -> Value:
    """The norm of every window."""
    x, p = c[0], c.int("p", 2)
    w = Windows(c, x)
    if p == 2 and len(w.shape) <= 2:
        return _pool2d(c, "l2_pool2d", x, w, w.before, w.after)
    patches = c.b.abs(_patches(c, x, w.places(), 0))
    total = c.b.reduce_sum(c.b.pow(patches, c.b.scalar(x.dtype, p)), axes=[3])
    return c.b.reshape(c.b.pow(total, c.b.scalar(x.dtype, 1 / p)), (*ints(x)[:2], *w.out))


def _spatial(c: Call) -> list[int]:
    return list(range(2, c.rank(0)))


@onnx_op("GlobalAveragePool")
def GlobalAveragePool(c: Call) -> Value:
    """The mean of every channel."""
    return c.b.reduce_mean(c[0], axes=_spatial(c), keep_dimensions=True)


@onnx_op("GlobalMaxPool")
def GlobalMaxPool(c: Call) -> Value:
    """The largest of every channel."""
    return c.b.reduce_max(c[0], axes=_spatial(c), keep_dimensions=True)


@onnx_op("GlobalLpPool")
def GlobalLpPool(c: Call) -> Value:
    """The norm of every channel."""
    x, p = c[0], c.int("p", 2)
    if p == 2:
        return c.b.reduce_l2(x, axes=_spatial(c), keep_dimensions=True)
    powers = c.b.pow(c.b.abs(x), c.b.scalar(x.dtype, p))
    total = c.b.reduce_sum(powers, axes=_spatial(c), keep_dimensions=True)
    return c.b.pow(total, c.b.scalar(x.dtype, 1 / p))


@onnx_op("MaxUnpool", since=9)
def MaxUnpool(c: Call) -> Value:
    """Elements put back to the places that MaxPool gave, zeros elsewhere."""
    x, places = c[0], c[1]
    n, channels, *spatial = c.shape(0)
    sizes = c.ints("kernel_shape") or ()
    strides = c.ints("strides") or (1,) * len(sizes)
    pads = c.ints("pads") or (0,) * (2 * len(sizes))
    natural = [(size - 1) * stride + k - low - high for size, stride, k, low, high in zip(
        spatial, strides, sizes, pads[: len(sizes)], pads[len(sizes):], strict=True)]  # fmt: skip
    want = c.list(2) or (n, channels, *natural)
    plain = (n, channels, *natural)
    flat = c.b.expand(c.b.scalar(x.dtype, 0), (prod(plain),))
    made = c.b.scatter_elements(flat, c.b.reshape(places, (prod(c.shape(0)),)),
                                c.b.reshape(x, (prod(c.shape(0)),)), axis=0)  # fmt: skip
    if tuple(want) != plain and prod(want) >= prod(plain):
        # ONNX: the places are those in the larger output
        flat = c.b.expand(c.b.scalar(x.dtype, 0), (prod(want),))
        made = c.b.scatter_elements(flat, c.b.reshape(places, (prod(c.shape(0)),)),
                                    c.b.reshape(x, (prod(c.shape(0)),)), axis=0)  # fmt: skip
        return c.b.reshape(made, want)
    return c.b.reshape(made, plain)


@onnx_op("Col2Im", since=18)
def Col2Im(c: Call) -> Value:
    """Windows added back to an image, axis by axis: a product with 0 and 1."""
    import numpy as np

    image, block = c.list(1) or (), c.list(2) or ()
    rank = len(image)
    strides = c.ints("strides") or (1,) * rank
    dilations = c.ints("dilations") or (1,) * rank
    pads = c.ints("pads") or (0,) * (2 * rank)
    counts = [(image[i] + pads[i] + pads[i + rank] - (block[i] - 1) * dilations[i] - 1)
              // strides[i] + 1 for i in range(rank)]  # fmt: skip
    n, columns, _ = c.shape(0)
    channels = columns // prod(block)
    x = c.b.reshape(c[0], (n * channels, *block, *counts))
    for axis in range(rank):
        # the axis's window and count, which stand first of what is left, go last
        left = rank - axis
        rest = [each for each in range(1, len(x.shape)) if each not in (1, 1 + left)]
        x = c.b.transpose(x, permutation=(0, *rest, 1, 1 + left))
        shape = ints(x)
        need_room(block[axis] * counts[axis] * image[axis])
        matrix = np.zeros((block[axis], counts[axis], image[axis]), np.float32)
        for k, o in product(range(block[axis]), range(counts[axis])):
            place = o * strides[axis] + k * dilations[axis] - pads[axis]
            if 0 <= place < image[axis]:
                matrix[k, o, place] = 1
        flat = c.b.reshape(x, (prod(shape[:-2]), shape[-2] * shape[-1]))
        added = c.b.matmul(flat, c.b.literal(matrix.reshape(-1, image[axis]), x.dtype))
        x = c.b.reshape(added, (*shape[:-2], image[axis]))
    return c.b.reshape(x, (n, channels, *image))
