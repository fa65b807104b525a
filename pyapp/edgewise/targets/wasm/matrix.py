"""What a quantised matrix is on this target: panels of 8 rows, group after group (quant.h)."""

from __future__ import annotations

from dataclasses import dataclass

from ...dims import bound
from ...dtypes import DType
from .. import factored

# of a form, as in quant.h
WIDE, MINIMUM, BITS8, HALVES = 1, 2, 4, 8
ROWS = 8


@dataclass(frozen=True, slots=True)
class Matrix(factored.Matrix):
    """One quantised matrix in panels."""

    @property
    def panels(self) -> int:
        """Panels that its rows fill, the last one perhaps in part."""
        return -(-self.rows // ROWS)

    @property
    def form(self) -> Form:
        """How its panels look."""
        groups = bound(self.scale.value.shape[1])
        flags = 0 if self.scale.value.dtype is DType.FLOAT16 else WIDE
        flags |= 0 if self.minimum is None else MINIMUM
        flags |= BITS8 if self.codes.value.dtype is DType.INT8 else 0
        group = self.width // groups
        return Form(flags | (HALVES if group == 16 else 0), groups, max(group // 32, 1))


@dataclass(frozen=True, slots=True)
class Form:
    """How a panel looks: flags of quant.h, groups along K, blocks of 32 (or one of 16) in each."""

    flags: int
    groups: int
    blocks: int

    @property
    def bits(self) -> int:
        return 8 if self.flags & BITS8 else 4

    @property
    def scale_nbytes(self) -> int:
        """Of a group: scales, and minima where there are any."""
        return ROWS * (4 if self.flags & WIDE else 2) * (2 if self.flags & MINIMUM else 1)

    @property
    def code_nbytes(self) -> int:
        """Of a block."""
        return (ROWS * 4 * self.bits) // (2 if self.flags & HALVES else 1)

    @property
    def nbytes(self) -> int:
        """Of a panel."""
        return self.groups * (self.scale_nbytes + self.blocks * self.code_nbytes)

    @property
    def numbers(self) -> tuple[int, int, int]:
        return self.flags, self.groups, self.blocks
