"""Which element-wise nodes are computed together, and the steps that do it.

A node joins the group of its readers if it has no others, no result on the way and their shape:
its value then never exists in memory. The group's last node takes the step.
"""

from __future__ import annotations

import struct
from typing import cast

from ...dtypes import DType
from ...graph.graph import Node
from ...ops.base import OPS
from .emit import Program
from .opcodes import COMPUTED
from .pointwise import POINTWISE, rounded, single
from .tiles import MAX_READS, FullError, Reg, Tile

FORMATS = {
    DType.FLOAT32: "f", DType.FLOAT16: "e", DType.INT32: "i", DType.UINT32: "I",
    DType.INT64: "q", DType.UINT64: "Q", DType.INT8: "b", DType.UINT8: "B",
}  # fmt: skip
VIEWS = frozenset({"reshape", "transpose", "slice", "split", "expand", "reverse", "identity"})
MAX_NODES = 24


def join(p: Program) -> None:
    """Find the groups: `p.joined` gets the node that each value is computed with."""
    makers = {name: node for node in p.graph.nodes for name in node.outputs}
    leaves: dict[str, set[str]] = {}
    sizes: dict[str, int] = {}
    for node in reversed(p.graph.nodes):
        if node.op not in POINTWISE:
            continue
        name = node.outputs[0]
        inputs = {each for each in node.inputs if each is not None and single(p, each) is None}
        last = _readers_group(p, name)
        if last is not None:
            together = (leaves[last] - {name}) | inputs
            fits = len(together) <= MAX_READS and sizes[last] < MAX_NODES
            if fits and not any(_is_state(p, makers, each) for each in inputs):
                p.joined[name] = last
                leaves[last] = together
                sizes[last] += 1
                continue
        leaves[name], sizes[name] = inputs, 1


def _readers_group(p: Program, name: str) -> str | None:
    """The last value of the group that all readers of `name` are of, if it can join them."""
    readers = p.users.get(name, ())
    if name in p.results or not readers:
        return None
    groups = {p.joined.get(each.outputs[0], each.outputs[0]) for each in readers}
    if len(groups) > 1 or any(each.op not in POINTWISE for each in readers):
        return None
    (last,) = groups
    same = p.value(last).shape == p.value(name).shape
    return last if same else None


def _is_state(p: Program, makers: dict[str, Node], name: str) -> bool:
    """Whether a value lies in a state, which later steps change."""
    if name in p.states:
        return True
    node = makers.get(name)
    if node is None:
        return False
    if node.op in VIEWS:
        return _is_state(p, makers, cast(str, node.inputs[0]))
    return node.outputs.index(name) in OPS[node.op].in_place


def pointwise(p: Program, node: Node) -> None:
    """The step of an element-wise node and all that joined it; none for a node that joins."""
    name = node.outputs[0]
    if name in p.joined:
        p.deferred[name] = node
        return
    _step(p, node)


def settle(p: Program, name: str) -> None:
    """Make a value that was to be computed by those who read it: one of them reads memory."""
    _step(p, p.deferred.pop(name))


def _step(p: Program, node: Node) -> None:
    value = p.value(node.outputs[0])
    tile = Tile(p, node, value.shape)
    try:
        made = _computed(tile, node)
        tile.run(made, value, node.outputs[0])
    except FullError:
        for each in node.inputs:
            if each in p.deferred:
                settle(p, each)
        tile = Tile(p, node, value.shape)
        tile.run(_computed(tile, node), value, node.outputs[0])


def _computed(t: Tile, node: Node) -> Reg:
    inputs = tuple(None if each is None else _element(t, each) for each in node.inputs)
    return POINTWISE[node.op](t, node, inputs)


def _element(t: Tile, name: str) -> Reg:
    """An input of a node: a number, what is computed on the way, or what lies in memory."""
    p = t.p
    if name in p.deferred:
        if name not in t.made:
            node = p.deferred[name]
            t.made[name] = rounded(t, node, _computed(t, node))
        return t.made[name]
    constant = single(p, name)
    if constant is not None and constant.data is not None and t.loads:
        dtype = constant.value.dtype
        (number,) = struct.unpack(f"<{FORMATS[dtype]}", constant.data)
        return t.constant(COMPUTED[dtype], number)
    return t.load(name)
