"""Windows, Fourier transforms as products with a matrix made on import, and mel filters."""

from __future__ import annotations

from math import pi, prod
from typing import TYPE_CHECKING, Any

from ...dtypes import DType
from ...errors import FormatError
from ...graph.graph import Value
from .fold import ints, need_room
from .registry import Call, onnx_op

if TYPE_CHECKING:
    from .arrays import Array

F32 = DType.FLOAT32
#: cos(2π k n / N) is added for k = 0, 1, 2 with these weights.
WINDOWS = {
    "HannWindow": (0.5, -0.5), "HammingWindow": (25 / 46, -21 / 46),
    "BlackmanWindow": (0.42, -0.5, 0.08),
}  # fmt: skip


def _window(weights: tuple[float, ...]) -> Any:
    def make(c: Call) -> Value:
        import numpy as np

        size = int(c.array(0).reshape(-1)[0])
        need_room(size)
        dtype, c.types[0] = c.dtype("output_datatype", 1)
        span = size if c.int("periodic", 1) else size - 1
        angle = 2 * pi * np.arange(size) / max(span, 1)
        return c.b.literal(sum(w * np.cos(k * angle) for k, w in enumerate(weights)), dtype)

    return make


for _name, _weights in WINDOWS.items():
    onnx_op(_name, since=17)(_window(_weights))


@onnx_op("DFT", since=17)
def DFT(c: Call) -> Value:
    """Until opset 19 the axis is an attribute."""
    return _dft(c, c.int("axis", 1))


@onnx_op("DFT", since=20)
def DFT_20(c: Call) -> Value:
    """Along an axis of complex (last axis 2) or real (1) numbers."""
    return _dft(c, -2 if c.get(2) is None else int(c.array(2).reshape(-1)[0]))


def _dft(c: Call, axis: int) -> Value:
    axis, shape = c.positive(axis, c.rank(0)), c.shape(0)
    inverse, onesided = bool(c.int("inverse", 0)), bool(c.int("onesided", 0))
    length = shape[axis]
    if inverse and onesided:
        length = 2 * (length - 1)
    if c.get(1) is not None:
        length = int(c.array(1).reshape(-1)[0])
    need_room(4 * shape[axis] * length)
    matrix = _matrix(shape[axis], length, shape[-1], inverse, onesided)
    return transformed(c, c[0], matrix, axis)


def transformed(c: Call, x: Value, matrix: Array, axis: int) -> Value:
    """x [..., n at `axis`, ..., parts] times matrix [n, parts, m, parts]."""
    shape, rank = ints(x), len(x.shape)
    order = [each for each in range(rank - 1) if each != axis] + [axis, rank - 1]
    outer = [shape[each] for each in order[:-2]]
    turned = c.b.transpose(x, permutation=order) if order != sorted(order) else x
    flat = c.b.reshape(turned, (prod(outer), shape[axis] * shape[-1]))
    _, _, out, parts = matrix.shape
    table = c.b.literal(matrix.reshape(shape[axis] * shape[-1], out * parts), x.dtype)
    made = c.b.reshape(c.b.matmul(flat, table), (*outer, out, parts))
    back = [order.index(each) for each in range(rank)]
    return c.b.transpose(made, permutation=back) if back != sorted(back) else made


def _matrix(n: int, length: int, parts: int, inverse: bool, onesided: bool) -> Array:
    """Real and imaginary parts of the transform of n given numbers, cut or filled to `length`."""
    import numpy as np

    used = length // 2 + 1 if inverse and onesided else length
    given = np.arange(n)[:, None]
    out = length // 2 + 1 if onesided and not inverse else length
    angle = 2 * pi * ((given * np.arange(out)[None, :]) % length) / length
    real, imaginary = np.cos(angle), np.sin(angle) * (1 if inverse else -1)
    matrix = np.zeros((n, parts, out, 2))
    matrix[:, 0, :, 0], matrix[:, 0, :, 1] = real, imaginary
    if parts == 2:
        matrix[:, 1, :, 0], matrix[:, 1, :, 1] = -imaginary, real
    matrix[used:] = 0
    if not inverse:
        return matrix
    matrix /= length
    if onesided:  # the other half of the spectrum is the conjugate of this one
        twice = np.full(n, 2.0)
        twice[0] = 1
        if length % 2 == 0 and n > length // 2:
            twice[length // 2] = 1
        matrix = (matrix * twice[:, None, None, None])[..., :1]
    return matrix


@onnx_op("STFT", since=17)
def STFT(c: Call) -> Value:
    """Transforms of windows of the signal [batch, length, parts]."""
    import numpy as np

    n, total, *parts = c.shape(0)
    step = int(c.array(1).reshape(-1)[0])
    window = c.get(2)
    length = c.shape(2)[0] if window is not None else total
    if c.get(3) is not None:
        length = int(c.array(3).reshape(-1)[0])
    if step <= 0 or not 0 < length <= total:
        raise FormatError("STFT", got=f"steps of {step}, frames of {length}",
                          need=f"frames within {total}")  # fmt: skip
    frames = 1 + (total - length) // step
    need_room(max(frames * length, 4 * length * length))
    x = c.b.reshape(c[0], (n, total, parts[0] if parts else 1))
    places = np.arange(frames)[:, None] * step + np.arange(length)[None, :]
    cut = c.b.gather(x, c.b.literal(places, DType.INT32), axis=1)
    if window is not None:
        cut = c.b.mul(cut, c.b.reshape(window, (length, 1)))
    matrix = _matrix(length, length, ints(x)[2], False, bool(c.int("onesided", 1)))
    return transformed(c, cut, matrix, 2)


@onnx_op("MelWeightMatrix", since=17)
def MelWeightMatrix(c: Call) -> Value:
    """Triangles over the bins of a spectrum, evenly wide in mel: known."""
    import numpy as np

    given = c.array(0), c.array(1), c.array(2), c.array(3), c.array(4)
    mels, length, rate, low, high = (each.reshape(-1)[0] for each in given)
    mels, length = int(mels), int(length)
    need_room(mels * (length // 2 + 1))
    dtype, c.types[0] = c.dtype("output_datatype", 1)
    edges = [2595 * np.log10(1 + float(hertz) / 700) for hertz in (low, high)]
    # as ONNX's reference has it, the step counts the two ends as bins
    points = np.arange(mels + 2) * ((edges[1] - edges[0]) / (mels + 2)) + edges[0]
    hertz = 700 * (10 ** (points / 2595) - 1)
    bins = (((length + 1) * hertz) // float(rate)).astype(int)
    matrix = np.zeros((length // 2 + 1, mels))
    for column in range(mels):
        start, centre, end = bins[column : column + 3]
        if centre == start:
            matrix[centre, column] = 1
        else:
            rise = np.arange(start, centre + 1)
            matrix[rise, column] = (rise - start) / (centre - start)
        if end > centre:
            fall = np.arange(centre, end)
            matrix[fall, column] = (end - fall) / (end - centre)
    return c.b.literal(matrix, dtype)
