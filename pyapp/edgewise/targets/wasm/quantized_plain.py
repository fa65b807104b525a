"""Quantised matrices whose codes, scales and minima are tensors of their own in the file.

They come in the file's order. Where a minimum is a factor of its scale (factored.py), the factor
waits in its place until the scale is there, or multiplies the one that is.
"""

from __future__ import annotations

import struct

from ...dims import bound
from ...dtypes import DType
from ...graph.graph import Constant
from ...plan.plan import Binding, Kernel, Step, Weight, count
from ..places import UPLOAD_BYTES, name_of
from .emit import Number, word
from .matrix import ROWS, WIDE, Matrix
from .weights import Weights

SCALES, MINIMA = 0, 1  # of quant_plain.c
ALONE, THERE, NUMBER = 0, 1, 2


def send_plain(weights: Weights, matrix: Matrix, to: Binding, step: int) -> None:
    """Bring the parts of a matrix to panels that lie `step` bytes apart."""
    _Sender(weights, matrix, to, step).send()


class _Sender:
    """One matrix on its way."""

    def __init__(self, weights: Weights, matrix: Matrix, to: Binding, step: int) -> None:
        self.weights, self.matrix, self.to, self.step = weights, matrix, to, step
        self.later: list[Step] = []  # what the graph holds goes along with the first codes

    def send(self) -> None:
        """Codes, scales, minima."""
        matrix = self.matrix
        scale, minimum = matrix.scale, matrix.minimum
        other, number = ALONE, 0.0
        if minimum is not None and matrix.factored and not minimum.value.shape:
            assert minimum.data is not None, "a number that the graph knows"
            kind = "<f" if matrix.form.flags & WIDE else "<e"
            other, (number,) = NUMBER, struct.unpack(kind, minimum.data)
        elif minimum is not None:
            there = matrix.factored and self.at(minimum) > self.at(scale)
            self.part(minimum, MINIMA, THERE if there else ALONE, 0.0)
            other = THERE if matrix.factored and not there else ALONE
        self.part(scale, SCALES, other, number)
        self.upload(matrix.codes, "quant_codes", matrix.width * matrix.form.bits, ())

    def at(self, constant: Constant) -> int:
        """Where a part comes in the file; what the graph holds comes with the codes."""
        if constant.data is None:
            return self.weights.tensor(name_of(constant)).offset
        return self.weights.tensor(name_of(self.matrix.codes)).offset

    def part(self, constant: Constant, what: int, other: int, number: float) -> None:
        """Scales or minima, from the file or from the graph."""
        codes = constant.value.dtype is DType.UINT4
        numbers = (what, other, float(number), codes)
        bits = bound(self.matrix.scale.value.shape[1]) * constant.value.dtype.bits
        if constant.data is None:
            self.upload(constant, "quant_scales", bits, numbers)
        else:
            place = self.weights.plain(constant)
            self.later.append(self.made("quant_scales", place, 0, self.matrix.rows, numbers))

    def upload(
        self, constant: Constant, kernel: str, row_bits: int, numbers: tuple[Number, ...]
    ) -> None:
        """Rows of a tensor, as many as go in one upload."""
        name = name_of(constant)
        tensor = self.weights.tensor(name)
        most = max(UPLOAD_BYTES * 8 // row_bits // ROWS, 1) * ROWS
        for row in range(0, self.matrix.rows, most):
            n = min(most, self.matrix.rows - row)
            nbytes = -(-n * row_bits // 8)
            staging = self.weights.shared.buffer("staging", "staging", nbytes)
            steps = [self.made(kernel, Binding(staging, 0, nbytes), row, n, numbers)]
            if constant is self.matrix.codes and row == 0:
                steps += self.later
            start = tensor.offset + row * row_bits // 8
            self.weights.uploads.append(Weight(name, start, nbytes, tuple(steps)))

    def made(
        self, kernel: str, source: Binding, row: int, n: int, numbers: tuple[Number, ...]
    ) -> Step:
        """The step that puts rows where they belong."""
        form, first = self.matrix.form, row // ROWS
        size = (-(-n // ROWS) - 1) * self.step + form.nbytes
        to = Binding(self.to.buffer, self.to.offset + first * self.step, size)
        index = self.weights.shared.kernel(Kernel(kernel, "", ("read", "write")))
        every = (*form.numbers, n, self.step, *numbers)
        groups = (count(-(-n // ROWS)), count(4), count(1))
        name = name_of(self.matrix.codes)
        return Step(index, (source, to), groups, name, tuple(map(word, every)))
