"""Weights quantised in blocks: MatMulNBits, and GatherBlockQuantized for embeddings.

A weight [N, K] is codes along K, packed low bits first, with a scale and a zero point for every
block: value = (code - zero) * scale. Its bytes are those of a WebNN constant of uint4 or uint8, so
they stay in the file. Where scale and zero point are known here, the product is our composite
quantizedMatmul, which has a kernel; else the weight goes through dequantizeLinear.

Source: onnxruntime/docs/ContribOperators.md.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from ...dtypes import DType
from ...errors import FormatError
from ...graph.graph import Value
from .fold import ints
from .registry import Call, onnx_op

if TYPE_CHECKING:
    from .arrays import Array

MICROSOFT = "com.microsoft"
CODES = {4: DType.UINT4, 8: DType.UINT8}
KINDS = {4: "U4", 8: "U8"}
F32 = DType.FLOAT32


@onnx_op("MatMulNBits", domain=MICROSOFT)
def MatMulNBits(c: Call) -> Value:
    """A [.., K] times the weight's transpose, plus bias: [.., N]."""
    bits, block = c.int("bits", 4), c.int("block_size")
    rows, width = c.int("N"), c.int("K")
    if bits not in CODES or c.int("weight_prepacked", 0):
        raise c.unsupported(f"weights of {bits} bits or of a provider's own layout")
    if c.get(4) is not None:
        raise c.unsupported("g_idx")
    if block < 16 or rows < 1 or width < 1:
        raise FormatError("MatMulNBits", got=f"block_size {block}, N {rows}, K {width}",
                          need="at least 16, 1 and 1")  # fmt: skip
    blocks = -(-width // block)
    if prod(c.shape(1)) != rows * blocks * block * bits // 8:
        raise FormatError("MatMulNBits B", got=str(c[1]), need=f"{rows} by {blocks} blocks")
    a = c[0]
    *batch, _ = shape = ints(a)
    if blocks * block != width:  # codes go on to the end of a block, and meet zeros
        a = c.b.pad(a, (0,) * len(shape), (*(0,) * len(batch), blocks * block - width))
    made = _product(c, c.b.reshape(a, (prod(batch), blocks * block)), rows, blocks, bits)
    if c.get(5) is not None:
        made = c.b.add(made, c[5])
    out: Value = c.b.reshape(made, (*batch, rows))
    return out


def _product(c: Call, a: Value, rows: int, blocks: int, bits: int) -> Value:
    """a [M, K] times the weight's transpose, by the composite where all is stored or known."""
    b, width = c.b, ints(a)[1]
    scale = b.reshape(c[2], (rows, blocks))
    if (width // blocks) % 32 == 0:
        zero = _zeros(c, 3, rows, blocks, bits)
        raw, known = b.known(c[1]), b.known(scale)
        if raw is not None and known is not None and zero is not None:
            return _composite(c, a, raw, known, zero, bits)
        if bits == 4 and c[1].name in c.importer.files and b.is_constant(scale):
            minimum = _minimum(c, scale, zero, rows, blocks)
            if minimum is not None:
                codes = packed(c, 1, bits, (rows, width))
                return b.quantized_matmul(a, codes, scale, minimum, dtype=a.dtype)
    weight = _weight(c, rows, width, blocks, bits)
    return b.matmul(a, b.transpose(weight, (1, 0)))


def _minimum(c: Call, scale: Value, zero: Array | None, rows: int, blocks: int) -> Value | None:
    """scale * -zero, a product with a constant that a target may take apart; None: it cannot."""
    b, given = c.b, c.get(3)
    if given is None:
        return b.mul(scale, b.scalar(scale.dtype, -8))
    if zero is not None:
        return b.mul(scale, b.literal(-zero, scale.dtype))
    if given.dtype is not DType.UINT8 or given.name not in c.importer.files or blocks % 2:
        return None
    codes = packed(c, 3, 4, (rows, blocks))
    return b.mul(scale, b.neg(b.cast(codes, scale.dtype)))


def _composite(c: Call, a: Value, raw: Array, scale: Array, zero: Array, bits: int) -> Value:
    """By quantizedMatmul: codes uint4, or int8 with 128 less in codes and zero points."""
    import numpy as np

    rows, dtype = len(scale), c[2].dtype
    flat = raw.reshape(rows, -1)
    if bits == 4:
        codes = c.b.literal(np.stack([flat & 15, flat >> 4], 2).reshape(rows, -1), DType.UINT4)
    else:
        codes = c.b.literal((flat ^ 128).view(np.int8), DType.INT8)
        zero = zero - 128
    minimum = c.b.literal(-zero * scale.astype(np.float32), dtype)
    made: Value = c.b.quantized_matmul(a, codes, c.b.literal(scale, dtype), minimum, dtype=a.dtype)
    return made


def _zeros(c: Call, place: int, rows: int, blocks: int, bits: int) -> Array | None:
    """Zero points [rows, blocks] in float32, or None where they are not known."""
    import numpy as np

    given = c.get(place)
    if given is None:
        return np.full((rows, blocks), 1 << bits - 1, np.float32)
    array = c.b.known(given)
    if array is None:
        return None
    if given.dtype.is_float or bits == 8:
        return array.reshape(rows, blocks).astype(np.float32)
    packed = array.reshape(rows, -1)
    apart = np.stack([packed & 15, packed >> 4], 2).reshape(rows, -1)
    return apart[:, :blocks].astype(np.float32)


def _weight(c: Call, rows: int, width: int, blocks: int, bits: int) -> Value:
    """The weight [N, K] in floats, its bytes where they are."""
    b, dtype = c.b, CODES[bits]
    codes, scale = packed(c, 1, bits, (rows, width)), b.reshape(c[2], (rows, blocks))
    given = c.get(3)
    if given is not None and given.dtype.is_float:  # WebNN has zero points in codes only
        shift = b.reshape(given, (rows, blocks, 1))
        wide = b.reshape(b.cast(codes, given.dtype), (rows, blocks, width // blocks))
        made = b.mul(b.sub(wide, shift), b.reshape(scale, (rows, blocks, 1)))
        out: Value = b.reshape(made, (rows, width))
        return out
    if given is None:
        zero = b.literal(_filled(rows, blocks, 1 << bits - 1), dtype)
    elif bits == 4:
        even = blocks + blocks % 2  # a row of zero points begins with a byte
        zero = b.slice(packed(c, 3, bits, (rows, even)), (0, 0), (rows, blocks))
    else:
        zero = b.reshape(given, (rows, blocks))
    out = b.dequantize_linear(codes, scale, zero)
    return out


def _filled(rows: int, blocks: int, number: int) -> Array:
    import numpy as np

    return np.full((rows, blocks), number)


def packed(c: Call, place: int, bits: int, shape: tuple[int, ...]) -> Value:
    """A stored uint8 tensor as the codes that its bytes are. Raises UnsupportedError for data."""
    value, dtype = c[place], CODES[bits]
    if bits == 8 or value.dtype.bits == 4:
        made: Value = c.b.reshape(value, shape)
        return made
    tensor = c.importer.files.get(value.name)
    if tensor is not None:
        return c.importer.stored(tensor, KINDS[bits], dtype, shape)
    data = c.b.data(value)
    if data is None:
        raise c.unsupported("packed codes that are computed in the model")
    return c.b.constant(dtype, shape, data=data)


@onnx_op("GatherBlockQuantized", domain=MICROSOFT)
def GatherBlockQuantized(c: Call) -> Value:
    """Rows of a quantised table [R, K] in floats: codes, scales and zero points are gathered."""
    b, data, indices = c.b, c[0], c[1]
    rank = len(data.shape)
    axis = c.positive(c.int("gather_axis", 0), rank)
    across = c.positive(c.int("quantize_axis", 1), rank)
    bits = 4 if data.dtype.bits == 4 else c.int("bits", 4)
    if axis != 0 or across != rank - 1 or bits not in CODES or data.dtype is DType.INT4:
        raise c.unsupported("other axes than 0 and the last, or other codes than unsigned")
    count = 2 if bits == 4 and data.dtype is DType.UINT8 else 1
    shape = (*ints(data)[:-1], ints(data)[-1] * count)
    codes = b.gather(packed(c, 0, bits, shape), indices, axis=0)
    scale, given = b.gather(c[2], indices, axis=0), c.get(3)
    blocks = ints(c[2])[-1]
    if given is not None:
        per_byte = 2 if bits == 4 and given.dtype is DType.UINT8 else 1
        every = packed(c, 3, bits, (*ints(given)[:-1], ints(given)[-1] * per_byte))
        whole = (*ints(given)[:-1], blocks)
        zero = b.gather(b.slice(every, (0,) * rank, whole), indices, axis=0)
    else:  # 0 for data in 4 bits, the middle for packed bytes
        middle = 0 if data.dtype.bits == 4 else 1 << bits - 1
        zero = b.literal(_filled(1, prod(ints(scale)), middle).reshape(ints(scale)), CODES[bits])
    made: Value = b.dequantize_linear(codes, scale, zero)
    return made
