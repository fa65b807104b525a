"""Lowering of lstm, gru and their cells: the inputs' products at once, then a walk over the steps.

A cell is a sequence of one step in one direction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from ...dims import Dim
from ...dtypes import DType
from ...graph.graph import Node
from ...ops.base import OPS
from ...ops.recurrent_reference import GRU_ACTIVATIONS, LSTM_ACTIVATIONS
from ...plan.plan import Binding
from ..program import elements
from .emit import Number, Program
from .rows import finish, floats, result

OUTPUTS = 64  # of recurrent.c
FUNCTIONS = ("sigmoid", "tanh", "relu")  # in the kernels' order
WORK = 1 << 15  # multiply-adds that are worth the while of a thread


@dataclass(slots=True)
class Walk:
    """A node's sizes, and its operands in float32 by name."""

    p: Program
    node: Node
    gates: str  # their letters in the kernel's order

    def attr(self, name: str) -> str:
        """A string of the node's, or nothing."""
        return cast(str, self.node.attrs.get(name, ""))

    def operand(self, name: str) -> str | Binding | None:
        """An input in float32; None if it is not given."""
        names = [each.name for each in OPS[self.node.op].inputs]
        given = self.node.inputs[names.index(name)] if name in names else None
        return None if given is None else floats(self.p, self.node, given)

    @property
    def n(self) -> int:
        """Hidden units."""
        return cast(int, self.node.attrs["hiddenSize"])

    @property
    def sizes(self) -> tuple[Dim, int, Dim]:
        """Steps, directions, and sequences in the batch."""
        shape = self.p.value(self.node.inputs[0]).shape
        if len(shape) == 2:
            return 1, 1, shape[0]
        return shape[0], 2 if self.attr("direction") == "both" else 1, shape[1]

    def temporary(self, name: str, *shape: Dim) -> str:
        """A float32 value between the kernels."""
        return self.p.temporary(f"{self.node.outputs[0]}.{name}", shape, DType.FLOAT32)

    def inputs(self) -> str:
        """The products of all steps' inputs and the weights, with biases."""
        steps, ways, batch = self.sizes
        width = self.p.value(self.node.inputs[0]).shape[-1]
        outputs = ways * len(self.gates) * self.n
        made = self.temporary("inputs", steps, batch, outputs)
        x, weight, bias = map(self.operand, ("input", "weight", "bias"))
        assert x is not None
        assert weight is not None
        each = OUTPUTS * max(width if isinstance(width, int) else 1, 1)
        self.p.emit(
            "recurrent_inputs", self.node, [x, weight, bias or x], [made],
            [width, outputs, bias is not None],
            items=elements((steps, batch, -(-outputs // OUTPUTS))), grain=WORK // each,
        )  # fmt: skip
        return made

    def numbers(self, functions: tuple[str, ...]) -> list[Number]:
        """What recurrent.c calls Walk; but for which operands there are."""
        layout = self.attr("layout")
        order = [layout.index(letter) for letter in self.gates] + [0] * (4 - len(self.gates))
        named = cast(tuple[str, ...], self.node.attrs.get("activations") or functions)
        chosen = [FUNCTIONS.index(name) for name in named] + [0] * (3 - len(named))
        backward = self.attr("direction") == "backward"
        return [*self.sizes, self.n, backward, *order, *chosen]

    def emit(
        self,
        kernel: str,
        own: list[str | Binding | None],
        scratch: list[str],
        functions: tuple[str, ...],
        last: list[Number],
    ) -> None:
        """The walk; `own` are the reads that only this operator has."""
        p, node = self.p, self.node
        steps, ways, batch = self.sizes
        outputs = [result(p, name) for name in node.outputs]
        states = 2 if kernel == "lstm" else 1
        writes = [made for made, _ in outputs]
        if len(outputs) == states:
            writes.append(self.temporary("sequence", steps, ways, batch, self.n))
        bias, weight = self.operand("recurrentBias"), self.operand("recurrentWeight")
        state = self.operand("initialHiddenState") or self.operand("hiddenState")
        inputs = self.inputs()
        assert weight is not None
        reads = [each or inputs for each in (inputs, weight, bias, state, *own)]
        numbers = [*self.numbers(functions), bias is not None, state is not None, *last]
        p.emit(kernel, node, reads, [*scratch, *writes], numbers, items=elements((ways, batch)))
        for name, (made, to) in zip(node.outputs, outputs, strict=True):
            finish(p, node, made, to, name)


def lstm(p: Program, node: Node) -> None:
    """lstm and lstmCell."""
    walk = Walk(p, node, "iofg")
    cell = walk.operand("initialCellState") or walk.operand("cellState")
    peephole = walk.operand("peepholeWeight")
    walk.emit("lstm", [cell, peephole], [], LSTM_ACTIVATIONS,
              [cell is not None, peephole is not None])  # fmt: skip


def gru(p: Program, node: Node) -> None:
    """gru and gruCell."""
    walk = Walk(p, node, "zrn")
    _, ways, batch = walk.sizes
    reset = walk.temporary("reset", ways, batch, walk.n)
    walk.emit("gru", [], [reset], GRU_ACTIVATIONS, [cast(bool, node.attrs["resetAfter"])])
