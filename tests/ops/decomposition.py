"""Runs one operator as its row's reference and as its decomposition, on the same arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgewise.dtypes import DType
from edgewise.graph.builder import GraphBuilder
from edgewise.graph.graph import Graph
from edgewise.graph.verify import verify
from edgewise.ops import OPS
from edgewise.passes.decompose import decompose
from edgewise.targets.reference import Reference

Array = np.ndarray[Any, np.dtype[Any]]


def graph_of(op: str, arrays: Mapping[str, Array], **attrs: Any) -> Graph:
    """A graph of one operator over inputs by its own names; outputs are y0, y1, …"""
    builder = GraphBuilder("case")
    values = {
        name: builder.input(name, DType(array.dtype.name), array.shape)
        for name, array in arrays.items()
    }
    row = OPS[op]
    inputs = [values.get(each.name) for each in row.inputs]
    given = {param.name: param.default for param in row.attrs if param.default is not None} | attrs
    made = builder.apply(row, inputs, given)
    for index, value in enumerate(made if row.several else (made,)):
        builder.output(f"y{index}", value)
    return builder.build()


def outputs(graph: Graph, arrays: Mapping[str, Array], *, precise: bool = False) -> list[Array]:
    """What `graph` computes, in order."""
    made, _ = Reference(graph, _none, precise=precise).run(arrays, {}, {})
    return [made[f"y{index}"] for index in range(len(made))]


def run(
    op: str, arrays: Mapping[str, Array], *, precise: bool = False, **attrs: Any
) -> list[Array]:
    """The reference of one operator; what its shape rule infers must be what comes out."""
    graph = graph_of(op, arrays, **attrs)
    made = outputs(graph, arrays, precise=precise)
    for index, array in enumerate(made):
        value = graph.values[graph.outputs[f"y{index}"]]
        assert array.shape == value.shape
        assert array.dtype == ("float64" if precise else value.dtype.value)
    return made


def expanded(graph: Graph, ops: Sequence[str]) -> Graph:
    """`graph` without `ops`, verified."""
    out = decompose(graph, set(OPS) - set(ops)).graph
    assert not {node.op for node in out.nodes} & set(ops)
    verify(out)
    return out


def check(op: str, arrays: Mapping[str, Array], *also: str, **attrs: Any) -> None:
    """The decomposition computes what the reference does, up to the rounding of its parts."""
    graph = graph_of(op, arrays, **attrs)
    split = expanded(graph, (op, *also))
    for got, want in zip(outputs(split, arrays, precise=True),
                         outputs(graph, arrays, precise=True), strict=True):  # fmt: skip
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)
    for got, want in zip(outputs(split, arrays), outputs(graph, arrays), strict=True):
        assert got.dtype == want.dtype
        limit = 2e-5 if got.dtype == np.float32 else 2e-2
        np.testing.assert_allclose(got, want, rtol=limit, atol=limit)


def _none(constant: object) -> Array:
    raise AssertionError(f"no constant of a file is in these graphs: {constant=}")
