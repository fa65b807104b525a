"""Activation functions."""

from __future__ import annotations

from functools import partial

from ...dtypes import DType
from ...graph.graph import Value
from .fold import ints
from .registry import Call, onnx_op


@onnx_op("Relu")
def Relu(c: Call) -> Value:
    """max(x, 0); WebNN's covers signed integers."""
    return c.b.relu(c[0])


@onnx_op("LeakyRelu")
def LeakyRelu(c: Call) -> Value:
    """alpha x below 0."""
    return c.b.leaky_relu(c[0], alpha=c.float("alpha", 0.01))


@onnx_op("PRelu")
def PRelu(c: Call) -> Value:
    """slope x below 0."""
    x, slope = c[0], c[1]
    if x.dtype.is_float:
        return c.b.prelu(x, slope)
    return c.b.where(c.b.lesser(x, c.b.scalar(x.dtype, 0)), c.b.mul(x, slope), x)


@onnx_op("Elu")
def Elu(c: Call) -> Value:
    """alpha (exp(x) - 1) below 0."""
    return c.b.elu(c[0], alpha=c.float("alpha", 1))


@onnx_op("Celu", since=12)
def Celu(c: Call) -> Value:
    """max(0, x) + min(0, alpha (exp(x / alpha) - 1))."""
    x, alpha = c[0], c.float("alpha", 1)
    return c.b.mul(c.b.elu(c.b.div(x, c.b.scalar(x.dtype, alpha)), alpha=1),
                   c.b.scalar(x.dtype, alpha))  # fmt: skip


@onnx_op("Selu")
def Selu(c: Call) -> Value:
    """gamma elu(x, alpha)."""
    x = c[0]
    alpha, gamma = c.float("alpha", 1.67326319217681884765625), c.float("gamma", 1.05070102214813)
    return c.b.mul(c.b.elu(x, alpha=alpha), c.b.scalar(x.dtype, gamma))


@onnx_op("Gelu", since=20)
def Gelu(c: Call) -> Value:
    """By erf, or by tanh where the model says so."""
    x = c[0]
    if c.str("approximate", "none") == "none":
        return c.b.gelu(x)
    return gelu_tanh(c, x)


def gelu_tanh(c: Call, x: Value) -> Value:
    """x/2 (1 + tanh(sqrt(2/π) (x + 0.044715 x³)))."""
    number = partial(c.b.scalar, x.dtype)
    cube = c.b.mul(c.b.mul(x, x), x)
    inner = c.b.mul(number(0.7978845608028654), c.b.add(x, c.b.mul(number(0.044715), cube)))
    return c.b.mul(c.b.mul(number(0.5), x), c.b.add(number(1), c.b.tanh(inner)))


@onnx_op("HardSigmoid")
def HardSigmoid(c: Call) -> Value:
    """max(0, min(1, alpha x + beta))."""
    return c.b.hard_sigmoid(c[0], alpha=c.float("alpha", 0.2), beta=c.float("beta", 0.5))


@onnx_op("HardSwish", since=14)
def HardSwish(c: Call) -> Value:
    """x max(0, min(1, x/6 + 1/2))."""
    return c.b.hard_swish(c[0])


@onnx_op("Mish", since=18)
def Mish(c: Call) -> Value:
    """x tanh(softplus(x)), which is x n / (n + 2) with n = exp(x)² + 2 exp(x).

    Above 20 the factor is 1 in float32; in float16 exp(5)² still has room.
    """
    x = c[0]
    top = 20.0 if x.dtype is DType.FLOAT32 else 5.0
    power = c.b.exp(c.b.clamp(x, max_value=top))
    n = c.b.mul(power, c.b.add(power, c.b.scalar(x.dtype, 2)))
    return c.b.mul(x, c.b.div(n, c.b.add(n, c.b.scalar(x.dtype, 2))))


@onnx_op("Swish", since=24)
def Swish(c: Call) -> Value:
    """x sigmoid(alpha x)."""
    x = c[0]
    return c.b.mul(x, c.b.sigmoid(c.b.mul(x, c.b.scalar(x.dtype, c.float("alpha", 1)))))


@onnx_op("ThresholdedRelu", since=10)
def ThresholdedRelu(c: Call) -> Value:
    """x above alpha, else 0."""
    x = c[0]
    above = c.b.greater(x, c.b.scalar(x.dtype, c.float("alpha", 1)))
    return c.b.where(above, x, c.b.scalar(x.dtype, 0))


@onnx_op("Shrink", since=9)
def Shrink(c: Call) -> Value:
    """Nothing within ±lambd, and what is outside comes `bias` nearer to 0."""
    x, bias, limit = c[0], c.float("bias", 0), c.float("lambd", 0.5)
    number = partial(c.b.scalar, x.dtype)
    above = c.b.where(c.b.greater(x, number(limit)), c.b.sub(x, number(bias)), number(0))
    return c.b.where(c.b.lesser(x, number(-limit)), c.b.add(x, number(bias)), above)


def _flat(c: Call, axis: int) -> Value:
    """The input as a matrix: axes before `axis`, and the others."""
    shape, before = c.shape(0), 1
    for size in shape[:axis]:
        before *= size
    after = 1
    for size in shape[axis:]:
        after *= size
    return c.b.reshape(c[0], (before, after))


@onnx_op("Softmax")
def Softmax(c: Call) -> Value:
    """Until opset 12: over all axes from `axis` on together."""
    axis = c.axis("axis", 1)
    if all(size == 1 for size in c.shape(0)[axis + 1 :]):
        return c.b.softmax(c[0], axis)
    return c.b.reshape(c.b.softmax(_flat(c, axis), 1), c.shape(0))


@onnx_op("Softmax", since=13)
def Softmax_13(c: Call) -> Value:
    """Along one axis."""
    return c.b.softmax(c[0], c.axis("axis", -1))


def _log_softmax(c: Call, x: Value, axis: int) -> Value:
    low = c.b.sub(x, c.b.reduce_max(x, axes=[axis], keep_dimensions=True))
    total = c.b.reduce_sum(c.b.exp(low), axes=[axis], keep_dimensions=True)
    return c.b.sub(low, c.b.log(total))


@onnx_op("LogSoftmax")
def LogSoftmax(c: Call) -> Value:
    """Until opset 12: over all axes from `axis` on together."""
    return c.b.reshape(_log_softmax(c, _flat(c, c.axis("axis", 1)), 1), c.shape(0))


@onnx_op("LogSoftmax", since=13)
def LogSoftmax_13(c: Call) -> Value:
    """Along one axis; by exponents that cannot overflow."""
    return _log_softmax(c, c[0], c.axis("axis", -1))


@onnx_op("Hardmax")
def Hardmax(c: Call) -> Value:
    """Until opset 12: over all axes from `axis` on together."""
    axis = c.axis("axis", 1)
    flat = _flat(c, axis)
    return c.b.reshape(_hardmax(c, flat, 1), c.shape(0))


@onnx_op("Hardmax", since=13)
def Hardmax_13(c: Call) -> Value:
    """1 at the first largest element along an axis, else 0."""
    return _hardmax(c, c[0], c.axis("axis", -1))


def _hardmax(c: Call, x: Value, axis: int) -> Value:
    best = c.b.arg_max(x, axis, keep_dimensions=True)
    count = ints(x)[axis]
    places = c.b.reshape(
        c.b.arange(best.dtype, count),
        [count if each == axis else 1 for each in range(len(ints(x)))],
    )
    return c.b.cast(c.b.equal(best, places), x.dtype)
