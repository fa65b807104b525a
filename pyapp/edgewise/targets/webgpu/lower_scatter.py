"""Scattering: a copy of the input, then each update at its place.

Where two updates meet, which of them stays is up to the device, as in the specification.
"""

from __future__ import annotations

from typing import cast

from ...graph.graph import Node
from .access import Access
from .emit import Program, elements
from .index import coordinates, flat, wgsl_size
from .pointwise import position
from .weights import Weights


def scatter_elements(p: Program, w: Weights, node: Node) -> None:
    """Each update at its own coordinates, but for `axis`, where its index says."""
    _copy(p, w, node)
    x, indices, updates = (p.value(name) for name in node.inputs)
    axis = cast(int, node.attrs.get("axis", 0))
    k = Access(p, w, node, "scatter_elements")
    at = coordinates("i", updates.shape)
    at[axis] = position(k, indices.name, "i", x.shape[axis])
    k.read("update", updates.name)
    k.write("put", node.outputs[0], fuse=False)
    k.run_each(elements(updates.shape), f"put({flat(at, x.shape)}, update(i));")


def scatter_nd(p: Program, w: Weights, node: Node) -> None:
    """Whole slices at the coordinates that the last axis of the indices holds."""
    _copy(p, w, node)
    x, indices, updates = (p.value(name) for name in node.inputs)
    depth = cast(int, indices.shape[-1])
    rest = wgsl_size(tuple(x.shape[depth:]))
    outer, inner = ("i", "0u") if rest == "1u" else (f"(i / {rest})", f"(i % {rest})")
    k = Access(p, w, node, "scatter_nd")
    at = [
        position(k, indices.name, f"({outer} * {depth}u + {axis}u)", x.shape[axis])
        for axis in range(depth)
    ]
    place = flat([*at, *["0u"] * (len(x.shape) - depth)], x.shape)
    k.read("update", updates.name)
    k.write("put", node.outputs[0], fuse=False)
    k.run_each(elements(updates.shape), f"put({place} + {inner}, update(i));")


def _copy(p: Program, w: Weights, node: Node) -> None:
    x = p.value(node.inputs[0])
    k = Access(p, w, node, "copy")
    k.read("x", x.name)
    k.write("put", node.outputs[0], fuse=False)
    k.run_each(elements(x.shape), "put(i, x(i));")
