"""What the recurrent operators mean: NumPy, one step at a time, in double precision.

Errors grow with every step, so that any order of single precision sums would be one answer among
several: inputs are widened, and results rounded once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .activation import ROWS

LSTM_ACTIVATIONS, GRU_ACTIVATIONS = ("sigmoid", "tanh", "tanh"), ("sigmoid", "tanh")
ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "relu": lambda xp, x: xp.maximum(x, 0),
    "sigmoid": ROWS["sigmoid"][1],
    "tanh": ROWS["tanh"][1],
}


def _gates(stacked: Any, order: str) -> dict[str, Any]:
    """The parts of an array along its last axis, by the letters of `order`."""
    size = stacked.shape[-1] // len(order)
    return {letter: stacked[..., at * size : (at + 1) * size] for at, letter in enumerate(order)}


def _lstm_step(
    xp: Any, ready: Any, hidden: Any, cell: Any, recurrent: Any, peephole: Any, layout: str,
    activations: Sequence[str],
) -> tuple[Any, Any]:  # fmt: skip
    """One step from what does not depend on the state: `ready` is x·W' + biases [B, 4H]."""
    gate, content, filtered = (ACTIVATIONS[name] for name in activations)
    parts = _gates(ready + xp.matmul(hidden, recurrent.T), layout)
    if peephole is not None:
        parts |= {k: parts[k] + cell * p for k, p in _gates(peephole, "iof").items()}
    i, o, f = (gate(xp, parts[letter]) for letter in "iof")
    cell = f * cell + i * content(xp, parts["g"])
    return o * filtered(xp, cell), cell


def _gru_step(
    xp: Any, ready: Any, hidden: Any, recurrent: Any, bias: Any, reset_after: bool, layout: str,
    activations: Sequence[str],
) -> Any:  # fmt: skip
    """One step from `ready`, which is x·W' + bias [B, 3H]; the recurrent bias comes in here."""
    gate, content = (ACTIVATIONS[name] for name in activations)
    given, bias = _gates(ready, layout), _gates(bias, layout)
    matrices = _gates(recurrent.T, layout)  # of each gate [H, H], transposed
    z, r = (gate(xp, given[k] + bias[k] + xp.matmul(hidden, matrices[k])) for k in "zr")
    if reset_after:
        state = r * (bias["n"] + xp.matmul(hidden, matrices["n"]))
    else:
        state = bias["n"] + xp.matmul(r * hidden, matrices["n"])
    return z * hidden + content(xp, given["n"] + state) * (1 - z)


def _wide(xp: Any, *arrays: Any) -> Iterator[Any]:
    return (None if array is None else array.astype(xp.float64) for array in arrays)


def _or_zeros(xp: Any, array: Any, shape: Sequence[int], like: Any) -> Any:
    return xp.zeros(shape, like.dtype) if array is None else array


def walk(steps: int, way: int, direction: str) -> range:
    """The order in which direction number `way` reads the sequence."""
    return range(steps)[::-1] if way == 1 or direction == "backward" else range(steps)


def lstm(
    xp: Any, x: Any, weight: Any, recurrent: Any, bias: Any = None, recurrent_bias: Any = None,
    peephole: Any = None, hidden: Any = None, cell: Any = None, *, steps: int, hiddenSize: int,
    returnSequence: bool, direction: str, layout: str, activations: tuple[str, ...] | None = None,
) -> Any:  # fmt: skip
    """x [S, B, I] -> hidden and cell [D, B, H] and, if asked for, all hidden [S, D, B, H]."""
    dtype, ways = x.dtype, weight.shape[0]
    x, weight, recurrent, bias, recurrent_bias, peephole, hidden, cell = _wide(
        xp, x, weight, recurrent, bias, recurrent_bias, peephole, hidden, cell
    )
    both = _or_zeros(xp, bias, weight.shape[:2], x)
    both = both + _or_zeros(xp, recurrent_bias, weight.shape[:2], x)
    state = (ways, x.shape[1], hiddenSize)
    hiddens, cells = (_or_zeros(xp, each, state, x).copy() for each in (hidden, cell))
    sequence = xp.empty((steps, *state), x.dtype)
    for way in range(ways):
        ready = xp.matmul(x, weight[way].T) + both[way]
        for step in walk(steps, way, direction):
            hiddens[way], cells[way] = _lstm_step(
                xp, ready[step], hiddens[way], cells[way], recurrent[way],
                None if peephole is None else peephole[way], layout,
                activations or LSTM_ACTIVATIONS,
            )  # fmt: skip
            sequence[step, way] = hiddens[way]
    results = (hiddens, cells, sequence) if returnSequence else (hiddens, cells)
    return tuple(each.astype(dtype, copy=False) for each in results)


def lstm_cell(
    xp: Any, x: Any, weight: Any, recurrent: Any, hidden: Any, cell: Any, bias: Any = None,
    recurrent_bias: Any = None, peephole: Any = None, *, hiddenSize: int, layout: str,
    activations: tuple[str, ...] | None = None,
) -> Any:  # fmt: skip
    """x [B, I] -> hidden [B, H], cell [B, H]."""
    dtype = x.dtype
    x, weight, recurrent, hidden, cell, bias, recurrent_bias, peephole = _wide(
        xp, x, weight, recurrent, hidden, cell, bias, recurrent_bias, peephole
    )
    both = _or_zeros(xp, bias, weight.shape[:1], x)
    both = both + _or_zeros(xp, recurrent_bias, weight.shape[:1], x)
    made = _lstm_step(xp, xp.matmul(x, weight.T) + both, hidden, cell, recurrent, peephole,
                      layout, activations or LSTM_ACTIVATIONS)  # fmt: skip
    return tuple(each.astype(dtype, copy=False) for each in made)


def gru(
    xp: Any, x: Any, weight: Any, recurrent: Any, bias: Any = None, recurrent_bias: Any = None,
    hidden: Any = None, *, steps: int, hiddenSize: int, resetAfter: bool, returnSequence: bool,
    direction: str, layout: str, activations: tuple[str, ...] | None = None,
) -> Any:  # fmt: skip
    """x [S, B, I] -> hidden [D, B, H] and, if asked for, all of them [S, D, B, H]."""
    dtype, ways = x.dtype, weight.shape[0]
    x, weight, recurrent, bias, recurrent_bias, hidden = _wide(
        xp, x, weight, recurrent, bias, recurrent_bias, hidden
    )
    bias, recurrent_bias = (
        _or_zeros(xp, each, weight.shape[:2], x) for each in (bias, recurrent_bias)
    )
    state = (ways, x.shape[1], hiddenSize)
    hiddens = _or_zeros(xp, hidden, state, x).copy()
    sequence = xp.empty((steps, *state), x.dtype)
    for way in range(ways):
        ready = xp.matmul(x, weight[way].T) + bias[way]
        for step in walk(steps, way, direction):
            hiddens[way] = _gru_step(
                xp, ready[step], hiddens[way], recurrent[way], recurrent_bias[way], resetAfter,
                layout, activations or GRU_ACTIVATIONS,
            )  # fmt: skip
            sequence[step, way] = hiddens[way]
    results = (hiddens, sequence) if returnSequence else (hiddens,)
    return tuple(each.astype(dtype, copy=False) for each in results)


def gru_cell(
    xp: Any, x: Any, weight: Any, recurrent: Any, hidden: Any, bias: Any = None,
    recurrent_bias: Any = None, *, hiddenSize: int, resetAfter: bool, layout: str,
    activations: tuple[str, ...] | None = None,
) -> Any:  # fmt: skip
    """x [B, I] -> hidden [B, H]."""
    dtype = x.dtype
    x, weight, recurrent, hidden, bias, recurrent_bias = _wide(
        xp, x, weight, recurrent, hidden, bias, recurrent_bias
    )
    bias, recurrent_bias = (
        _or_zeros(xp, each, weight.shape[:1], x) for each in (bias, recurrent_bias)
    )
    made = _gru_step(xp, xp.matmul(x, weight.T) + bias, hidden, recurrent, recurrent_bias,
                     resetAfter, layout, activations or GRU_ACTIVATIONS)  # fmt: skip
    return made.astype(dtype, copy=False)
