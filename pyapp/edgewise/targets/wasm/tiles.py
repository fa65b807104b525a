"""Programs of the tile interpreter (shims/wasm/tile.h): made value by value, then put in registers.

A `Tile` computes each element of an output from the elements of its inputs at that place. Inputs
are views, read by strides over the output's axes; broadcast axes have stride 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...dims import Dim
from ...dtypes import DType
from ...graph.graph import Node, Value
from ...ops.base import Shape
from ...plan.plan import Binding, Size, count
from ..program import elements
from .emit import Number, Program, View, strides_of
from .lower_view import backwards, copy, merged_together
from .opcodes import BOOL, CODES, COMPUTED, KINDS, bits_of, is_wide, opcode

REGISTERS = 16
MAX_READS = 8
MAX_AXES = 4
BLOCK = 1024  # elements of an item
GRAIN = 24  # items that make some 20 us at a cost of 1
COSTS = {"pow_f32": 24, "sin_f32": 6, "cos_f32": 6, "tan_f32": 6, "erf_f32": 5, "erfc_f32": 5,
         "gelu_f32": 5, "tanh_f32": 3, "softplus_f32": 4, "sigmoid_f32": 3, "exp_f32": 2,
         "log_f32": 2, "pow_i32": 24, "pow_u32": 24, "pow_i64": 24, "div_i32": 4, "div_u32": 4,
         "div_i64": 8, "div_u64": 8}  # fmt: skip


class FullError(Exception):
    """A program needs more registers or operands than there are."""


@dataclass(frozen=True, slots=True)
class Reg:
    """A value of a program: its number, and the type that it is computed in."""

    index: int
    kind: str = field(compare=False)  # integers of one size may be taken for each other


@dataclass(frozen=True, slots=True)
class Load:
    """An operand: `view` has a stride for each axis of the output."""

    to: Reg
    dtype: DType
    view: View


@dataclass(slots=True)
class Tile:
    """One program in the making, over an output of `shape`."""

    p: Program
    node: Node
    shape: Shape
    loads: list[Load] = field(default_factory=list)
    constants: dict[tuple[str, int], Reg] = field(default_factory=dict)
    code: list[tuple[str, Reg, tuple[Reg, ...]]] = field(default_factory=list)
    made: dict[str, Reg] = field(default_factory=dict)  # values of the graph
    n: int = 0

    def _new(self, kind: str) -> Reg:
        self.n += 1
        return Reg(self.n - 1, kind)

    def load(self, name: str) -> Reg:
        """The elements of a value that broadcasts to the output."""
        value = self.p.value(name)
        view = broadcast(self.p.view(name), value.shape, self.shape)
        if any(backwards(stride) for stride in view.strides if not isinstance(stride, int)):
            place = self.p.dense(name, self.node)
            assert isinstance(place, str), "a constant runs forwards"
            view = broadcast(View(place, 0, strides_of(value.shape)), value.shape, self.shape)
        return self.load_view(view, value.dtype)

    def load_view(self, view: View, dtype: DType) -> Reg:
        """The elements of a view with a stride for each axis of the output."""
        for each in self.loads:
            if each.view == view and each.dtype is dtype:
                return each.to
        made = self._new(COMPUTED[dtype])
        self.loads.append(Load(made, dtype, view))
        return made

    def constant(self, kind: str, number: float) -> Reg:
        """The same number everywhere."""
        bits = bits_of(number, kind)
        if (kind, bits) not in self.constants:
            self.constants[kind, bits] = self._new(kind)
        return self.constants[kind, bits]

    def apply(self, name: str, kind: str, *args: Reg) -> Reg:
        """One instruction by its full name; `kind` is what it makes."""
        for done, made, given in self.code:
            if done == name and given == args:
                return made
        assert name in CODES, f"no instruction {name=}"
        out = self._new(kind)
        self.code.append((name, out, args))
        return out

    def run(self, result: Reg, value: Value, to: str | Binding) -> None:
        """Add the step that stores `result` in the data type of `value` at `to`."""
        code = self._needed(result)
        self._settle()
        reads = self._reads()
        if len(reads) > MAX_READS:
            raise FullError
        numbers = self._program(result, code, reads, value.dtype)
        cost = 1 + sum(COSTS.get(name, 1) for name, _, _ in code) / 4
        total = elements(self.shape)
        self.p.emit(
            f"tile{len(reads)}", self.node, reads, [to], numbers,
            items=count(total, BLOCK), grain=max(int(GRAIN / cost), 1),
        )  # fmt: skip

    def _needed(self, result: Reg) -> list[tuple[str, Reg, tuple[Reg, ...]]]:
        """The instructions that `result` depends on, which is the last; what is loaded for
        none of them is dropped."""
        used = {result}
        code = []
        for name, made, args in reversed(self.code):
            if made in used:
                used.update(args)
                code.append((name, made, args))
        self.loads = [each for each in self.loads if each.to in used]
        self.constants = {key: reg for key, reg in self.constants.items() if reg in used}
        return code[::-1]

    def _settle(self) -> None:
        """Make whole what cannot be read by strides over four axes."""
        strides = [each.view.strides for each in self.loads]
        if len(merged_together(self.shape, strides)[0]) <= MAX_AXES:
            return
        whole = strides_of(self.shape)
        for at, each in enumerate(self.loads):
            if each.view.strides != whole and any(s != 0 for s in each.view.strides):
                place = self.p.temporary(each.view.root, self.shape, each.dtype)
                copy(self.p, self.node, each.view, Value(place, each.dtype, self.shape), place)
                self.loads[at] = Load(each.to, each.dtype, View(place, 0, whole))

    def _reads(self) -> list[str | Binding]:
        return list(dict.fromkeys(self.p.operand(each.view.root) for each in self.loads))

    def _program(
        self, result: Reg, code: Sequence[tuple[str, Reg, tuple[Reg, ...]]],
        reads: Sequence[str | Binding], dtype: DType,
    ) -> list[Number]:  # fmt: skip
        """The words: `reads` are the step's first bindings, the result's comes after them."""
        shape, strides = merged_together(self.shape, [each.view.strides for each in self.loads])
        lead = MAX_AXES - len(shape)
        sizes: list[Dim | tuple[Dim, ...]] = [*(1,) * lead, *shape]
        rows = {
            each.to for each, steps in zip(self.loads, strides, strict=True)
            if not any(steps[:-1]) and (len(shape) > 1 or steps[-1] == 0)
        }  # fmt: skip
        at = self._registers(result, code, rows)
        head: list[Number] = [
            len(self.loads), len(self.constants), len(code),
            at[result] | KINDS[dtype] << 8 | len(reads) << 16, elements(self.shape), *sizes[1:],
        ]  # fmt: skip
        for each, steps in zip(self.loads, strides, strict=True):
            binding = reads.index(self.p.operand(each.view.root))
            head += [at[each.to] | KINDS[each.dtype] << 8 | binding << 16, each.view.offset]
            head += [*(0,) * lead, *steps]
        for (kind, bits), reg in self.constants.items():
            head += [at[reg] | is_wide(kind) << 8, bits & 0xFFFFFFFF, bits >> 32]
        for name, made, args in code:
            head += [CODES[name] | at[made] << 8,
                     sum(at[arg] << 8 * k for k, arg in enumerate(args))]  # fmt: skip
        return head

    def _registers(
        self, result: Reg, code: Sequence[tuple[str, Reg, tuple[Reg, ...]]], rows: set[Reg]
    ) -> dict[Reg, int]:
        """A register for each value; constants and `rows`, operands that may be the same in all
        tiles, keep theirs."""
        kept = {*self.constants.values(), *rows}
        at = {
            reg: n for n, reg in enumerate((*self.constants.values(), *(x.to for x in self.loads)))
        }
        free = list(range(REGISTERS - 1, len(at) - 1, -1))
        last = {arg: n for n, (_, _, args) in enumerate(code) for arg in args}
        if len(at) > REGISTERS:
            raise FullError
        for n, (_, made, args) in enumerate(code):
            for arg in set(args) - kept:
                if last[arg] == n and arg != result:
                    free.append(at[arg])
            if not free:
                raise FullError
            at[made] = free.pop()
        return at


def broadcast(view: View, shape: Shape, to: Shape) -> View:
    """A view of `shape` as one that broadcasts to the shape `to`."""
    lead = len(to) - len(shape)
    strides: list[Size] = [0] * lead
    strides += [0 if dim == 1 else step for dim, step in zip(shape, view.strides, strict=True)]
    return View(view.root, view.offset, tuple(strides))


def instruction(name: str, kind: str) -> str:
    """The full name of what does `name` to a type. Every row's functions have one."""
    found = opcode(name, "u32" if kind == BOOL else kind)
    assert found is not None, f"no instruction {name!r} for {kind}"
    return found
