"""LSTM and GRU are WebNN's own; RNN is unrolled, and so is what has lengths of its own."""

from __future__ import annotations

from typing import Any

from ...graph.graph import Value
from .fold import ints
from .registry import Call, onnx_op

ACTIVATIONS = frozenset({"relu", "sigmoid", "tanh"})
DIRECTIONS = {"forward": "forward", "reverse": "backward", "bidirectional": "both"}


class _Recurrent:
    """What the three have in common: axes, options, states, and the shape of the results."""

    def __init__(self, c: Call, gates: int, default: tuple[str, ...]) -> None:
        self.c = c
        self.first = bool(c.int("layout", 0))  # batch first
        self.direction = DIRECTIONS[c.str("direction", "forward")]
        self.x = c.b.transpose(c[0], permutation=(1, 0, 2)) if self.first else c[0]
        self.steps, self.batch = ints(self.x)[:2]
        self.dirs, _rows, self.hidden = c.shape(2)
        self.gates = gates
        if "clip" in c.node.attributes:
            raise c.unsupported("clip")
        names = tuple(name.lower() for name in c.strs("activations") or default * self.dirs)
        if len({names[i : i + len(default)] for i in range(0, len(names), len(default))}) > 1:
            raise c.unsupported("other activations for each direction")
        if not ACTIVATIONS.issuperset(names):
            raise c.unsupported(f"activations {', '.join(sorted({*names} - ACTIVATIONS))}")
        self.activations = names[: len(default)]
        self.lengths = self._lengths()
        self.biases = self._biases(c.get(3))

    def _lengths(self) -> Value | None:
        """Lengths of the sequences, unless all are as long as the input."""
        value = self.c.get(4)
        if value is None:
            return None
        known = self.c.b.known(value)
        if known is not None and (known == self.steps).all():
            return None
        return value

    def _biases(self, both: Value | None) -> tuple[Value | None, Value | None]:
        if both is None:
            return None, None
        size = self.gates * self.hidden
        first, second = (self.c.b.slice(both, [0, start], [self.dirs, size])
                         for start in (0, size))  # fmt: skip
        return first, second

    def state(self, place: int) -> Value | None:
        """An initial state [directions, batch, hidden]."""
        value = self.c.get(place)
        if value is None or not self.first:
            return value
        return self.c.b.transpose(value, permutation=(1, 0, 2))

    def sequence(self, y: Value) -> Value:
        """[steps, directions, batch, hidden] in the model's order."""
        return self.c.b.transpose(y, permutation=(2, 0, 1, 3)) if self.first else y

    def last(self, h: Value) -> Value:
        """[directions, batch, hidden] in the model's order."""
        return self.c.b.transpose(h, permutation=(1, 0, 2)) if self.first else h

    def unrolled(self, cell: Any, states: list[Value | None]) -> tuple[Value, list[Value]]:
        """All steps, one after the other. `cell(direction, x, states) -> states`.

        A sequence that has ended keeps its states and gives zeros; backwards it begins at its end.
        """
        c, rows, ends = self.c, [], []
        zero = c.b.expand(c.b.scalar(self.x.dtype, 0), (self.batch, self.hidden))
        for index in range(self.dirs):
            back = self.direction == "backward" or index == 1
            now = [zero if state is None else c.b.reshape(
                c.b.slice(state, [index, 0, 0], [1, self.batch, self.hidden]),
                (self.batch, self.hidden)) for state in states]  # fmt: skip
            made: list[Value] = []
            for step in reversed(range(self.steps)) if back else range(self.steps):
                x = c.b.slice(self.x, [step, 0, 0], [1, self.batch, ints(self.x)[2]])
                after = cell(index, c.b.reshape(x, (self.batch, ints(self.x)[2])), now)
                y = after[0]
                if self.lengths is not None:
                    on = c.b.greater(self.lengths, c.b.scalar(self.lengths.dtype, step))
                    on = c.b.reshape(on, (self.batch, 1))
                    after = [c.b.where(on, new, old) for new, old in zip(after, now, strict=True)]
                    y = c.b.where(on, y, zero)
                now = after
                made.append(c.b.reshape(y, (1, 1, self.batch, self.hidden)))
            rows.append(c.b.concat(made[::-1] if back else made, 0))
            ends.append(now)
        y = rows[0] if len(rows) == 1 else c.b.concat(rows, 1)
        return y, [self._stacked([each[i] for each in ends]) for i in range(len(states))]

    def _stacked(self, values: list[Value]) -> Value:
        c = self.c
        rows = [c.b.reshape(value, (1, self.batch, self.hidden)) for value in values]
        return rows[0] if len(rows) == 1 else c.b.concat(rows, 0)

    def product(self, index: int, x: Value, hidden: Value) -> Value:
        """x W' + h R' and the biases, of one direction [batch, gates * hidden]."""
        c = self.c
        weight, recurrence = self.part(c[1], index), self.part(c[2], index)
        total = c.b.add(c.b.gemm(x, weight, b_transpose=True),
                        c.b.gemm(hidden, recurrence, b_transpose=True))  # fmt: skip
        for bias in self.biases:
            if bias is not None:
                total = c.b.add(total, self.part(bias, index))
        return total

    def activate(self, place: int, value: Value) -> Value:
        """The activation function at a place of the model's list."""
        made: Value = getattr(self.c.b, self.activations[place])(value)
        return made

    def part(self, value: Value | None, index: int) -> Value | None:
        """What belongs to one direction."""
        if value is None:
            return None
        shape = ints(value)
        cut = self.c.b.slice(value, [index, *[0] * (len(shape) - 1)], [1, *shape[1:]])
        return self.c.b.reshape(cut, shape[1:])


@onnx_op("LSTM", since=7)
def LSTM(c: Call) -> tuple[Value, Value, Value]:
    """Long short-term memory, gates in ONNX's order iofc, which WebNN calls iofg."""
    r = _Recurrent(c, 4, ("sigmoid", "tanh", "tanh"))
    if c.int("input_forget", 0):
        raise c.unsupported("input_forget")
    hidden, cell, peephole = r.state(5), r.state(6), c.get(7)
    bias, recurrent = r.biases
    if r.lengths is not None or peephole is not None:

        def one(index: int, x: Value, now: list[Value]) -> list[Value]:
            return _lstm_step(r, index, x, now, peephole)

        y, (last, cells) = r.unrolled(one, [hidden, cell])
        return r.sequence(y), r.last(last), r.last(cells)
    last, cells, y = c.b.lstm(
        r.x, c[1], c[2], steps=r.steps, hidden_size=r.hidden, bias=bias, recurrent_bias=recurrent,
        initial_hidden_state=hidden, initial_cell_state=cell,
        return_sequence=True, direction=r.direction, layout="iofg",
        activations=list(r.activations),
    )  # fmt: skip
    return r.sequence(y), r.last(last), r.last(cells)


def _lstm_step(
    r: _Recurrent, index: int, x: Value, now: list[Value], peephole: Value | None
) -> list[Value]:
    """One step. ONNX's output gate peeps at the new cell, WebNN's at the old one."""
    c, (hidden, cell), size = r.c, now, r.hidden
    total = r.product(index, x, hidden)
    gates = [c.b.slice(total, [0, place * size], [r.batch, size]) for place in range(4)]
    peep = r.part(peephole, index)
    weights = [None if peep is None else c.b.slice(peep, [place * size], [size])
               for place in range(3)]  # fmt: skip

    def gate(place: int, weight: Value | None, seen: Value) -> Value:
        value = gates[place]
        if weight is not None:
            value = c.b.add(value, c.b.mul(seen, weight))
        return r.activate(0, value)

    entering, kept = gate(0, weights[0], cell), gate(2, weights[2], cell)
    new = c.b.add(c.b.mul(kept, cell), c.b.mul(entering, r.activate(1, gates[3])))
    return [c.b.mul(gate(1, weights[1], new), r.activate(2, new)), new]


@onnx_op("GRU", since=7)
def GRU(c: Call) -> tuple[Value, Value]:
    """Gated recurrent units, gates in ONNX's order zrh, which WebNN calls zrn."""
    r = _Recurrent(c, 3, ("sigmoid", "tanh"))
    hidden = r.state(5)
    bias, recurrent = r.biases
    after = bool(c.int("linear_before_reset", 0))
    if r.lengths is not None:

        def one(index: int, x: Value, now: list[Value]) -> list[Value]:
            parts = [r.part(v, index) for v in (c[1], c[2], bias, recurrent)]
            return [c.b.gru_cell(
                x, parts[0], parts[1], now[0], hidden_size=r.hidden, bias=parts[2],
                recurrent_bias=parts[3], reset_after=after, layout="zrn",
                activations=list(r.activations),
            )]  # fmt: skip

        y, (last,) = r.unrolled(one, [hidden])
        return r.sequence(y), r.last(last)
    last, y = c.b.gru(
        r.x, c[1], c[2], steps=r.steps, hidden_size=r.hidden, bias=bias, recurrent_bias=recurrent,
        initial_hidden_state=hidden, reset_after=after, return_sequence=True,
        direction=r.direction, layout="zrn", activations=list(r.activations),
    )  # fmt: skip
    return r.sequence(y), r.last(last)


@onnx_op("RNN", since=7)
def RNN(c: Call) -> tuple[Value, Value]:
    """f(x W + h R + biases), step by step."""
    r = _Recurrent(c, 1, ("tanh",))

    def one(index: int, x: Value, now: list[Value]) -> list[Value]:
        return [r.activate(0, r.product(index, x, now[0]))]

    y, (last,) = r.unrolled(one, [r.state(5)])
    return r.sequence(y), r.last(last)
