"""The smallest graph for each thing that a browser's WebNN gets wrong: one for each guard.

In a browser that gets them right, the guard has had its day: e2e/test_webnn.py says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgewise.dtypes import DType
from edgewise.graph.builder import GraphBuilder
from edgewise.graph.graph import Graph, Value
from edgewise.ops.base import snake
from edgewise.targets.webnn.guards import GUARDS

F32, I32, U32 = DType.FLOAT32, DType.INT32, DType.UINT32


def _pool(name: str, **options: Any) -> Callable[[GraphBuilder], Value]:
    def build(b: GraphBuilder) -> Value:
        x = b.input("x", F32, (1, 1, 5, 5))
        made: Value = getattr(b, snake(name))(x, window_dimensions=[3, 3], **options)
        return made

    return build


def _strided(b: GraphBuilder) -> Value:
    w = b.constant(F32, (1, 1, 1, 3), data=np.arange(1, 4, dtype=np.float32).tobytes())
    x = b.input("x", F32, (1, 1, 5, 5))
    made: Value = b.conv2d(x, w, padding=[0, 0, 1, 1], strides=[3, 1])
    return made


def _transposed(**options: Any) -> Callable[[GraphBuilder], Value]:
    def build(b: GraphBuilder) -> Value:
        groups = options.get("groups", 1)
        x = b.input("x", F32, (1, groups, 3, 3))
        weight = np.arange(4 * groups, dtype=np.float32).tobytes()
        w = b.constant(F32, (groups, 1, 2, 2), data=weight)
        made: Value = b.conv_transpose2d(x, w, **options)
        return made

    return build


def _edge(b: GraphBuilder) -> Value:
    made: Value = b.pad(b.input("x", F32, (2, 3)), [1, 0], [0, 2], mode="edge")
    return made


def _gathered(b: GraphBuilder) -> Value:
    made: Value = b.gather_elements(b.input("x", F32, (3, 3)), b.input("indices", I32, (1, 3)))
    return made


def _scattered(b: GraphBuilder) -> Value:
    x, updates = b.input("x", F32, (3, 3)), b.input("updates", F32, (1, 3))
    made: Value = b.scatter_elements(x, b.input("indices", I32, (1, 3)), updates)
    return made


def _scattered_words(b: GraphBuilder) -> Value:
    x, updates = b.input("x", U32, (3, 3)), b.input("updates", U32, (1, 3))
    indices = b.constant(I32, (1, 3), data=np.array([2, 0, 1], np.int32).tobytes())
    made: Value = b.scatter_elements(x, indices, updates)
    return made


def _scattered_rows(b: GraphBuilder) -> Value:
    x, updates = b.input("x", U32, (3, 3)), b.input("updates", U32, (1, 3))
    made: Value = b.scatter_nd(x, b.input("indices", I32, (1, 1)), updates)
    return made


def _deep(op: str) -> Callable[[GraphBuilder], Value]:
    def build(b: GraphBuilder) -> Value:
        where = np.arange(16, dtype=np.int32).tobytes()
        indices = b.constant(I32, (2, 2, 2, 2, 1), data=where)
        x = b.input("x", F32, (16, 2))
        if op == "gatherND":
            return b.gather_nd(x, indices)  # type: ignore[no-any-return]
        made: Value = b.scatter_nd(x, indices, b.input("updates", F32, (2, 2, 2, 2, 2)))
        return made

    return build


def _peephole(name: str) -> Callable[[GraphBuilder], Value]:
    def build(b: GraphBuilder) -> Value:
        lead = (1,) if name == "lstm" else ()
        x = b.input("x", F32, (*lead, 1, 2))
        shapes = [(8, 2), (8, 2), (6,)]
        weight, recurrent, peephole = (_weights(b, (*lead, *shape)) for shape in shapes)
        options = {"peephole_weight": peephole, "layout": "ifgo"}
        if name == "lstm":
            return b.lstm(x, weight, recurrent, 1, 2, **options)[0]  # type: ignore[no-any-return]
        state = _weights(b, (1, 2))
        made: Value = b.lstm_cell(x, weight, recurrent, state, state, 2, **options)[0]
        return made

    return build


def _weights(b: GraphBuilder, shape: tuple[int, ...]) -> Value:
    numbers = np.linspace(-0.5, 0.5, int(np.prod(shape)), dtype=np.float32)
    return b.constant(F32, shape, data=numbers.tobytes())


def _halved(b: GraphBuilder) -> Value:
    made: Value = b.resample2d(b.input("x", F32, (1, 1, 4, 4)), sizes=[2, 2])
    return made


#: By operator, then in the order of GUARDS.
EXAMPLES: dict[str, list[Callable[[GraphBuilder], Value]]] = {
    "conv2d": [_strided],
    "averagePool2d": [
        _pool("averagePool2d", strides=[2, 2], padding=[1, 0, 0, 1]),
        _pool("averagePool2d", dilations=[2, 2]),
    ],
    "maxPool2d": [
        _pool("maxPool2d", strides=[1, 3], padding=[0, 0, 0, 2]),
        _pool("maxPool2d", dilations=[2, 2]),
    ],
    "l2Pool2d": [_pool("l2Pool2d", padding=[1, 1, 1, 1]), _pool("l2Pool2d", dilations=[2, 2])],
    "convTranspose2d": [
        _transposed(padding=[1, 1, 1, 1]), _transposed(dilations=[2, 2]), _transposed(groups=2),
    ],
    "pad": [_edge],
    "gatherElements": [_gathered],
    "scatterElements": [_scattered, _scattered_words],
    "gatherND": [_deep("gatherND")],
    "scatterND": [_scattered_rows, _deep("scatterND")],
    "lstm": [_peephole("lstm")],
    "lstmCell": [_peephole("lstmCell")],
    "resample2d": [_halved],
}  # fmt: skip


def guarded() -> list[Any]:
    """Each guard with its example, as pytest's parameters."""
    rows = {op: [guard for guard in GUARDS if guard.op == op] for op in EXAMPLES}
    assert sum(map(len, rows.values())) == len(GUARDS), "a guard without an example"
    return [
        pytest.param(guard, build, id=f"{op}: {guard.reason}")
        for op, builds in EXAMPLES.items()
        for guard, build in zip(rows[op], builds, strict=True)
    ]


def example(
    build: Callable[[GraphBuilder], Value],
) -> tuple[Graph, dict[str, np.ndarray[Any, Any]]]:
    """The graph of an example, and inputs that are all negative: 0 is no maximum of theirs."""
    b = GraphBuilder("example")
    b.output("y", build(b))
    graph = b.build()
    arrays = {}
    for name in graph.inputs:
        value = graph.values[name]
        shape = tuple(int(str(dim)) for dim in value.shape)
        count = int(np.prod(shape))
        numbers = np.arange(count) - (count + 1 if value.dtype.is_float else 0)
        arrays[name] = numbers.reshape(shape).astype(value.dtype.value)
    return graph, arrays
