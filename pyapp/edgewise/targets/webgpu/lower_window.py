"""Lowering of poolings and of resample2d."""

from __future__ import annotations

import math
from typing import cast

from ...graph.graph import Node
from ...ops.window import canonical
from ...plan.plan import Size
from .access import POINTWISE, Access
from .emit import Program, elements
from .index import coordinate, coordinates, flat, wgsl_dim
from .rows import fold, over, window_of
from .template import Literal
from .weights import Weights


def pool(p: Program, w: Weights, node: Node) -> None:
    """averagePool2d, maxPool2d, l2Pool2d in either layout."""
    x, y = p.value(node.inputs[0]), p.value(node.outputs[0])
    layout = cast(str, node.attrs["layout"])
    _, _, height, width = canonical(x.shape, layout)
    window = cast(tuple[int, int] | None, node.attrs.get("windowDimensions")) or (height, width)
    k = Access(p, w, node, "pool2d")
    k.read("x", x.name)
    k.write("put", y.name)
    found = flat([f"{letter}_" for letter in layout], x.shape)
    k.define("at", f"fn at(n_: u32, c_: u32, h_: u32, w_: u32) -> u32 {{ return {found}; }}")
    at = coordinates("i", y.shape)
    place = ", ".join(at[layout.index(letter)] for letter in "nchw")
    k.define("place", f"fn place(i: u32) -> vec4u {{ return vec4u({place}); }}")
    if node.op == "maxPool2d":
        k.define("lowest", f"fn lowest() -> T_x {{ return {k.literal(x.dtype, -math.inf)}; }}")
        fold(k, "larger", "max", x.dtype)
    threads = 16 if p.shared.facts.fallback else 64
    size = elements(y.shape)
    groups, spread = over(p, size, threads)
    dims: dict[str, Size] = {"H": height, "W": width, "KH": window[0], "KW": window[1]}
    consts: dict[str, Literal] = {**window_of(node), **spread, "WG": threads}
    flags = {"AVERAGE": node.op == "averagePool2d", "MAX": node.op == "maxPool2d"}
    k.run(groups, dims={**dims, "elements": size}, consts=consts, flags=flags)


def resample2d(k: Access, node: Node, out: int) -> str:
    """An element of the input, or a blend of four, for an element of the output."""
    x, y = k.value(node.inputs[0]), k.value(node.outputs[0])
    axes = sorted(cast(tuple[int, int], node.attrs["axes"]))
    at = coordinates("i", y.shape)
    if node.attrs["mode"] == "nearest-neighbor":
        for axis in axes:  # ceil(coordinate - 0.5)
            n, size = wgsl_dim(x.shape[axis]), wgsl_dim(y.shape[axis])
            at[axis] = f"(((2u * {at[axis]} + 1u) * {n} - 1u) / (2u * {size}))"
        return f"return {k.element(x.name, flat(at, x.shape))};"
    lines = []
    for d, axis in enumerate(axes):
        n, size = wgsl_dim(x.shape[axis]), wgsl_dim(y.shape[axis])
        lines.append(
            f"let c{d} = u32(clamp(i32((2u * {coordinate('i', y.shape, axis)} + 1u) * {n}) "
            f"- i32({size}), 0i, i32(2u * {size} * ({n} - 1u)))); "
            f"let low{d} = c{d} / (2u * {size}); let high{d} = min(low{d} + 1u, {n} - 1u); "
            f"let share{d} = f32(c{d} % (2u * {size})) / f32(2u * {size});"
        )

    def element(first: str, second: str) -> str:
        at[axes[0]], at[axes[1]] = first, second
        return f"f32({k.element(x.name, flat(at, x.shape))})"

    def across(first: str) -> str:
        return f"mix({element(first, 'low1')}, {element(first, 'high1')}, share1)"

    lines.append(f"let made = mix({across('low0')}, {across('high0')}, share0);")
    kind = k.compute(node.outputs[0])
    return f"{' '.join(lines)} return {'made' if kind == 'f32' else f'{kind}(round(made))'};"


POINTWISE["resample2d"] = resample2d
