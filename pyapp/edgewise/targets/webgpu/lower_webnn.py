"""Lowering of pointwise WebNN operators: left to their readers, or kernels of their own."""

from __future__ import annotations

from collections.abc import Container
from typing import cast

from ...graph.graph import Node
from ...plan.plan import Binding, Size
from .access import Access, emit_pointwise
from .defer import MAX_BUFFERS, leaves, why_not
from .emit import Program, elements, nbytes_of
from .index import coordinates, flat, wgsl_dim, wgsl_size
from .storage import pack_word, storage
from .weights import Weights


def lower_pointwise(p: Program, w: Weights, node: Node, readers: Container[str]) -> None:
    """Each output by itself: deferred, the same bytes under another name, or a kernel."""
    for k, name in enumerate(node.outputs):
        if name in p.absorbed or not (p.users.get(name) or name in p.results):
            continue
        reason = why_not(p, node, k, readers)
        if not reason:
            p.deferred[name] = node, k
            p.note(node, f"did compute it where {p.reader(name)} reads it")
            continue
        p.note(node, f"declined because {reason}")
        if node.op in ("reshape", "identity") and _same_bytes(p, node):
            root = p.root(cast(str, node.inputs[0]))
            if name in p.homes and root not in p.homes:
                p.homes[root] = p.homes[name]  # made where the host reads it
            p.alias(name, root)
        elif node.op == "concat" and len(leaves_of(p, node)) >= MAX_BUFFERS:
            concat_parts(p, w, node)
        else:
            emit_pointwise(p, w, node, k)


def _same_bytes(p: Program, node: Node) -> bool:
    """Whether the input lies in memory, where the output can lie too."""
    root = p.root(cast(str, node.inputs[0]))
    return root not in p.deferred and root not in p.graph.constants


def leaves_of(p: Program, node: Node) -> set[str]:
    """The values in memory that a node reads."""
    return {leaf for name in node.inputs if name for leaf in leaves(p, name)}


def fit(p: Program, w: Weights, node: Node) -> None:
    """Give deferred inputs kernels of their own until a node's kernel has buffers enough."""
    if node.op == "concat":
        return
    while len(leaves_of(p, node)) >= MAX_BUFFERS:
        roots = [p.root(name) for name in node.inputs if name]
        largest = max((r for r in roots if r in p.deferred), key=lambda r: len(leaves(p, r)))
        settle(p, w, largest)


def settle(p: Program, w: Weights, name: str) -> None:
    """Compute a deferred value into memory after all."""
    node, k = p.deferred.pop(name)
    emit_pointwise(p, w, node, k)


def concat_parts(p: Program, w: Weights, node: Node) -> None:
    """A kernel for each input, where one would need too many buffers."""
    y = p.value(node.outputs[0])
    axis = cast(int, node.attrs["axis"])
    before = "0u"
    for name in node.inputs:
        x = p.value(name)
        k = Access(p, w, node, "concat_part")
        k.read("x", name)
        k.write("put", y.name, fuse=False)
        at = coordinates("i", x.shape)
        at[axis] = f"({at[axis]} + {before})"
        k.run_each(elements(x.shape), f"put({flat(at, y.shape)}, x(i));")
        before = f"{before} + {wgsl_dim(x.shape[axis])}"


def result(p: Program, w: Weights, name: str, to: Binding) -> None:
    """Copy a value to where the host reads it, packed as the host has it."""
    value = p.value(name)
    node = Node("result", (name,), (), {}, f"output {name}")
    size: Size = elements(value.shape)
    k = Access(p, w, node, "result")
    k.read("x", name)
    form = storage(value.dtype, packed=False, half=p.half)
    if form.nbytes * 8 == value.dtype.bits:
        k.place("y", form.element, to)
        k.run_each(size, form.store.format(a="y", i="i", v="x(i)"))
        return
    each, add = pack_word(value.dtype)
    k.place("y", "u32", to)
    k.run_each(
        elements((nbytes_of(value) // 4,)),
        f"""var word = 0u;
  for (var n = 0u; n < {each}u; n += 1u) {{
    let at = i * {each}u + n;
    if (at < {wgsl_size(size)}) {{ {add.format(v="x(at)", n="n")} }}
  }}
  y[i] = word;""",
    )
