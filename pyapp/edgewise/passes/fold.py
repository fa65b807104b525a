"""Computes in advance what depends on small inline constants alone.

    c: float32[2] = constant …;  y = sqrt(c);  z = add(x, y)
    ->
    y: float32[2] = constant …;  z = add(x, y)

Must not fire where the result is larger than a kernel's worth of memory traffic (an `expand` of
a scalar to an image), on weights of the model file, or on operators with symbolic attributes.
Exact: the reference computes it, in the operator's own data types. Needs NumPy; without it
(a page that has not loaded it) the pass leaves the graph as it is and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from math import prod
from typing import TYPE_CHECKING, Any

from ..arrays import decode, encode, numpy_name
from ..dtypes import DType
from ..graph.graph import Constant, Graph, Node, Value, symbols_of
from ..graph.verify import n_bytes
from ..ops import OPS
from .base import Note, PassResult
from .clean import with_nodes

if TYPE_CHECKING:
    from ..arrays import Array

MAX_BYTES = 1 << 16


def fold(graph: Graph) -> PassResult:
    """Replace every foldable node by constants. One pass, forwards."""
    if not any(_foldable(graph, node, graph.constants) for node in graph.nodes):
        return PassResult(graph, False)
    if find_spec("numpy") is None:
        note = Note("fold", graph.name, "declined because NumPy is not loaded")
        return PassResult(graph, False, (note,))
    constants = dict(graph.constants)
    kept: list[Node] = []
    notes: list[Note] = []
    for node in graph.nodes:
        if not _foldable(graph, node, constants):
            kept.append(node)
            continue
        for name, data in zip(node.outputs, _compute(graph, node, constants), strict=True):
            constants[name] = Constant(graph.values[name], None, data)
        notes.append(Note("fold", node.origin, f"did compute {node.op} {node.outputs[0]!r}"))
    out = with_nodes(replace(graph, constants=constants), kept)
    return PassResult(out, True, tuple(notes))


def _foldable(graph: Graph, node: Node, constants: Mapping[str, Constant]) -> bool:
    if OPS[node.op].reference is None:
        return False
    if any(True for attr in node.attrs.values() for _ in symbols_of(attr)):
        return False
    for name in node.inputs:
        if name is not None and (name not in constants or constants[name].data is None):
            return False
    return all(_small(graph.values[name]) for name in node.outputs)


def _small(value: Value) -> bool:
    known = all(isinstance(dim, int) for dim in value.shape)
    return known and n_bytes(value) <= MAX_BYTES


def _compute(graph: Graph, node: Node, constants: Mapping[str, Constant]) -> list[bytes]:
    import numpy as np

    arrays = [None if name is None else _array(constants[name]) for name in node.inputs]
    attrs: dict[str, Any] = {
        name: numpy_name(attr) if isinstance(attr, DType) else attr
        for name, attr in node.attrs.items()
    }
    row = OPS[node.op]
    assert row.reference is not None, f"{node.op=} is a composite"
    if row.typed:
        attrs["dtype"] = graph.values[node.outputs[0]].dtype
    with np.errstate(all="ignore"):
        made = row.reference(np, *arrays, **attrs)
    made = made if isinstance(made, tuple) else (made,)
    types = [graph.values[name].dtype for name in node.outputs]
    return [encode(array, dtype) for array, dtype in zip(made, types, strict=True)]


def _array(constant: Constant) -> Array:
    value = constant.value
    shape = tuple(dim for dim in value.shape if isinstance(dim, int))
    assert constant.data is not None, f"{value.name!r} is not inline"
    return decode(constant.data, value.dtype, prod(shape)).reshape(shape)
