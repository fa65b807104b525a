"""Quantised operators: QuantizeLinear and its inverse, and operators whose tensors are integers.

An 8- or 4-bit tensor goes through WebNN's quantizeLinear and dequantizeLinear; 16 bits, which
WebNN lacks, are computed in int32 and clamped. An operator on quantised tensors (QLinearConv and
its like) is the float operator between dequantised inputs and a quantised output, which is how
ONNX defines it; integer sums are exact up to 2^24.

Source: onnx/docs/Operators.md; onnxruntime/docs/ContribOperators.md.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from ...dtypes import DType
from ...errors import FormatError
from ...graph.graph import Value
from .arrays import CODES, DTYPES, NAMES
from .fold import ints
from .registry import Call, onnx_op

F32, I32 = DType.FLOAT32, DType.INT32
MICROSOFT = "com.microsoft"
#: The numbers of an ONNX type: what is outside is clamped.
RANGES = {
    "UINT8": (0, 255), "INT8": (-128, 127), "UINT16": (0, 65535), "INT16": (-32768, 32767),
    "UINT4": (0, 15), "INT4": (-8, 7),
}  # fmt: skip


@onnx_op("QuantizeLinear", since=10)
@onnx_op("QuantizeLinear", domain=MICROSOFT)
def QuantizeLinear(c: Call) -> Value:
    """round(x / scale) + zero point, in the zero point's type."""
    x, scale, zero = c[0], c[1], c.get(2)
    if zero is not None:
        kind = c.type_of(2)
    else:
        code = c.int("output_dtype", 0)
        kind = CODES[code] if 0 < code < len(CODES) else "UINT8"
    if c.int("precision", 0) not in (0, CODES.index(NAMES[scale.dtype])):
        raise c.unsupported("a precision that is not the scale's")
    c.types[0] = kind
    return quantize(c, _in(c, x, scale.dtype), scale, zero, kind, _axis(c))


@onnx_op("DequantizeLinear", since=10)
@onnx_op("DequantizeLinear", domain=MICROSOFT)
def DequantizeLinear(c: Call) -> Value:
    """(x - zero point) * scale, in the scale's type."""
    made = dequantize(c, c[0], c[1], c.get(2), _axis(c))
    if c.int("output_dtype", 0):
        dtype, c.types[0] = c.dtype("output_dtype", 0)
        return _in(c, made, dtype)
    return made


def quantize(
    c: Call, x: Value, scale: Value, zero: Value | None, kind: str, axis: int = 1
) -> Value:
    """`x` as integers of the ONNX type `kind`. See `fit_scale` for the shapes of `scale`."""
    if kind not in RANGES:
        raise c.unsupported(f"quantisation to {kind}")
    dtype = DTYPES[kind]
    scale = fit_scale(c, x, scale, axis)
    zero = _zero(c, dtype, scale) if zero is None else fit_scale(c, x, zero, axis)
    if dtype.bits <= 8:
        made: Value = c.b.quantize_linear(x, scale, zero)
        return made
    steps = c.b.add(
        c.b.round_even(c.b.div(x, _whole(c, scale, x))), _in(c, _whole(c, zero, x), x.dtype)
    )
    low, high = RANGES[kind]
    made = c.b.cast(c.b.clamp(steps, min_value=float(low), max_value=float(high)), dtype)
    return made


def dequantize(c: Call, x: Value, scale: Value, zero: Value | None = None, axis: int = 1) -> Value:
    """Integers `x` as floats of the scale's type."""
    scale = fit_scale(c, x, scale, axis)
    zero = _zero(c, x.dtype, scale) if zero is None else fit_scale(c, x, zero, axis)
    if x.dtype is DType.UINT32:  # of UINT16: WebNN takes int32
        x, zero = _in(c, x, I32), _in(c, zero, I32)
    made: Value = c.b.dequantize_linear(x, scale, zero)
    return made


def fit_scale(c: Call, x: Value, scale: Value, axis: int) -> Value:
    """A scale or zero point in the rank of `x`, as WebNN wants it.

    It has one element, or one for each place of `axis`, or one for each block along `axis`.
    """
    shape, sizes = ints(x), ints(scale)
    if prod(sizes) == 1:
        wanted: tuple[int, ...] = (1,) * len(shape)
    elif len(sizes) == 1:
        axis = c.positive(axis, len(shape))
        wanted = tuple(sizes[0] if each == axis else 1 for each in range(len(shape)))
    else:
        wanted = sizes
    made: Value = c.b.reshape(scale, wanted)
    if len(wanted) != len(shape):
        raise FormatError(f"{c.node.op_type} scale", got=str(list(sizes)), need=f"rank of {x}")
    for place, (size, count) in enumerate(zip(shape, wanted, strict=True)):
        if count and size % count:
            made = _spread(c, made, place, size, count)
    return made


def _spread(c: Call, scale: Value, axis: int, size: int, count: int) -> Value:
    """A scale whose last block is not full, with an element for each of `size` places."""
    block = c.int("block_size", 0)
    if block <= 0 or -(-size // block) != count:
        raise FormatError(f"{c.node.op_type} scale", got=f"{count} along axis {axis}",
                          need=f"a block_size that divides {size} into them")  # fmt: skip
    places = [place // block for place in range(size)]
    made: Value = c.b.gather(scale, c.b.literal(places, I32), axis=axis)
    return made


def _whole(c: Call, scale: Value, x: Value) -> Value:
    """A scale in blocks as one that broadcasts to `x`."""
    for axis, (size, count) in enumerate(zip(ints(x), ints(scale), strict=True)):
        if count not in (1, size):
            places = [place * count // size for place in range(size)]
            scale = c.b.gather(scale, c.b.literal(places, I32), axis=axis)
    return scale


def _zero(c: Call, dtype: DType, scale: Value) -> Value:
    import numpy as np

    return c.b.literal(np.zeros(ints(scale)), dtype)


def _in(c: Call, x: Value, dtype: DType) -> Value:
    made: Value = x if x.dtype is dtype else c.b.cast(x, dtype)
    return made


def _axis(c: Call) -> int:
    return c.int("axis", 1)


@onnx_op("DynamicQuantizeLinear", since=11)
def DynamicQuantizeLinear(c: Call) -> tuple[Value, Value, Value]:
    """uint8 codes of x with the scale and zero point of its own range, 0 included."""
    x, zero = c[0], c.b.scalar(F32, 0)
    high = c.b.max(c.b.reduce_max(x), zero)
    low = c.b.min(c.b.reduce_min(x), zero)
    span = c.b.div(c.b.sub(high, low), c.b.scalar(F32, 255))
    scale = c.b.where(c.b.equal(span, zero), c.b.scalar(F32, 1), span)
    start = c.b.round_even(c.b.clamp(c.b.div(c.b.neg(low), scale), min_value=0, max_value=255))
    point = c.b.cast(start, DType.UINT8)
    return quantize(c, x, scale, point, "UINT8"), scale, point


def _centred(c: Call, x: Value, zero: Value | None, axis: int) -> Value:
    """x minus its zero point, in float32: whole numbers."""
    wide = _in(c, x, F32)
    if zero is None:
        return wide
    made: Value = c.b.sub(wide, _in(c, fit_scale(c, x, zero, axis), F32))
    return made


@onnx_op("MatMulInteger", since=10)
def MatMulInteger(c: Call) -> Value:
    """The product of integers less their zero points; a's are by row, b's by column."""
    a = _centred(c, c[0], c.get(2), -2 if c.rank(0) > 1 else -1)
    return _in(c, c.do("MatMul", a, _centred(c, c[1], c.get(3), -1)), I32)


@onnx_op("ConvInteger", since=10)
def ConvInteger(c: Call) -> Value:
    """The convolution of integers less their zero points; w's are by output channel."""
    x, w = _centred(c, c[0], c.get(2), 1), _centred(c, c[1], c.get(3), 0)
    return _in(c, c.do("Conv", x, w, **c.node.attributes), I32)


@onnx_op("QLinearMatMul", since=10)
def QLinearMatMul(c: Call) -> Value:
    """a, its scale and zero point, then those of b, then the result's scale and zero point."""
    a = _dequantized(c, 0, -2 if c.rank(0) > 1 else -1)
    return _quantized(c, c.do("MatMul", a, _dequantized(c, 3, -1)), 6)


@onnx_op("QLinearConv", since=10)
def QLinearConv(c: Call) -> Value:
    """x and w with their scales and zero points, the result's, and a bias in int32."""
    bias = c.get(8)
    if bias is not None:
        step = c.b.mul(c.b.reshape(c[1], ()), c[4])
        bias = c.b.mul(_in(c, bias, F32), step)
    made = c.do("Conv", _dequantized(c, 0, 1), _dequantized(c, 3, 0), bias, **c.node.attributes)
    return _quantized(c, made, 6)


def _dequantized(c: Call, place: int, axis: int = 1) -> Value:
    """The float tensor of three inputs: integers, scale, zero point."""
    return dequantize(c, c[place], c[place + 1], c.get(place + 2), axis)


def _quantized(c: Call, x: Value, place: int) -> Value:
    """`x` in integers, with the scale and zero point at `place`."""
    zero = c.get(place + 1)
    kind = "UINT8" if zero is None else c.type_of(place + 1)
    c.types[0] = kind
    return quantize(c, _in(c, x, c[place].dtype), c[place], zero, kind)


def _one(make: Callable[[Call, Value], Value]) -> Callable[[Call], Value]:
    """An operator of one quantised tensor."""

    def built(c: Call) -> Value:
        return _quantized(c, make(c, _dequantized(c, 0)), 3)

    return built


def _two(name: str) -> Callable[[Call], Value]:
    """An operator of two quantised tensors."""

    def built(c: Call) -> Value:
        return _quantized(c, c.do(name, _dequantized(c, 0), _dequantized(c, 3)), 6)

    return built


def _pooled(name: str) -> Callable[[Call, Value], Value]:
    def make(c: Call, x: Value) -> Value:
        attrs = {key: each for key, each in c.node.attributes.items() if key != "channels_last"}
        if not c.int("channels_last", 0):
            made: Value = c.do(name, x, **attrs)
            return made
        last = len(x.shape) - 1
        first = c.b.transpose(x, (0, last, *range(1, last)))
        made = c.b.transpose(c.do(name, first, **attrs), (0, *range(2, last + 1), 1))
        return made

    return make


def _same(name: str) -> Callable[[Call, Value], Value]:
    return lambda c, x: c.do(name, x, **c.node.attributes)


for _name, _make in {
    "QLinearSigmoid": _same("Sigmoid"), "QLinearLeakyRelu": _same("LeakyRelu"),
    "QLinearAveragePool": _pooled("AveragePool"),
    "QLinearGlobalAveragePool": _pooled("GlobalAveragePool"),
}.items():  # fmt: skip
    onnx_op(_name, domain=MICROSOFT)(_one(_make))
for _name in ("Add", "Mul"):
    onnx_op(f"QLinear{_name}", domain=MICROSOFT)(_two(_name))


@onnx_op("QLinearSoftmax", domain=MICROSOFT)
def QLinearSoftmax(c: Call) -> Value:
    """Softmax along one axis from opset 13 on, over all from `axis` on before."""
    attrs = {"axis": c.int("axis", -1)}
    made = c.do("Softmax", _dequantized(c, 0), opset=c.int("opset", 13), **attrs)
    return _quantized(c, made, 3)


@onnx_op("QLinearConcat", domain=MICROSOFT)
def QLinearConcat(c: Call) -> Value:
    """The result's scale and zero point come first, then three inputs for each tensor."""
    parts = [_dequantized(c, place) for place in range(2, len(c.inputs), 3)]
    axis = c.positive(c.int("axis"), len(parts[0].shape))
    return _quantized(c, c.b.concat(parts, axis), 0)


@onnx_op("QGemm", domain=MICROSOFT)
def QGemm(c: Call) -> Value:
    """A matrix product with a bias in int32, in the scales of a and b; float without a scale."""
    turned_b = bool(c.int("transB", 0))
    a = _dequantized(c, 0, 0 if c.int("transA", 0) else 1)
    b, bias = _dequantized(c, 3, 0 if turned_b else 1), c.get(6)
    if bias is not None:
        step = c.b.mul(c.b.reshape(c[1], ()), c[4])
        bias = c.b.mul(_in(c, bias, F32), step)
    made: Value = c.do("Gemm", a, b, bias, **c.node.attributes)
    return made if c.get(7) is None else _quantized(c, made, 7)


@onnx_op("MatMulIntegerToFloat", domain=MICROSOFT)
def MatMulIntegerToFloat(c: Call) -> Value:
    """a, b, their scales, their zero points, and a float bias."""
    a = dequantize(c, c[0], c[2], c.get(4), -2)
    return _biased(c, c.do("MatMul", a, dequantize(c, c[1], c[3], c.get(5), -1)), c.get(6))


@onnx_op("DynamicQuantizeMatMul", domain=MICROSOFT)
def DynamicQuantizeMatMul(c: Call) -> Value:
    """a in floats, quantised by its own range; b with scale and zero point; a float bias."""
    codes, scale, zero = c.do("DynamicQuantizeLinear", c[0])
    b = dequantize(c, c[1], c[2], c.get(3), -1)
    return _biased(c, c.do("MatMul", dequantize(c, codes, scale, zero), b), c.get(4))


def _biased(c: Call, x: Value, bias: Value | None) -> Value:
    made: Value = x if bias is None else c.b.add(x, bias)
    return made
