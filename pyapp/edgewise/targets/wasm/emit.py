"""What the Wasm target adds to a program in the making: views, and steps with numbers.

Values lie in memory row-major, in their own data types; 4-bit integers one to a byte, but for
constants, inputs and outputs, which are packed as the host has them. A *view* (a transpose, a
slice, an expand, ...) is another way to read a value that lies somewhere: an offset and a stride
for each axis, in elements. A kernel that takes strides reads a view as it is; for all others
`dense` makes it whole.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from ...dims import Dim, Expr, bound
from ...dtypes import DType
from ...errors import PlanError
from ...graph.graph import Node, Value
from ...ops.base import Shape
from ...plan.plan import Binding, Count, Kernel, Size, count
from .. import program
from ..program import Draft, n_elements, words
from .weights import Weights

Number = int | float | Dim | tuple[Dim, ...] | Count
LARGEST_BYTES = 1 << 32  # what a 32-bit address reaches


@dataclass(frozen=True, slots=True)
class Arg:
    """One binding of a step: access, and a value's name or a place."""

    access: Literal["read", "write"]
    operand: str | Binding


@dataclass(frozen=True, slots=True)
class View:
    """Where the elements of a value lie in another's memory: offset + Σ index·stride, in elements.

    root  the value that lies in memory row-major
    """

    root: str
    offset: Size
    strides: tuple[Size, ...]


@dataclass(slots=True)
class Program(program.Program):
    """The steps of one graph while they are made."""

    weights: Weights = field(kw_only=True)
    views: dict[str, View] = field(default_factory=dict)
    absorbed: set[str] = field(default_factory=set)  # values that another step makes on its way
    made: dict[tuple[str, str], str] = field(default_factory=dict)  # copies: (value, form) -> name
    joined: dict[str, str] = field(default_factory=dict)  # value -> the last of its group (fuse.py)
    deferred: dict[str, Node] = field(default_factory=dict)  # what is computed when it is read

    def operand(self, name: str) -> str | Binding:
        """Where a value without a view lies: its name, or the place of a constant.

        4-bit integers as kernels have them, after a step that unpacks them if they are packed.
        """
        root = self.root(name)
        constant = self.graph.constants.get(root)
        place = root if constant is None else self.weights.plain(constant)
        packed = constant is not None or root in self.graph.inputs
        if not packed or self.value(root).dtype.bits >= 8:
            return place
        if (root, "bytes") not in self.made:
            value = self.value(root)
            unpacked = self.made[root, "bytes"] = self.temporary(root, value.shape, value.dtype)
            self.nibbles("unpack_nibbles", value, place, unpacked)
        return self.made[root, "bytes"]

    def nibbles(self, kernel: str, value: Value, of: str | Binding, to: str | Binding) -> None:
        """A step that packs or unpacks 4-bit integers."""
        node = Node(
            "nibbles", (value.name,), (), {}, kernel.replace("_", " ") + f" of {value.name}"
        )
        n = program.elements(value.shape)
        signed = value.dtype is DType.INT4
        self.emit(kernel, node, [of], [to], [n, signed], items=count(n, 4096), grain=16)

    def view(self, name: str) -> View:
        """How to read a value: its own view, or all of it in order."""
        root = self.root(name)
        return self.views.get(root) or View(root, 0, strides_of(self.value(name).shape))

    def dense(self, name: str, node: Node) -> str | Binding:
        """Where a value lies row-major, after a step that copies it there if it is a view."""
        root = self.root(name)
        if root not in self.views:
            return self.operand(root)
        if (root, "dense") not in self.made:
            from .lower_view import copy  # which is made of steps itself

            value = self.value(name)
            copied = self.temporary(root, value.shape, value.dtype)
            copy(self, node, self.views[root], value, copied)
            self.made[root, "dense"] = copied
        return self.made[root, "dense"]

    def temporary(self, name: str, shape: Shape, dtype: DType) -> str:
        """The name of a value that lives between the steps of one lowering."""
        unique = program.Program.temporary(self, name, shape, dtype)
        self.temporaries[unique] = stored_nbytes(dtype, n_elements(shape))
        return unique

    def nbytes(self, name: str) -> int:
        """Bytes of a value as it lies in memory."""
        if name in self.temporaries:
            return self.temporaries[name]
        value = self.graph.values[name]
        return stored_nbytes(value.dtype, n_elements(value.shape))

    def emit(
        self,
        kernel: str,
        node: Node,
        reads: Sequence[str | Binding],
        writes: Sequence[str | Binding],
        numbers: Sequence[Number] = (),
        *,
        items: Size | Count,
        grain: int = 1,
    ) -> None:
        """Add one step of the exported function `kernel`.

        Its first arguments are the addresses of `reads`, then `writes`; then come `numbers`.

        items  how many items threads share
        grain  how many of them are worth the while of a thread: some 20 us of work
        """
        for name in reads:
            if name in self.deferred:
                from .fuse import settle  # whose steps are made here

                settle(self, name)
        args = (*(Arg("read", r) for r in reads), *(Arg("write", w) for w in writes))
        made = Kernel(kernel, "", tuple(a.access for a in args))
        n = items if isinstance(items, Count) else count(items)
        self.drafts.append(
            Draft(
                self.shared.kernel(made), args, (n, count(max(grain, 1)), count(1)), node.origin,
                tuple(word(number) for number in numbers),
            )
        )  # fmt: skip


def word(number: Number) -> int | Count:
    """A number as kernels get it: 32 bits, or what they are computed from when a run begins."""
    if isinstance(number, float):
        return int(struct.unpack("<I", struct.pack("<f", number))[0])
    if isinstance(number, int):
        return number & 0xFFFFFFFF
    if isinstance(number, Count):
        return number
    return count(number)


def strides_of(shape: Shape) -> tuple[Size, ...]:
    """Elements from one index of each axis to the next, row-major."""
    return tuple(program.elements(shape[axis + 1 :]) for axis in range(len(shape)))


def stored_nbytes(dtype: DType, n: int) -> int:
    """Bytes of `n` elements between kernels."""
    nbytes = words(n * max(dtype.bits // 8, 1))
    if nbytes >= LARGEST_BYTES:
        raise PlanError("a value on wasm", got=f"{nbytes} bytes", need="less than 4 GiB",
                        fix="choose smaller inputs, or run it on WebGPU or a server")  # fmt: skip
    return nbytes


def fixed(shape: Shape) -> bool:
    """Whether all dimensions are known."""
    return not any(isinstance(dim, Expr) for dim in shape)


def grain_of(size: Size, n_each: int) -> int:
    """How many items of `size` make `n_each` elements, where one item has bound(size) elements."""
    most = bound(size) if not isinstance(size, tuple) else n_elements(size)
    return max(n_each // max(most, 1), 1)
