"""lstm, lstmCell, gru, gruCell: one step of a recurrent network, and the walk over a sequence.

The gates' weights are stacked along one axis of 4 (LSTM) or 3 (GRU) times the hidden size; the
attribute `layout` names their order by letters. Peepholes are always input, output, forget, and
the output gate looks at the old cell state (as the specification's emulation; ONNX: the new one).
"""

from __future__ import annotations

from collections.abc import Sequence

from ..dims import Dim
from ..dtypes import FLOATS
from ..errors import GraphError
from . import recurrent_emulation as emulation
from . import recurrent_reference as meaning
from .base import In, Op, Param, Shape, Tolerance, Type, Value, register
from .recurrent_reference import ACTIVATIONS
from .shape import need
from .window import check_choice, check_rank

LSTM_LAYOUTS, GRU_LAYOUTS = ("iofg", "ifgo"), ("zrn", "rzn")
DIRECTIONS = ("forward", "backward", "both")
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
    reference=meaning.lstm, decompose=emulation.lstm, several=True,
    tolerance=Tolerance("ULP", 3, 3), spec="#api-mlgraphbuilder-lstm",
))  # fmt: skip

register(Op(
    "lstmCell",
    _inputs(*WEIGHTS, "hiddenState", "cellState", optional=(*BIASES, "peepholeWeight")),
    _lstm_cell, attrs=(HIDDEN, Param("layout", "str", "iofg"), FUNCTIONS),
    reference=meaning.lstm_cell, decompose=emulation.lstm_cell, several=True,
    tolerance=Tolerance("ULP", 1, 1), spec="#api-mlgraphbuilder-lstmcell",
))  # fmt: skip

register(Op(
    "gru", _inputs(*WEIGHTS, optional=(*BIASES, "initialHiddenState")), _gru,
    attrs=(STEPS, HIDDEN, RESET, SEQUENCE, DIRECTION, Param("layout", "str", "zrn"), FUNCTIONS),
    reference=meaning.gru, decompose=emulation.gru, several=True, tolerance=Tolerance("ULP", 6, 6),
    spec="#api-mlgraphbuilder-gru",
))  # fmt: skip

register(Op(
    "gruCell", _inputs(*WEIGHTS, "hiddenState", optional=BIASES), _gru_cell,
    attrs=(HIDDEN, RESET, Param("layout", "str", "zrn"), FUNCTIONS),
    reference=meaning.gru_cell, decompose=emulation.gru_cell, tolerance=Tolerance("ULP", 3, 3),
    spec="#api-mlgraphbuilder-grucell",
))  # fmt: skip
