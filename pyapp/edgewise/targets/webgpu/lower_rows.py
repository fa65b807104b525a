"""Lowering of what works on rows: softmax, norms, reductions, arg max and the running sum.

A row is what one thread or one workgroup goes through; it may lie along any axes (rows.split).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import cast

from ...graph.graph import Node
from .access import Access
from .emit import Program, most
from .index import coordinate, flat, wgsl_dim
from .rows import UNSIGNED, fold, over, split
from .template import Literal
from .tuning import row
from .weights import Weights


def _run(
    k: Access, axes: Sequence[int], *, flags: Mapping[str, bool] | None = None,
    consts: Mapping[str, Literal] | None = None,
) -> None:  # fmt: skip
    """Dispatch a kernel of rows over `axes` of its node's first input."""
    x = k.value(k.node.inputs[0]).shape
    rows, size, at = split(x, axes)
    k.define("at", at)
    contiguous = tuple(sorted(axes)) == tuple(range(len(x) - len(axes), len(x)))
    shape = row(k.p.shared.facts, most(rows), most(size), contiguous)
    groups, spread = over(k.p, rows, 1 if shape.group else shape.threads)
    k.run(
        groups,
        dims={"rows": rows, "SIZE": size},
        consts={**spread, "WG": shape.threads, **(consts or {})},
        flags={"GROUP": shape.group, **(flags or {})},
    )


def softmax(p: Program, w: Weights, node: Node) -> None:
    """Along one axis."""
    k = Access(p, w, node, "softmax")
    k.read("x", node.inputs[0])
    k.write("put", node.outputs[0])
    _run(k, [cast(int, node.attrs["axis"])])


def layer_normalization(p: Program, w: Weights, node: Node) -> None:
    """Over any axes; scale and bias have these in the order of the attribute."""
    x = p.value(node.inputs[0]).shape
    given = node.attrs.get("axes")
    axes = tuple(range(1, len(x))) if given is None else cast(tuple[int, ...], given)
    ascending = sorted(axes)
    shape = tuple(x[axis] for axis in ascending)
    at = [coordinate("i", shape, ascending.index(axis)) for axis in axes]
    affine = "i" if list(axes) == ascending else flat(at, tuple(x[axis] for axis in axes))
    _normalize(p, w, node, axes, affine)


def instance_normalization(p: Program, w: Weights, node: Node) -> None:
    """Over height and width; scale and bias have an element a channel."""
    x = p.value(node.inputs[0]).shape
    layout = cast(str, node.attrs["layout"])
    axes = (layout.index("h"), layout.index("w"))
    _normalize(p, w, node, axes, f"row % {wgsl_dim(x[layout.index('c')])}")


def _normalize(p: Program, w: Weights, node: Node, axes: Sequence[int], affine: str) -> None:
    k = Access(p, w, node, "normalize")
    k.read("x", node.inputs[0])
    _, scale, bias = node.inputs
    if scale is not None:
        k.read("scale", scale)
    if bias is not None:
        k.read("bias", bias)
    k.write("put", node.outputs[0])
    k.define("affine", f"fn affine(row: u32, i: u32) -> u32 {{ return {affine}; }}")
    flags = {"SCALE": scale is not None, "BIAS": bias is not None}
    _run(k, axes, flags=flags, consts={"EPS": cast(float, node.attrs["epsilon"])})


#: name -> what becomes of an element, how two fold, what folding starts from, what becomes of it
REDUCTIONS: dict[str, tuple[str, str, float, str]] = {
    "reduceSum": ("v", "add", 0, "v"),
    "reduceMean": ("v", "add", 0, "v / f32(SIZE())"),
    "reduceMax": ("v", "max", -math.inf, "v"),
    "reduceMin": ("v", "min", math.inf, "v"),
    "reduceProduct": ("v", "mul", 1, "v"),
    "reduceL1": ("abs", "add", 0, "v"),
    "reduceL2": ("square", "add", 0, "sqrt(v)"),
    "reduceSumSquare": ("square", "add", 0, "v"),
    "reduceLogSum": ("v", "add", 0, "log(v)"),
}


def reduce(p: Program, w: Weights, node: Node) -> None:
    """Any of REDUCTIONS."""
    dtype = p.value(node.inputs[0]).dtype
    each, folding, start, last = REDUCTIONS[node.op]
    k = _reduction(p, w, node, "reduce")
    if each == "abs":
        each = "v" if dtype in UNSIGNED else "abs64(v)" if dtype.bits == 64 else "abs(v)"
    elif each == "square":
        fold(k, "times", "mul", dtype)
        each = "times(v, v)"
    fold(k, "fold", folding, dtype)
    k.define("start", f"fn start() -> T_x {{ return {k.literal(dtype, start)}; }}")
    k.define("each", f"fn each(v: T_x) -> T_x {{ return {each}; }}")
    k.define("last", f"fn last(v: T_x) -> T_x {{ return {last}; }}")
    _run(k, _axes(p, node))


def reduce_log_sum_exp(p: Program, w: Weights, node: Node) -> None:
    """With the largest taken out first."""
    _run(_reduction(p, w, node, "reduce_log_sum_exp"), _axes(p, node))


def _reduction(p: Program, w: Weights, node: Node, kernel: str) -> Access:
    k = Access(p, w, node, kernel)
    k.read("x", node.inputs[0])
    k.write("put", node.outputs[0])
    return k


def _axes(p: Program, node: Node) -> tuple[int, ...]:
    every = tuple(range(len(p.value(node.inputs[0]).shape)))
    given = node.attrs.get("axes")
    return every if given is None else cast(tuple[int, ...], given)


def arg(p: Program, w: Weights, node: Node) -> None:
    """argMax and argMin; of equals the first."""
    dtype = p.value(node.inputs[0]).dtype
    k = _reduction(p, w, node, "arg")
    less = "a < b"
    if dtype.bits == 64:
        less = "less_u64(a, b)" if dtype in UNSIGNED else "less_i64(a, b)"
    order = "(a: T_x, b: T_x)" if node.op == "argMin" else "(b: T_x, a: T_x)"
    k.define("before", f"fn before{order} -> bool {{ return {less}; }}")
    made = "vec2u(i, 0u)" if k.compute(node.outputs[0]) == "vec2u" else "T_put(i)"
    k.define("index", f"fn index(i: u32) -> T_put {{ return {made}; }}")
    _run(k, [cast(int, node.attrs["axis"])])


def cumulative_sum(p: Program, w: Weights, node: Node) -> None:
    """From either end, with the element itself or without."""
    k = _reduction(p, w, node, "cumulative_sum")
    fold(k, "plus", "add", p.value(node.inputs[0]).dtype)
    flags = {name.upper(): cast(bool, node.attrs[name]) for name in ("exclusive", "reversed")}
    _run(k, [cast(int, node.attrs["axis"])], flags=flags)
