"""Element-wise ONNX operators: arithmetic, comparison, logic, type changes."""

from __future__ import annotations

from functools import partial, reduce
from typing import Any

from ...dtypes import DType
from ...graph.graph import Value
from .arrays import CODES, DTYPES, NUMPY
from .fold import ints
from .registry import Call, onnx_op

F32, I32, I64, U8, U32 = DType.FLOAT32, DType.INT32, DType.INT64, DType.UINT8, DType.UINT32
#: ONNX operators that are a WebNN operator of one input.
UNARY = {
    "Ceil": "ceil", "Cos": "cos", "Erf": "erf", "Exp": "exp", "Floor": "floor",
    "Identity": "identity", "Log": "log", "Reciprocal": "reciprocal", "Round": "round_even",
    "Sigmoid": "sigmoid", "Sin": "sin", "Softplus": "softplus", "Softsign": "softsign",
    "Sqrt": "sqrt", "Tan": "tan", "Tanh": "tanh", "Not": "logical_not",
}  # fmt: skip
#: The same of two inputs, which broadcast.
BINARY = {
    "Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div", "Greater": "greater",
    "GreaterOrEqual": "greater_or_equal", "Less": "lesser", "LessOrEqual": "lesser_or_equal",
    "Equal": "equal", "And": "logical_and", "Or": "logical_or", "Xor": "logical_xor",
}  # fmt: skip


def _row(method: str) -> Any:
    def one(c: Call) -> Value:
        made: Value = getattr(c.b, method)(*(c[place] for place in range(len(c.inputs))))
        return made

    return one


for _name, _method in {**UNARY, **BINARY}.items():
    onnx_op(_name)(_row(_method))


def signed(dtype: DType) -> bool:
    """Whether `dtype` has negative numbers."""
    return not dtype.value.startswith("uint")


@onnx_op("Abs")
def Abs(c: Call) -> Value:
    """Nothing to do for unsigned integers."""
    x = c[0]
    return c.b.abs(x) if signed(x.dtype) else x


@onnx_op("Neg")
def Neg(c: Call) -> Value:
    """Negation."""
    return c.b.neg(c[0])


@onnx_op("Sign")
def Sign(c: Call) -> Value:
    """-1, 0 or 1; unsigned integers have no sign row."""
    x = c[0]
    if signed(x.dtype):
        return c.b.sign(x)
    return c.b.cast(c.b.greater(x, c.b.scalar(x.dtype, 0)), x.dtype)


@onnx_op("IsNaN")
def IsNaN(c: Call) -> Value:
    """NaN as a boolean."""
    return c.b.is_nan(c[0])


@onnx_op("IsInf")
def IsInf(c: Call) -> Value:
    """Infinities, or those of one sign."""
    x = c[0]
    infinite, zero = c.b.is_infinite(x), c.b.scalar(x.dtype, 0)
    if not c.int("detect_negative", 1):
        infinite = c.b.logical_and(infinite, c.b.greater(x, zero))
    if not c.int("detect_positive", 1):
        infinite = c.b.logical_and(infinite, c.b.lesser(x, zero))
    return infinite


@onnx_op("Pow")
def Pow(c: Call) -> Value:
    """The exponent may be of another type; a float exponent of integers is computed in floats."""
    x, y = c[0], c[1]
    if x.dtype is y.dtype and x.dtype.is_float:
        return c.b.pow(x, y)
    if x.dtype.is_float:
        return c.b.pow(x, c.b.cast(y, x.dtype))
    return c.b.cast(c.b.pow(c.b.cast(x, F32), c.b.cast(y, F32)), x.dtype)


def _variadic(method: str) -> Any:
    def fold(c: Call) -> Value:
        values = [c[place] for place in range(len(c.inputs))]
        return reduce(getattr(c.b, method), values)

    return fold


for _name, _method in {"Max": "max", "Min": "min", "Sum": "add"}.items():
    onnx_op(_name)(_variadic(_method))


@onnx_op("Mean")
def Mean(c: Call) -> Value:
    """The mean of the inputs."""
    total = c.do("Sum", *c.inputs)
    return c.b.div(total, c.b.scalar(total.dtype, len(c.inputs)))


@onnx_op("Where")
def Where(c: Call) -> Value:
    """Choice by a condition."""
    return c.b.where(c[0], c[1], c[2])


def truncated(c: Call, x: Value) -> Value:
    """A float without its fraction."""
    return c.b.where(c.b.lesser(x, c.b.scalar(x.dtype, 0)), c.b.ceil(x), c.b.floor(x))


@onnx_op("Mod")
def Mod(c: Call) -> Value:
    """fmod=1: the sign of the dividend (C's), else that of the divisor (Python's)."""
    a, b = c[0], c[1]
    quotient = c.b.div(a, b)
    if a.dtype.is_float:
        whole = truncated(c, quotient) if c.int("fmod", 0) else c.b.floor(quotient)
        rest = c.b.sub(a, c.b.mul(whole, b))
        # a finite number modulo an infinity is itself, 0 * infinity is not
        huge = c.b.logical_and(c.b.is_infinite(b), c.b.logical_not(c.b.is_infinite(a)))
        if not c.int("fmod", 0):
            zero = c.b.scalar(a.dtype, 0)
            opposed = c.b.lesser(c.b.mul(c.b.sign(a), c.b.sign(b)), zero)
            return c.b.where(huge, c.b.where(opposed, b, a), rest)
        return c.b.where(huge, a, rest)
    rest = c.b.sub(a, c.b.mul(quotient, b))
    if c.int("fmod", 0) or not signed(a.dtype):
        return rest
    zero = c.b.scalar(a.dtype, 0)
    negative = c.b.logical_xor(c.b.lesser(rest, zero), c.b.lesser(b, zero))
    wrong = c.b.logical_and(c.b.logical_not(c.b.equal(rest, zero)), negative)
    return c.b.where(wrong, c.b.add(rest, b), rest)


@onnx_op("Clip")
def Clip(c: Call) -> Value:
    """Bounds are inputs since opset 11, attributes before."""
    x = c[0]
    low, high = c.get(1), c.get(2)
    if c.opset < 11:
        low = c.b.scalar(x.dtype, c.float("min")) if "min" in c.node.attributes else None
        high = c.b.scalar(x.dtype, c.float("max")) if "max" in c.node.attributes else None
    known = [None if v is None else c.b.known(v) for v in (low, high)]
    if x.dtype.is_float and all(a is not None or v is None
                                for a, v in zip(known, (low, high), strict=True)):  # fmt: skip
        numbers = [None if a is None else float(a.reshape(-1)[0]) for a in known]
        if None in numbers or numbers[0] <= numbers[1]:  # type: ignore[operator]
            return c.b.clamp(x, min_value=numbers[0], max_value=numbers[1])
    if low is not None:
        x = c.b.max(x, low)
    return x if high is None else c.b.min(x, high)


def cast(c: Call, x: Value, onnx: str, source: str) -> Value:
    """`x`, of ONNX type `source`, in ONNX type `onnx`, as far as our types tell them apart."""
    dtype = DTYPES[onnx]
    if onnx == "BOOL":
        if source == "BOOL":
            return x
        return c.b.logical_not(c.b.equal(x, c.b.scalar(x.dtype, 0)))
    if onnx in ("INT16", "UINT16") and source not in (onnx, "UINT8", "BOOL"):
        return _narrow(c, c.b.cast(x, dtype), onnx)
    if onnx == "BFLOAT16" and source not in (onnx, "BOOL"):
        return _bfloat16(c, c.b.cast(x, F32))
    if dtype.bits == 4 and x.dtype.bits != 4:
        return _nibble(c, x, dtype)
    return x if x.dtype is dtype else c.b.cast(x, dtype)


def _narrow(c: Call, x: Value, onnx: str) -> Value:
    """A 32-bit integer wrapped around to 16 bits."""
    span = c.b.scalar(x.dtype, 1 << 16)
    if onnx == "UINT16":
        return c.b.sub(x, c.b.mul(c.b.div(x, span), span))
    half = c.b.scalar(x.dtype, 1 << 15)
    shifted = c.b.cast(c.b.add(x, half), F32)  # floor division, exact for what fits float32
    whole = c.b.cast(c.b.floor(c.b.div(shifted, c.b.scalar(F32, 1 << 16))), x.dtype)
    return c.b.sub(x, c.b.mul(whole, span))


def _bfloat16(c: Call, x: Value) -> Value:
    """A float32 rounded to bfloat16's 8 bits of mantissa (Dekker's splitting)."""
    scaled = c.b.mul(x, c.b.scalar(F32, 2**16 + 1))
    high = c.b.sub(scaled, c.b.sub(scaled, x))
    return c.b.where(c.b.logical_or(c.b.is_nan(high), c.b.is_infinite(high)), x, high)


def _nibble(c: Call, x: Value, dtype: DType) -> Value:
    """To 4 bits: floats are rounded and saturate, integers saturate too."""
    low, high = (-8, 7) if dtype is DType.INT4 else (0, 15)
    if x.dtype.is_float:
        x = c.b.round_even(x)
        return c.b.cast(c.b.clamp(x, min_value=low, max_value=high), dtype)
    return c.b.cast(x, dtype)


@onnx_op("Cast")
def Cast(c: Call) -> Value:
    """To another type."""
    _, onnx = c.dtype("to", 0)
    c.types[0] = onnx
    return cast(c, c[0], onnx, c.type_of(0))


@onnx_op("CastLike", since=15)
def CastLike(c: Call) -> Value:
    """To the type of the second input."""
    onnx = c.type_of(1)
    c.types[0] = onnx
    return cast(c, c[0], onnx, c.type_of(0))


@onnx_op("BitCast", since=26)
def BitCast(c: Call) -> Value:
    """The same bits as another type. WebNN cannot: computed here from the input's value."""
    dtype, onnx = c.dtype("to", 0)
    c.types[0] = onnx
    bits = c.array(0).astype(NUMPY[c.type_of(0)]).reshape(-1).view(NUMPY[onnx])
    return c.b.literal(bits.reshape(c.shape(0)), dtype)


def _bits(c: Call, method: str) -> Value:
    """A bitwise operator, by the 0/1 digits of both inputs along a new last axis."""
    a, b = c[0], c[1]
    wide = DType.UINT64 if a.dtype.bits == 64 else U32
    powers = c.b.literal([1 << bit for bit in range(wide.bits)], wide)
    two = c.b.scalar(wide, 2)

    def digits(x: Value) -> Value:
        if signed(x.dtype) and x.dtype.bits < 32:
            x = c.b.cast(x, I32)
        spread = c.b.reshape(c.b.cast(x, wide), (*ints(x), 1))
        shifted = c.b.div(spread, powers)
        return c.b.cast(c.b.sub(shifted, c.b.mul(c.b.div(shifted, two), two)), U8)

    made = getattr(c.b, method)(digits(a), digits(b))
    total = c.b.reduce_sum(c.b.mul(c.b.cast(made, wide), powers), axes=[len(made.shape) - 1])
    if signed(a.dtype) and a.dtype.bits < 32:
        total = c.b.cast(total, I32)
    return c.b.cast(total, a.dtype)


for _name, _method in (
    ("BitwiseAnd", "logical_and"), ("BitwiseOr", "logical_or"), ("BitwiseXor", "logical_xor"),
):  # fmt: skip
    onnx_op(_name, since=18)(partial(_bits, method=_method))


@onnx_op("BitwiseNot", since=18)
def BitwiseNot(c: Call) -> Value:
    """-1 - x, or the largest number less x."""
    x, onnx = c[0], c.type_of(0)
    top = -1 if signed(x.dtype) else (1 << (16 if onnx == "UINT16" else x.dtype.bits)) - 1
    return c.b.sub(c.b.scalar(x.dtype, top), x)


@onnx_op("BitShift", since=11)
def BitShift(c: Call) -> Value:
    """A product or quotient with a power of two."""
    x, onnx = c[0], c.type_of(0)
    bits = 16 if onnx == "UINT16" else x.dtype.bits
    wide = DType.UINT64 if bits == 64 else U32
    powers = c.b.literal([1 << bit for bit in range(wide.bits)], wide)
    count = c.b.cast(c[1], I32)
    inside = c.b.lesser(count, c.b.scalar(I32, bits))
    by, value = c.b.gather(powers, c.b.min(count, c.b.scalar(I32, bits - 1))), c.b.cast(x, wide)
    if c.str("direction") == "RIGHT":
        moved = c.b.div(value, by)
    else:
        moved = c.b.mul(value, by)
        if bits < 32:
            span = c.b.scalar(wide, 1 << bits)
            moved = c.b.sub(moved, c.b.mul(c.b.div(moved, span), span))
    return c.b.cast(c.b.where(inside, moved, c.b.scalar(wide, 0)), x.dtype)


def code(onnx: str) -> int:
    """The number of an ONNX type."""
    return CODES.index(onnx)
