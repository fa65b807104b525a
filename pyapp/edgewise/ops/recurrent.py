"""lstm, lstmCell, gru, gruCell: one step of a recurrent network, and the walk over a sequence.

The gates' weights are stacked along one axis of 4 (LSTM) or 3 (GRU) times the hidden size; the
attribute `layout` names their order by letters. Peepholes are always input, output, forget, and
the output gate looks at the old cell state (as the specification's emulation; ONNX: the new one).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..dims import Dim
from ..dtypes import FLOATS
from ..errors import GraphError
from .base import In, Op, Param, Shape, Tolerance, Type, Value, register
from .elementwise import UNARY
from .shape import need
from .window import check_choice, check_rank

LSTM_LAYOUTS, GRU_LAYOUTS = ("iofg", "ifgo"), ("zrn", "rzn")
DIRECTIONS = ("forward", "backward", "both")
LSTM_ACTIVATIONS, GRU_ACTIVATIONS = ("sigmoid", "tanh", "tanh"), ("sigmoid", "tanh")
ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "relu": lambda xp, x: xp.maximum(x, 0),
    "sigmoid": UNARY["sigmoid"][1],
    "tanh": UNARY["tanh"][1],
}
LARGEST = 2**31 - 1  # of a dimension


def _check_activations(given: tuple[str, ...] | None, count: int) -> None:
    for name in given or ():
        check_choice("activations", name, tuple(ACTIVATIONS))
    if given is not None and len(given) != count:
        raise GraphError("attribute 'activations'", got=str(list(given)), need=f"{count} of them")


def _check_hidden(hidden: int, gates: int) -> None:
    # some platforms hold both biases in one tensor
    need(hidden >= 1 and 2 * gates * hidden <= LARGEST, "hiddenSize", hidden,
         f"1 to {LARGEST // (2 * gates)}")  # fmt: skip


def _check_shapes(shapes: dict[str, tuple[Value | None, Shape]]) -> None:
    for name, (value, shape) in shapes.items():
        if value is not None:
            need(value.shape == shape, f"input {name!r}", value,
                 f"shape [{', '.join(map(str, shape))}]")  # fmt: skip


def _check_sequence(x: Value, steps: Dim, direction: str) -> tuple[int, Dim, Dim]:
    """The number of directions, the batch's size and the input's."""
    check_rank("input", x, 3)
    check_choice("direction", direction, DIRECTIONS)
    need(
        steps != 0 and x.shape[0] == steps, "steps", steps, f"more than 0, and {x.shape[0]} as {x}"
    )
    return (2 if direction == "both" else 1), x.shape[1], x.shape[2]


def _lstm(
    x: Value, weight: Value, recurrent: Value, bias: Value | None = None,
    recurrent_bias: Value | None = None, peephole: Value | None = None,
    hidden: Value | None = None, cell: Value | None = None, *, steps: Dim, hiddenSize: int,
    returnSequence: bool, direction: str, layout: str, activations: tuple[str, ...] | None = None,
) -> list[Type]:  # fmt: skip
    ways, batch, width = _check_sequence(x, steps, direction)
    check_choice("layout", layout, LSTM_LAYOUTS)
    _check_activations(activations, 3)
    _check_hidden(hiddenSize, 4)
    state = (ways, batch, hiddenSize)
    _check_shapes({
        "weight": (weight, (ways, 4 * hiddenSize, width)),
        "recurrentWeight": (recurrent, (ways, 4 * hiddenSize, hiddenSize)),
        "bias": (bias, (ways, 4 * hiddenSize)),
        "recurrentBias": (recurrent_bias, (ways, 4 * hiddenSize)),
        "peepholeWeight": (peephole, (ways, 3 * hiddenSize)),
        "initialHiddenState": (hidden, state), "initialCellState": (cell, state),
    })  # fmt: skip
    sequence = [(x.dtype, (steps, *state))] if returnSequence else []
    return [(x.dtype, state), (x.dtype, state), *sequence]


def _lstm_cell(
    x: Value, weight: Value, recurrent: Value, hidden: Value, cell: Value,
    bias: Value | None = None, recurrent_bias: Value | None = None,
    peephole: Value | None = None, *, hiddenSize: int, layout: str,
    activations: tuple[str, ...] | None = None,
) -> list[Type]:  # fmt: skip
    check_rank("input", x, 2)
    check_choice("layout", layout, LSTM_LAYOUTS)
    _check_activations(activations, 3)
    _check_hidden(hiddenSize, 4)
    (batch, width), size = x.shape, hiddenSize
    _check_shapes({
        "weight": (weight, (4 * size, width)), "recurrentWeight": (recurrent, (4 * size, size)),
        "hiddenState": (hidden, (batch, size)), "cellState": (cell, (batch, size)),
        "bias": (bias, (4 * size,)), "recurrentBias": (recurrent_bias, (4 * size,)),
        "peepholeWeight": (peephole, (3 * size,)),
    })  # fmt: skip
    return [(x.dtype, (batch, size))] * 2


def _gru(
    x: Value, weight: Value, recurrent: Value, bias: Value | None = None,
    recurrent_bias: Value | None = None, hidden: Value | None = None, *, steps: Dim,
    hiddenSize: int, resetAfter: bool, returnSequence: bool, direction: str, layout: str,
    activations: tuple[str, ...] | None = None,
) -> list[Type]:  # fmt: skip
    ways, batch, width = _check_sequence(x, steps, direction)
    check_choice("layout", layout, GRU_LAYOUTS)
    _check_activations(activations, 2)
    _check_hidden(hiddenSize, 3)
    state = (ways, batch, hiddenSize)
    _check_shapes({
        "weight": (weight, (ways, 3 * hiddenSize, width)),
        "recurrentWeight": (recurrent, (ways, 3 * hiddenSize, hiddenSize)),
        "bias": (bias, (ways, 3 * hiddenSize)),
        "recurrentBias": (recurrent_bias, (ways, 3 * hiddenSize)),
        "initialHiddenState": (hidden, state),
    })  # fmt: skip
    return [(x.dtype, state), *([(x.dtype, (steps, *state))] if returnSequence else [])]


def _gru_cell(
    x: Value, weight: Value, recurrent: Value, hidden: Value, bias: Value | None = None,
    recurrent_bias: Value | None = None, *, hiddenSize: int, resetAfter: bool, layout: str,
    activations: tuple[str, ...] | None = None,
) -> list[Type]:  # fmt: skip
    check_rank("input", x, 2)
    check_choice("layout", layout, GRU_LAYOUTS)
    _check_activations(activations, 2)
    _check_hidden(hiddenSize, 3)
    (batch, width), size = x.shape, hiddenSize
    _check_shapes({
        "weight": (weight, (3 * size, width)), "recurrentWeight": (recurrent, (3 * size, size)),
        "hiddenState": (hidden, (batch, size)),
        "bias": (bias, (3 * size,)), "recurrentBias": (recurrent_bias, (3 * size,)),
    })  # fmt: skip
    return [(x.dtype, (batch, size))]


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
    # errors grow with every step: the meaning is taken in double precision, rounded at the end
    return (None if array is None else array.astype(xp.float64) for array in arrays)


def _or_zeros(xp: Any, array: Any, shape: Sequence[int], like: Any) -> Any:
    return xp.zeros(shape, like.dtype) if array is None else array


def _walk(steps: int, way: int, direction: str) -> range:
    """The order in which direction number `way` reads the sequence."""
    return range(steps)[::-1] if way == 1 or direction == "backward" else range(steps)


def _lstm_reference(
    xp: Any, x: Any, weight: Any, recurrent: Any, bias: Any = None, recurrent_bias: Any = None,
    peephole: Any = None, hidden: Any = None, cell: Any = None, *, steps: int, hiddenSize: int,
    returnSequence: bool, direction: str, layout: str, activations: tuple[str, ...] | None = None,
) -> Any:  # fmt: skip
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
        for step in _walk(steps, way, direction):
            hiddens[way], cells[way] = _lstm_step(
                xp, ready[step], hiddens[way], cells[way], recurrent[way],
                None if peephole is None else peephole[way], layout,
                activations or LSTM_ACTIVATIONS,
            )  # fmt: skip
            sequence[step, way] = hiddens[way]
    results = (hiddens, cells, sequence) if returnSequence else (hiddens, cells)
    return tuple(each.astype(dtype, copy=False) for each in results)


def _lstm_cell_reference(
    xp: Any, x: Any, weight: Any, recurrent: Any, hidden: Any, cell: Any, bias: Any = None,
    recurrent_bias: Any = None, peephole: Any = None, *, hiddenSize: int, layout: str,
    activations: tuple[str, ...] | None = None,
) -> Any:  # fmt: skip
    dtype = x.dtype
    x, weight, recurrent, hidden, cell, bias, recurrent_bias, peephole = _wide(
        xp, x, weight, recurrent, hidden, cell, bias, recurrent_bias, peephole
    )
    both = _or_zeros(xp, bias, weight.shape[:1], x)
    both = both + _or_zeros(xp, recurrent_bias, weight.shape[:1], x)
    made = _lstm_step(xp, xp.matmul(x, weight.T) + both, hidden, cell, recurrent, peephole,
                      layout, activations or LSTM_ACTIVATIONS)  # fmt: skip
    return tuple(each.astype(dtype, copy=False) for each in made)


def _gru_reference(
    xp: Any, x: Any, weight: Any, recurrent: Any, bias: Any = None, recurrent_bias: Any = None,
    hidden: Any = None, *, steps: int, hiddenSize: int, resetAfter: bool, returnSequence: bool,
    direction: str, layout: str, activations: tuple[str, ...] | None = None,
) -> Any:  # fmt: skip
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
        for step in _walk(steps, way, direction):
            hiddens[way] = _gru_step(
                xp, ready[step], hiddens[way], recurrent[way], recurrent_bias[way], resetAfter,
                layout, activations or GRU_ACTIVATIONS,
            )  # fmt: skip
            sequence[step, way] = hiddens[way]
    results = (hiddens, sequence) if returnSequence else (hiddens,)
    return tuple(each.astype(dtype, copy=False) for each in results)


def _gru_cell_reference(
    xp: Any, x: Any, weight: Any, recurrent: Any, hidden: Any, bias: Any = None,
    recurrent_bias: Any = None, *, hiddenSize: int, resetAfter: bool, layout: str,
    activations: tuple[str, ...] | None = None,
) -> Any:  # fmt: skip
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


def _inputs(*names: str, optional: Sequence[str] = ()) -> tuple[In, ...]:
    rest = [In(name, FLOATS, like="input") for name in names]
    options = [In(name, FLOATS, optional=True, like="input") for name in optional]
    return (In("input", FLOATS), *rest, *options)


WEIGHTS, BIASES = ("weight", "recurrentWeight"), ("bias", "recurrentBias")
STEPS, HIDDEN = Param("steps", "dim"), Param("hiddenSize", "int")
SEQUENCE, FUNCTIONS = Param("returnSequence", "bool", False), Param("activations", "strs", None)
DIRECTION, RESET = Param("direction", "str", "forward"), Param("resetAfter", "bool", True)

register(Op(
    "lstm",
    _inputs(*WEIGHTS, optional=(*BIASES, "peepholeWeight", "initialHiddenState",
                                "initialCellState")),
    _lstm,
    attrs=(STEPS, HIDDEN, SEQUENCE, DIRECTION, Param("layout", "str", "iofg"), FUNCTIONS),
    reference=_lstm_reference, several=True, tolerance=Tolerance("ULP", 3, 3),
    spec="#api-mlgraphbuilder-lstm",
))  # fmt: skip

register(Op(
    "lstmCell",
    _inputs(*WEIGHTS, "hiddenState", "cellState", optional=(*BIASES, "peepholeWeight")),
    _lstm_cell, attrs=(HIDDEN, Param("layout", "str", "iofg"), FUNCTIONS),
    reference=_lstm_cell_reference, several=True, tolerance=Tolerance("ULP", 1, 1),
    spec="#api-mlgraphbuilder-lstmcell",
))  # fmt: skip

register(Op(
    "gru", _inputs(*WEIGHTS, optional=(*BIASES, "initialHiddenState")), _gru,
    attrs=(STEPS, HIDDEN, RESET, SEQUENCE, DIRECTION, Param("layout", "str", "zrn"), FUNCTIONS),
    reference=_gru_reference, several=True, tolerance=Tolerance("ULP", 6, 6),
    spec="#api-mlgraphbuilder-gru",
))  # fmt: skip

register(Op(
    "gruCell", _inputs(*WEIGHTS, "hiddenState", optional=BIASES), _gru_cell,
    attrs=(HIDDEN, RESET, Param("layout", "str", "zrn"), FUNCTIONS),
    reference=_gru_cell_reference, tolerance=Tolerance("ULP", 3, 3),
    spec="#api-mlgraphbuilder-grucell",
))  # fmt: skip
