"""Normalisations."""

from __future__ import annotations

from math import prod

from ...dtypes import DType
from ...graph.graph import Value
from .fold import ints
from .registry import Call, onnx_op
from .shape import padded

F32 = DType.FLOAT32


def _along(c: Call, vector: Value, rank: int, axis: int = 1) -> Value:
    """A vector as a tensor of `rank` that broadcasts from `axis`."""
    return c.b.reshape(vector, [ints(vector)[0] if each == axis else 1 for each in range(rank)])


def _as(c: Call, value: Value, dtype: DType) -> Value:
    return value if value.dtype is dtype else c.b.cast(value, dtype)


@onnx_op("BatchNormalization")
def BatchNormalization(c: Call) -> Value | tuple[Value, ...]:
    """By running statistics; in training mode by the batch's, and the statistics move on."""
    x, scale, bias, mean, variance = (c[place] for place in range(5))
    epsilon = c.float("epsilon", 1e-5)
    if not c.int("training_mode", 0):
        scale, bias, mean, variance = (_as(c, v, x.dtype) for v in (scale, bias, mean, variance))
        return c.b.batch_normalization(x, mean, variance, scale=scale, bias=bias, axis=1,
                                       epsilon=epsilon)  # fmt: skip
    axes = [axis for axis in range(c.rank(0)) if axis != 1]
    here = c.b.reduce_mean(x, axes=axes)
    away = c.b.sub(x, _along(c, here, c.rank(0)))
    spread = c.b.reduce_mean(c.b.mul(away, away), axes=axes)
    made = c.b.batch_normalization(x, here, spread, scale=scale, bias=bias, axis=1, epsilon=epsilon)
    momentum = c.float("momentum", 0.9)

    def moved(old: Value, new: Value) -> Value:
        kept = c.b.mul(old, c.b.scalar(old.dtype, momentum))
        return c.b.add(kept, c.b.mul(new, c.b.scalar(new.dtype, 1 - momentum)))

    return made, moved(mean, here), moved(variance, spread)


@onnx_op("InstanceNormalization")
def InstanceNormalization(c: Call) -> Value:
    """Every channel of every example on its own."""
    x, shape = c[0], c.shape(0)
    flat = c.b.reshape(x, (*shape[:2], 1, prod(shape[2:])))
    made = c.b.instance_normalization(flat, scale=c[1], bias=c[2],
                                      epsilon=c.float("epsilon", 1e-5))  # fmt: skip
    return c.b.reshape(made, shape)


@onnx_op("LayerNormalization", since=17)
def LayerNormalization(c: Call) -> Value | tuple[Value | None, ...]:
    """Over the axes from `axis` on; also the mean and 1 / deviation, where they are wanted."""
    x, axis = c[0], c.axis("axis", -1)
    axes, epsilon = list(range(axis, c.rank(0))), c.float("epsilon", 1e-5)
    sizes = [c.shape(0)[each] for each in axes]
    fits = all(v is None or list(ints(v)) == sizes for v in c.inputs[1:])
    if fits:
        made = c.b.layer_normalization(x, scale=c[1], bias=c.get(2), axes=axes, epsilon=epsilon)
    else:
        made = c.b.mul(c.b.layer_normalization(x, axes=axes, epsilon=epsilon), c[1])
        made = made if c.get(2) is None else c.b.add(made, c[2])
    if not c.wants(1) and not c.wants(2):
        return made
    wide = _as(c, x, F32)
    mean = c.b.reduce_mean(wide, axes=axes, keep_dimensions=True)
    away = c.b.sub(wide, mean)
    spread = c.b.reduce_mean(c.b.mul(away, away), axes=axes, keep_dimensions=True)
    return made, mean, c.b.reciprocal(c.b.sqrt(c.b.add(spread, c.b.scalar(F32, epsilon))))


@onnx_op("RMSNormalization", since=23)
def RMSNormalization(c: Call) -> Value:
    """x / sqrt(mean(x²) + epsilon) * scale over the axes from `axis` on."""
    x, axis = c[0], c.axis("axis", -1)
    made = rms(c, x, list(range(axis, c.rank(0))), c.float("epsilon", 1e-5))
    return c.b.mul(_as(c, made, c[1].dtype), c[1])


def rms(c: Call, x: Value, axes: list[int], epsilon: float) -> Value:
    """x / sqrt(mean(x²) + epsilon), computed in float32."""
    wide = _as(c, x, F32)
    mean = c.b.reduce_mean(c.b.mul(wide, wide), axes=axes, keep_dimensions=True)
    root = c.b.sqrt(c.b.add(mean, c.b.scalar(F32, epsilon)))
    return _as(c, c.b.div(wide, root), x.dtype)


@onnx_op("GroupNormalization", since=18)
def GroupNormalization(c: Call) -> Value:
    """Until opset 20: scale and bias for each group."""
    return _group(c, per_group=True)


@onnx_op("GroupNormalization", since=21)
def GroupNormalization_21(c: Call) -> Value:
    """Scale and bias for each channel."""
    return _group(c, per_group=False)


def _group(c: Call, per_group: bool) -> Value:
    x, scale, bias, shape = c[0], c[1], c[2], c.shape(0)
    groups = c.int("num_groups")
    flat = c.b.reshape(x, (shape[0], groups, 1, prod(shape[1:]) // groups))
    epsilon = c.float("epsilon", 1e-5)
    if per_group:
        made = c.b.instance_normalization(flat, scale=scale, bias=bias, epsilon=epsilon)
        return c.b.reshape(made, shape)
    made = c.b.reshape(c.b.instance_normalization(flat, epsilon=epsilon), shape)
    made = c.b.mul(made, _along(c, scale, len(shape)))
    return c.b.add(made, _along(c, bias, len(shape)))


@onnx_op("LRN")
def LRN(c: Call) -> Value:
    """x / (bias + alpha/size * sum of squares of the neighbouring channels)^beta."""
    x, size = c[0], c.int("size")
    shape = c.shape(0)
    low, high = (size - 1) // 2, size - 1 - (size - 1) // 2
    rest = [0] * (len(shape) - 2)
    squares = padded(c, c.b.mul(x, x), [0, low, *rest], [0, high, *rest], "constant", 0)
    total = None
    for offset in range(size):
        part = c.b.slice(squares, [0, offset, *rest], shape)
        total = part if total is None else c.b.add(total, part)
    scaled = c.b.mul(total, c.b.scalar(x.dtype, c.float("alpha", 1e-4) / size))
    power = c.b.pow(c.b.add(scaled, c.b.scalar(x.dtype, c.float("bias", 1))),
                    c.b.scalar(x.dtype, c.float("beta", 0.75)))  # fmt: skip
    return c.b.div(x, power)


@onnx_op("LpNormalization")
def LpNormalization(c: Call) -> Value:
    """x by its norm along an axis; zeros where that is zero."""
    x, axis = c[0], c.axis("axis", -1)
    reduce = c.b.reduce_l1 if c.int("p", 2) == 1 else c.b.reduce_l2
    norm = reduce(x, axes=[axis], keep_dimensions=True)
    zero = c.b.scalar(x.dtype, 0)
    return c.b.where(c.b.equal(norm, zero), zero, c.b.div(x, norm))


@onnx_op("MeanVarianceNormalization", since=9)
def MeanVarianceNormalization(c: Call) -> Value:
    """(x - mean) / deviation over some axes."""
    x = c[0]
    axes = [c.positive(axis, c.rank(0)) for axis in c.ints("axes", (0, 2, 3)) or ()]
    away = c.b.sub(x, c.b.reduce_mean(x, axes=axes, keep_dimensions=True))
    spread = c.b.sqrt(c.b.reduce_mean(c.b.mul(away, away), axes=axes, keep_dimensions=True))
    return c.b.div(away, c.b.add(spread, c.b.scalar(x.dtype, 1e-9)))
