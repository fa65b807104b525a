"""Convolutions: WebNN has 2D; 1D gets an axis of size 1, 3D is a sum over depth."""

from __future__ import annotations

from math import prod
from typing import Any

from ...dtypes import DType
from ...graph.graph import Value
from .fold import ints
from .registry import Call, onnx_op
from .shape import padded

F32, I32 = DType.FLOAT32, DType.INT32


def window(c: Call, sizes: tuple[int, ...], shape: tuple[int, ...]) -> tuple[
    list[int], list[int], list[int], list[int]
]:  # fmt: skip
    """Strides, dilations, margins before and after, of a window over the spatial `shape`."""
    rank = len(shape)
    strides = list(c.ints("strides") or (1,) * rank)
    dilations = list(c.ints("dilations") or (1,) * rank)
    mode = c.str("auto_pad", "NOTSET")
    if mode in ("NOTSET", ""):
        pads = list(c.ints("pads") or (0,) * (2 * rank))
        return strides, dilations, pads[:rank], pads[rank:]
    before, after = [0] * rank, [0] * rank
    if mode != "VALID":
        for axis in range(rank):
            reach = (sizes[axis] - 1) * dilations[axis] + 1
            steps = -(-shape[axis] // strides[axis])
            total = max(0, (steps - 1) * strides[axis] + reach - shape[axis])
            before[axis] = total // 2 if mode == "SAME_UPPER" else total - total // 2
            after[axis] = total - before[axis]
    return strides, dilations, before, after


def interleaved(before: list[int], after: list[int]) -> list[int]:
    """WebNN's order: beginning and end of height, then of width."""
    return [margin for pair in zip(before, after, strict=True) for margin in pair]


def conv(
    c: Call, x: Value, filter: Value, bias: Value | None,
    strides: list[int], dilations: list[int], before: list[int], after: list[int], groups: int,
) -> Value:  # fmt: skip
    """A convolution over one, two or three axes, channels first."""
    rank = len(strides)
    if rank == 1:
        made = conv(
            c, c.b.reshape(x, (*ints(x)[:2], 1, ints(x)[2])),
            c.b.reshape(filter, (*ints(filter)[:2], 1, ints(filter)[2])), bias,
            [1, *strides], [1, *dilations], [0, *before], [0, *after], groups,
        )  # fmt: skip
        shape = ints(made)
        return c.b.reshape(made, (*shape[:2], shape[3]))
    if rank == 2:
        return c.b.conv2d(x, filter, bias=bias, padding=interleaved(before, after),
                          strides=strides, dilations=dilations, groups=groups)  # fmt: skip
    if rank != 3:
        raise c.unsupported(f"{rank} spatial axes")
    return _conv3d(c, x, filter, bias, strides, dilations, before, after, groups)


def _conv3d(
    c: Call, x: Value, filter: Value, bias: Value | None,
    strides: list[int], dilations: list[int], before: list[int], after: list[int], groups: int,
) -> Value:  # fmt: skip
    """Depth by depth of the filter: planes become a batch of 2D convolutions, which are summed."""
    x = padded(c, x, [0, 0, before[0], 0, 0], [0, 0, after[0], 0, 0], "constant", 0)
    n, channels, depth, height, width = ints(x)
    out, per_group, reach, *kernel = ints(filter)
    steps = (depth - (reach - 1) * dilations[0] - 1) // strides[0] + 1
    total: Value | None = None
    for k in range(reach):
        planes = c.b.slice(x, [0, 0, k * dilations[0], 0, 0],
                           [n, channels, (steps - 1) * strides[0] + 1, height, width],
                           strides=[1, 1, strides[0], 1, 1])  # fmt: skip
        planes = c.b.transpose(planes, permutation=(0, 2, 1, 3, 4))
        planes = c.b.reshape(planes, (n * steps, channels, height, width))
        part = c.b.slice(filter, [0, 0, k, 0, 0], [out, per_group, 1, *kernel])
        part = c.b.reshape(part, (out, per_group, *kernel))
        made = conv(c, planes, part, bias if k == 0 else None, strides[1:], dilations[1:],
                    before[1:], after[1:], groups)  # fmt: skip
        total = made if total is None else c.b.add(total, made)
    assert total is not None, "a filter has a depth"
    _, _, *plane = ints(total)
    total = c.b.reshape(total, (n, steps, out, *plane))
    return c.b.transpose(total, permutation=(0, 2, 1, 3, 4))


@onnx_op("Conv")
def Conv(c: Call) -> Value:
    """Convolution over 1 to 3 axes."""
    return convolved(c, c[0], c[1], c.get(2))


def convolved(c: Call, x: Value, filter: Value, bias: Value | None) -> Value:
    """Conv's convolution, of other values than its inputs."""
    strides, dilations, before, after = window(c, ints(filter)[2:], ints(x)[2:])
    return conv(c, x, filter, bias, strides, dilations, before, after, c.int("group", 1))


@onnx_op("ConvTranspose")
def ConvTranspose(c: Call) -> Value:
    """The transpose of a convolution over 1 to 3 axes."""
    x, filter, bias = c[0], c[1], c.get(2)
    shape, sizes = ints(x)[2:], ints(filter)[2:]
    rank = len(shape)
    strides = list(c.ints("strides") or (1,) * rank)
    dilations = list(c.ints("dilations") or (1,) * rank)
    extra = list(c.ints("output_padding") or (0,) * rank)
    full = [strides[i] * (shape[i] - 1) + extra[i] + (sizes[i] - 1) * dilations[i] + 1
            for i in range(rank)]  # fmt: skip
    before, after = _margins(c, full, shape, strides)
    if rank == 1:
        made = _transposed(
            c, c.b.reshape(x, (*ints(x)[:2], 1, shape[0])),
            c.b.reshape(filter, (*ints(filter)[:2], 1, sizes[0])), bias, [1, *strides],
            [1, *dilations], [0, *before], [0, *after], [0, *extra],
        )  # fmt: skip
        n, channels, _, width = ints(made)
        return c.b.reshape(made, (n, channels, width))
    if rank == 3:
        return _by_zeros(c, x, filter, bias, strides, dilations, before, after, extra)
    return _transposed(c, x, filter, bias, strides, dilations, before, after, extra)


def _margins(
    c: Call, full: list[int], shape: tuple[int, ...], strides: list[int]
) -> tuple[list[int], list[int]]:
    """What is cut off on both sides of the full result."""
    rank, want, mode = len(full), c.ints("output_shape"), c.str("auto_pad", "NOTSET")
    if want is None and mode in ("SAME_UPPER", "SAME_LOWER"):
        want = tuple(size * stride for size, stride in zip(shape, strides, strict=True))
    if want is None:
        pads = list(c.ints("pads") or (0,) * (2 * rank))
        return (pads[:rank], pads[rank:]) if mode in ("NOTSET", "") else ([0] * rank, [0] * rank)
    before, after = [0] * rank, [0] * rank
    for axis, size in enumerate(want[-rank:]):
        total = full[axis] - size
        less = max(0, total) // 2
        before[axis] = less if mode == "SAME_UPPER" else max(0, total) - less
        after[axis] = total - before[axis]  # below 0: zeros at the end
    return before, after


def _transposed(
    c: Call, x: Value, filter: Value, bias: Value | None, strides: list[int], dilations: list[int],
    before: list[int], after: list[int], extra: list[int],
) -> Value:  # fmt: skip
    # margins below 0 are zeros after the fact; WebNN wants extra below the stride
    late = [max(0, e - s + 1) for e, s in zip(extra, strides, strict=True)]
    low = [max(0, -p) for p in before]
    high = [max(0, -p) + f for p, f in zip(after, late, strict=True)]
    wider = any([*low, *high])
    made = c.b.conv_transpose2d(
        x, filter, bias=None if wider else bias,
        padding=interleaved([max(0, p) for p in before], [max(0, p) for p in after]),
        strides=strides, dilations=dilations,
        output_padding=[e - f for e, f in zip(extra, late, strict=True)],
        groups=c.int("group", 1),
    )  # fmt: skip
    if not wider:
        return made
    made = padded(c, made, [0, 0, *low], [0, 0, *high], "constant", 0)
    return made if bias is None else c.b.add(made, c.b.reshape(bias, (1, ints(bias)[0], 1, 1)))


def _by_zeros(c: Call, x: Value, filter: Value, bias: Value | None, *how: Any) -> Value:
    """3D: zeros between the elements, then a convolution with the flipped filter."""
    strides, dilations, before, after, extra = how
    groups, sizes = c.int("group", 1), ints(filter)[2:]
    for axis, stride in enumerate(strides, 2):
        x = _spread(c, x, axis, stride)
    reach = [(size - 1) * step for size, step in zip(sizes, dilations, strict=True)]
    low = [r - p for r, p in zip(reach, before, strict=True)]
    high = [r - p + e for r, p, e in zip(reach, after, extra, strict=True)]
    x = padded(c, x, [0, 0, *low], [0, 0, *high], "constant", 0)
    channels, per_group = ints(filter)[:2]
    flipped = c.b.reverse(filter, axes=[2, 3, 4])
    flipped = c.b.reshape(flipped, (groups, channels // groups, per_group, *sizes))
    flipped = c.b.transpose(flipped, permutation=(0, 2, 1, 3, 4, 5))
    flipped = c.b.reshape(flipped, (groups * per_group, channels // groups, *sizes))
    return conv(c, x, flipped, bias, [1] * 3, dilations, [0] * 3, [0] * 3, groups)


def _spread(c: Call, x: Value, axis: int, stride: int) -> Value:
    """stride - 1 zeros between elements along an axis."""
    if stride == 1:
        return x
    shape = ints(x)
    inner = prod(shape[axis + 1 :])
    flat = c.b.reshape(x, (prod(shape[:axis]), shape[axis], 1, inner))
    flat = c.b.pad(flat, [0] * 4, [0, 0, stride - 1, 0])
    wide = shape[axis] * stride
    flat = c.b.reshape(flat, (prod(shape[:axis]), wide, inner))
    flat = c.b.slice(flat, [0, 0, 0], [prod(shape[:axis]), wide - stride + 1, inner])
    return c.b.reshape(flat, (*shape[:axis], wide - stride + 1, *shape[axis + 1 :]))
