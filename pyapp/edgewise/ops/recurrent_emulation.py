"""The recurrent operators in terms of others: sequences of cells, cells of matrix products.

As the specification's emulations, with one product and one split for all gates of a cell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..dims import Dim
from ..errors import ShapeError
from .base import Value
from .recurrent_reference import GRU_ACTIVATIONS, LSTM_ACTIVATIONS, walk


def _stacked(b: Any, x: Value, weight: Value, *biases: Value | None) -> Value:
    """x·W' + biases, for all gates at once: [B, gates · H]."""
    total: Value = b.matmul(x, b.transpose(weight))
    for bias in biases:
        total = total if bias is None else b.add(total, bias)
    return total


def _named(b: Any, stacked: Value, order: str) -> dict[str, Value]:
    return dict(zip(order, b.split(stacked, len(order), axis=len(stacked.shape) - 1), strict=True))


def lstm_cell(
    b: Any, x: Value, weight: Value, recurrent: Value, hidden: Value, cell: Value,
    bias: Value | None = None, recurrent_bias: Value | None = None,
    peephole: Value | None = None, *, hiddenSize: int, layout: str,
    activations: tuple[str, ...] | None = None,
) -> tuple[Value, Value]:  # fmt: skip
    """One product of each weight for all gates, split."""
    gate, content, filtered = (getattr(b, name) for name in activations or LSTM_ACTIVATIONS)
    given = _stacked(b, x, weight, bias, recurrent_bias)
    parts = _named(b, b.add(given, _stacked(b, hidden, recurrent)), layout)
    if peephole is not None:
        for letter, part in _named(b, peephole, "iof").items():
            parts[letter] = b.add(parts[letter], b.mul(cell, part))
    i, o, f = (gate(parts[letter]) for letter in "iof")
    new = b.add(b.mul(f, cell), b.mul(i, content(parts["g"])))
    return b.mul(o, filtered(new)), new


def gru_cell(
    b: Any, x: Value, weight: Value, recurrent: Value, hidden: Value, bias: Value | None = None,
    recurrent_bias: Value | None = None, *, hiddenSize: int, resetAfter: bool, layout: str,
    activations: tuple[str, ...] | None = None,
) -> Value:  # fmt: skip
    """As `lstm_cell`; without `resetAfter` the new gate's product waits for the reset gate."""
    gate, content = (getattr(b, name) for name in activations or GRU_ACTIVATIONS)
    given = _named(b, _stacked(b, x, weight, bias), layout)
    if resetAfter:
        state = _named(b, _stacked(b, hidden, recurrent, recurrent_bias), layout)
        z, r = (gate(b.add(given[letter], state[letter])) for letter in "zr")
        remembered = b.mul(r, state["n"])
    else:  # `n` is last in both layouts
        split = [2 * hiddenSize, hiddenSize]
        gates, new = b.split(recurrent, split, axis=0)
        biases = (None, None) if recurrent_bias is None else b.split(recurrent_bias, split, axis=0)
        state = _named(b, _stacked(b, hidden, gates, biases[0]), layout[:2])
        z, r = (gate(b.add(given[letter], state[letter])) for letter in "zr")
        remembered = _stacked(b, b.mul(r, hidden), new, biases[1])
    content_now = content(b.add(given["n"], remembered))
    rest = b.sub(b.scalar(x.dtype, 1), z)
    out: Value = b.add(b.mul(z, hidden), b.mul(content_now, rest))
    return out


def _of_way(b: Any, value: Value | None, way: int) -> Value | None:
    """Direction number `way` of an array that has directions first."""
    if value is None:
        return None
    rest = value.shape[1:]
    if value.shape[0] != 1:
        starts = (way, *(0 for _ in rest))
        value = b.slice(value, starts, (1, *rest))
    only: Value = b.reshape(value, rest)
    return only


def _joined(b: Any, parts: Sequence[Value], axis: int) -> Value:
    whole: Value = parts[0] if len(parts) == 1 else b.concat(parts, axis=axis)
    return whole


def _unrolled(
    b: Any, x: Value, states: Sequence[Value | None], operands: Sequence[Value | None],
    cell: Callable[..., tuple[Value, ...]], *, steps: Dim, hiddenSize: int, direction: str,
    returnSequence: bool,
) -> tuple[Value, ...]:  # fmt: skip
    """A cell for every step: (x [B, I], the operands of one direction, states) -> states."""
    if not isinstance(steps, int):
        raise ShapeError("steps", got=str(steps), need="a number known in advance")
    _, batch, width = x.shape
    parts = [x] if steps == 1 else b.split(x, steps, axis=0)
    inputs = [b.reshape(each, (batch, width)) for each in parts]
    zeros: Any = None
    if None in states:
        zeros = b.expand(b.scalar(x.dtype, 0), (batch, hiddenSize))
    last: list[tuple[Value, ...]] = []
    sequences: list[Value] = []
    for way in range(2 if direction == "both" else 1):
        mine = [_of_way(b, each, way) for each in operands]
        now: tuple[Value, ...] = tuple(_of_way(b, each, way) or zeros for each in states)
        outputs: dict[int, Value] = {}
        for step in walk(steps, way, direction):
            now = cell(inputs[step], mine, now)
            outputs[step] = now[0]
        last.append(now)
        if returnSequence:
            ordered = [b.reshape(outputs[step], (1, 1, batch, hiddenSize)) for step in range(steps)]
            sequences.append(_joined(b, ordered, 0))
    made = [
        _joined(b, [b.reshape(each, (1, batch, hiddenSize)) for each in ways], 0)
        for ways in zip(*last, strict=True)
    ]
    return (*made, *([_joined(b, sequences, 1)] if sequences else []))


def lstm(
    b: Any, x: Value, weight: Value, recurrent: Value, bias: Value | None = None,
    recurrent_bias: Value | None = None, peephole: Value | None = None,
    hidden: Value | None = None, cell: Value | None = None, *, steps: Dim, hiddenSize: int,
    returnSequence: bool, direction: str, layout: str, activations: tuple[str, ...] | None = None,
) -> tuple[Value, ...]:  # fmt: skip
    """A cell for every step and direction."""

    def step(x: Value, mine: Sequence[Value | None], state: tuple[Value, ...]) -> Any:
        weights, options = mine[:2], mine[2:]
        return b.lstm_cell(x, *weights, *state, hiddenSize, *options, layout=layout, **chosen)

    chosen = {} if activations is None else {"activations": activations}
    if bias is not None and recurrent_bias is not None:  # once, not at every step
        bias, recurrent_bias = b.add(bias, recurrent_bias), None
    operands = (weight, recurrent, bias, recurrent_bias, peephole)
    return _unrolled(b, x, (hidden, cell), operands, step, steps=steps, hiddenSize=hiddenSize,
                     direction=direction, returnSequence=returnSequence)  # fmt: skip


def gru(
    b: Any, x: Value, weight: Value, recurrent: Value, bias: Value | None = None,
    recurrent_bias: Value | None = None, hidden: Value | None = None, *, steps: Dim,
    hiddenSize: int, resetAfter: bool, returnSequence: bool, direction: str, layout: str,
    activations: tuple[str, ...] | None = None,
) -> tuple[Value, ...]:  # fmt: skip
    """A cell for every step and direction."""

    def step(x: Value, mine: Sequence[Value | None], state: tuple[Value, ...]) -> Any:
        weights, options = mine[:2], mine[2:]
        return (b.gru_cell(x, *weights, *state, hiddenSize, *options, reset_after=resetAfter,
                           layout=layout, **chosen),)  # fmt: skip

    chosen = {} if activations is None else {"activations": activations}
    operands = (weight, recurrent, bias, recurrent_bias)
    return _unrolled(b, x, (hidden,), operands, step, steps=steps, hiddenSize=hiddenSize,
                     direction=direction, returnSequence=returnSequence)  # fmt: skip
