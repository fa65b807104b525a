"""Control flow, gone by the time that the graph is built: If chosen, Loop and Scan unrolled.

A condition or a trip count is known when it folds, or when the caller gives the values that it
depends on (NeedsValues). An If that stays open has both its branches computed and one selected,
where they agree in types and shapes: operators have no effects.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from ...dtypes import DType
from ...errors import FormatError, UnsupportedError
from ...formats.onnx import OnnxGraph
from ...graph.graph import Value
from .arrays import dtype_of
from .fold import NeedsValues, ints
from .registry import Call, onnx_op

MAX_ITERATIONS = 4096  # of all loops of a model together, nested ones counted each time
SMALL = 16  # elements of an input whose values a graph may be built for: a rate, a flag, a length

Typed: TypeAlias = tuple[Value, str | None]


@onnx_op("If")
def If(c: Call) -> list[Value]:
    """The branch that the condition chooses."""
    branches = _graph(c, "else_branch"), _graph(c, "then_branch")
    try:
        chosen = branches[_truth(c, c[0], "the condition")]
        return _finish(c, _run(c, chosen, ()))
    except NeedsValues as missing:
        if all(c.b.size_of(name) <= SMALL for name in missing.names):
            raise
    made = [_run(c, branch, ()) for branch in branches]
    types = [[(value.dtype, value.shape) for value, _ in each] for each in made]
    if types[0] != types[1]:
        raise c.unsupported("a condition that no constant gives, over branches of other shapes")
    pairs = zip(made[0], made[1], strict=True)
    return _finish(c, [(c.b.where(c[0], yes, no), type) for (no, type), (yes, _) in pairs])


@onnx_op("Loop")
def Loop(c: Call) -> list[Value]:
    """The body once for each iteration."""
    body, initial = _graph(c, "body"), c.inputs[2:]
    limit = None if c.get(0) is None else int(c.array(0).reshape(-1)[0])
    condition = c.get(1) or c.b.literal(True, DType.UINT8)
    states = [(_given(c, value), _type(c, 2 + place)) for place, value in enumerate(initial)]
    scans: list[list[Typed]] = [[] for _ in body.outputs[1 + len(states) :]]
    _need_count(c, body, inputs=2 + len(states), outputs=1 + len(states))
    count = 0
    while (limit is None or count < limit) and _truth(c, condition, "the body's condition"):
        _step(c, limit)
        turn: Typed = (c.b.literal(count, DType.INT64), None)
        (condition, _), *made = _run(c, body, [turn, (condition, "BOOL"), *states])
        states = made[: len(states)]
        for rows, row in zip(scans, made[len(states) :], strict=True):
            rows.append(row)
        count += 1
    found = [_stack(c, rows, 0, body, 1 + len(states) + place) for place, rows in enumerate(scans)]
    return _finish(c, [*states, *found])


@onnx_op("Scan", since=9)
def Scan_9(c: Call) -> list[Value]:
    """The body once for each place along the scanned axes."""
    body, n_scans = _graph(c, "body"), c.int("num_scan_inputs")
    n_states = len(c.inputs) - n_scans
    n_outputs = len(body.outputs) - n_states
    _need_count(c, body, inputs=len(c.inputs), outputs=n_states)
    if not 0 < n_scans <= len(c.inputs):
        raise FormatError("num_scan_inputs", got=str(n_scans), need=f"1 to {len(c.inputs)}")
    states = [(c[place], _type(c, place)) for place in range(n_states)]
    scanned = range(n_states, len(c.inputs))
    axes = _each(c, "scan_input_axes", n_scans)
    axes = [c.positive(axis, c.rank(place)) for axis, place in zip(axes, scanned, strict=True)]
    back = _each(c, "scan_input_directions", n_scans)
    lengths = {c.shape(place)[axis] for axis, place in zip(axes, scanned, strict=True)}
    if len(lengths) != 1:
        raise FormatError("scan inputs", got=f"lengths {sorted(lengths)}", need="one length")
    (length,) = lengths
    rows: list[list[Typed]] = [[] for _ in range(n_outputs)]
    for turn in range(length):
        _step(c, length)
        given = [
            (_row(c, c[place], axis, length - 1 - turn if turned else turn), _type(c, place))
            for place, axis, turned in zip(scanned, axes, back, strict=True)
        ]
        made = _run(c, body, [*states, *given])
        states = made[:n_states]
        for held, row in zip(rows, made[n_states:], strict=True):
            held.append(row)
    out_axes = _each(c, "scan_output_axes", n_outputs)
    turned_out = _each(c, "scan_output_directions", n_outputs)
    found = [
        _stack(c, held[::-1] if turned else held, axis, body, n_states + place)
        for place, (held, axis, turned) in enumerate(zip(rows, out_axes, turned_out, strict=True))
    ]
    return _finish(c, [*states, *found])


def _graph(c: Call, name: str) -> OnnxGraph:
    found = c.attr(name)
    if not isinstance(found, OnnxGraph):
        raise FormatError(f"attribute {name!r}", got="nothing", need="a graph")
    return found


def _given(c: Call, value: Value | None) -> Value:
    if value is None:
        raise c.unsupported("an initial value that is absent")
    return value


def _type(c: Call, place: int) -> str | None:
    return c.scope.type_of(c.node.inputs[place])


def _truth(c: Call, value: Value, what: str) -> bool:
    """The one element of a condition. Raises NeedsValues."""
    array = c.b.array(value).reshape(-1)
    if array.size != 1:
        raise FormatError(what, got=f"{array.size} elements", need="one")
    return bool(array[0])


def _run(c: Call, graph: OnnxGraph, inputs: Sequence[Typed]) -> list[Typed]:
    return c.importer.body(graph, c.scope, inputs)


def _finish(c: Call, made: Sequence[Typed]) -> list[Value]:
    c.types.update({place: type for place, (_, type) in enumerate(made) if type is not None})
    return [value for value, _ in made]


def _step(c: Call, planned: int | None) -> None:
    """Count an iteration."""
    c.importer.iterations += 1
    if c.importer.iterations > MAX_ITERATIONS or (planned or 0) > MAX_ITERATIONS:
        got = "no end so far" if planned is None else f"{planned} iterations"
        raise UnsupportedError(
            f"ONNX {c.node.op_type}", got=got, need=f"at most {MAX_ITERATIONS} in the whole model",
            where=c.importer.place(c.node), fix="a loop is unrolled: give it a shorter input",
        )  # fmt: skip


def _need_count(c: Call, body: OnnxGraph, *, inputs: int, outputs: int) -> None:
    if len(body.inputs) != inputs or len(body.outputs) < outputs:
        raise FormatError("body", got=f"{len(body.inputs)} inputs, {len(body.outputs)} outputs",
                          need=f"{inputs} inputs and at least {outputs} outputs")  # fmt: skip


def _each(c: Call, name: str, count: int) -> list[int]:
    found = c.ints(name) or (0,) * count
    if len(found) != count:
        raise FormatError(f"attribute {name!r}", got=str(found), need=f"{count} of them")
    return list(found)


def _row(c: Call, x: Value, axis: int, place: int) -> Value:
    """`x` at a place of an axis, which goes."""
    shape = ints(x)
    starts = tuple(place if each == axis else 0 for each in range(len(shape)))
    sizes = tuple(1 if each == axis else size for each, size in enumerate(shape))
    row: Value = c.b.reshape(c.b.slice(x, starts, sizes), shape[:axis] + shape[axis + 1 :])
    return row


def _stack(c: Call, rows: list[Typed], axis: int, body: OnnxGraph, output: int) -> Typed:
    """The values of all iterations along a new axis."""
    if not rows:
        return _nothing(c, axis, body, output)
    shape = ints(rows[0][0])
    if any(value.shape != shape for value, _ in rows):
        raise c.unsupported(f"output {output} of a body, whose shape changes")
    axis = c.positive(axis, len(shape) + 1)
    new = (*shape[:axis], 1, *shape[axis:])
    parts = [c.b.reshape(value, new) for value, _ in rows]
    return (c.b.concat(parts, axis) if parts[1:] else parts[0]), rows[0][1]


def _nothing(c: Call, axis: int, body: OnnxGraph, output: int) -> Typed:
    """The stack of no rows: the body's declaration has to say of which shape."""
    import numpy as np

    declared = body.outputs[output]
    sizes = [size for size in declared.shape or () if isinstance(size, int)]
    if declared.shape is None or len(sizes) != len(declared.shape):
        raise c.unsupported(f"no iteration, with {declared.name!r} of unknown shape")
    sizes.insert(c.positive(axis, len(sizes) + 1), 0)
    dtype = dtype_of(declared.dtype, f"output {declared.name!r}")
    return c.b.literal(np.zeros(sizes), dtype), declared.dtype
