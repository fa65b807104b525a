"""The shape rules: what they infer is what the reference gives, symbols included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.dims import Dim, symbol
from edgewise.dtypes import DType
from edgewise.errors import ShapeError
from edgewise.graph.builder import GraphBuilder
from edgewise.graph.graph import Value
from edgewise.ops import OPS
from edgewise.ops.shape import broadcast, same_count
from edgewise.targets.reference import Reference

F32, SEQ, PAST = DType.FLOAT32, symbol("seq", 9), symbol("past", 99)
sizes = st.integers(0, 4)
shapes = st.lists(sizes, max_size=4)


@settings(deadline=None)
@given(st.data())
def test_inferred_shapes_are_the_reference_s(data: st.DataObject) -> None:
    shape = data.draw(st.lists(sizes, min_size=1, max_size=4))
    axis = data.draw(st.integers(0, len(shape) - 1))
    b = GraphBuilder("shapes")
    x = b.input("x", F32, shape)
    starts = [data.draw(st.integers(0, size)) for size in shape]
    counts = [data.draw(st.integers(0, size - at)) for size, at in zip(shape, starts, strict=True)]
    strides = [data.draw(st.integers(1, 3)) for _ in shape]
    axes = data.draw(st.lists(st.sampled_from(range(len(shape))), unique=True))
    ids = b.input("ids", DType.INT32, (3, 2))
    made: list[Value] = [
        b.slice(x, starts, counts, strides), b.transpose(x, data.draw(st.permutations(
            range(len(shape))))), b.transpose(x), b.concat([x, x, x], axis), b.reshape(x, shape),
        b.expand(x, [data.draw(sizes), *shape]), *b.split(x, [1] * shape[axis] or [0], axis),
        b.reduce_sum(x, axes, keep_dimensions=data.draw(st.booleans())), b.reduce_mean(x),
        b.cumulative_sum(x, axis), b.cast(x, DType.INT8),
        b.where(b.greater(x, b.scalar(F32, 0)), x, b.scalar(F32, 1)),
    ]  # fmt: skip
    if shape[axis]:
        made += [b.gather(x, ids, axis), b.arg_max(x, axis), b.softmax(x, axis),
                 b.reduce_max(x, [axis])]  # fmt: skip
    for index, value in enumerate(made):
        b.output(str(index), value)
    arrays = {"x": np.ones(shape, np.float32), "ids": np.zeros((3, 2), np.int32)}
    outputs, _ = Reference(b.build(), lambda constant: np.zeros(0)).run(arrays, {}, {})
    for index, value in enumerate(made):
        assert outputs[str(index)].shape == value.shape
        assert outputs[str(index)].dtype.name == value.dtype.value


@given(st.lists(shapes, min_size=1, max_size=3))
def test_broadcasting_is_numpy_s(given_shapes: list[list[int]]) -> None:
    ours: Any
    theirs: Any
    try:
        theirs = np.broadcast_shapes(*map(tuple, given_shapes))
    except ValueError:
        theirs = None
    try:
        ours = broadcast(*map(tuple, given_shapes))
    except ShapeError:
        ours = None
    assert ours == theirs


def test_symbols_broadcast_with_themselves_and_one() -> None:
    assert broadcast((SEQ, 1), (1, 4)) == (SEQ, 4)
    assert broadcast((SEQ, 3), (SEQ, 1)) == (SEQ, 3)
    for other in (2, PAST, SEQ + 1):
        with pytest.raises(ShapeError):
            broadcast((SEQ,), (other,))


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ((SEQ, 6), (SEQ, 2, 3), True),
        ((SEQ * 6,), (SEQ, 2, 3), True),
        ((SEQ + 1, 2), (2 * SEQ + 2,), True),
        ((SEQ, PAST, 4), (4, PAST, SEQ), True),
        ((SEQ, PAST), (SEQ, SEQ), False),
        ((SEQ, 6), (SEQ, 5), False),
        ((SEQ, 6), (6,), False),
        ((SEQ * 2, PAST), (SEQ, PAST * 2), False),  # equal, but not found to be: refused
    ],
)
def test_counts_of_symbolic_shapes(old: tuple[Dim, ...], new: tuple[Dim, ...], same: bool) -> None:
    assert same_count(old, new) == same


def test_every_row_says_where_it_is_specified_and_how_close_it_must_be() -> None:
    for op in OPS.values():
        if op.reference is not None:
            assert op.spec.startswith("#api-mlgraphbuilder-"), op.name
            assert op.tolerance is not None, op.name
