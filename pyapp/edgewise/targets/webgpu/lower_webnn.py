"""Lowering of WebNN operators: element-wise rows become generated kernels; views cost nothing."""

from __future__ import annotations

from typing import cast

from ...dims import Dim, bound, product
from ...errors import UnsupportedError
from ...graph.graph import Node, Value
from ...ops.base import OPS
from .emit import Arg, Program, elements, per, wgsl_type
from .weights import Weights


def reshape(p: Program, w: Weights, node: Node) -> None:
    """The same bytes under another shape."""
    p.alias(node.outputs[0], cast(str, node.inputs[0]))


def slice_(p: Program, w: Weights, node: Node) -> None:
    """A block with strides of one, of up to four axes."""
    x, y = p.value(node.inputs[0]), p.value(node.outputs[0])
    starts = cast(tuple[Dim, ...], node.attrs["starts"])
    strides = node.attrs.get("strides") or ()
    if len(x.shape) > 4 or any(step != 1 for step in cast(tuple[int, ...], strides)):
        raise UnsupportedError(
            f"slice '{node.origin}' on webgpu",
            got=f"rank {len(x.shape)}, strides {strides}",
            need="up to four axes, strides of 1",
        )
    rest = 4 - len(x.shape)
    shape, out = x.shape + (1,) * rest, y.shape + (1,) * rest
    first: tuple[Dim, ...] = starts + (0,) * rest
    count = elements(y.shape)
    p.emit(
        "slice",
        node,
        [Arg("x", "read", "T", x.name), Arg("y", "write", "T", y.name)],
        [per(count, 64)],
        consts={f"X{i}": _known(node, x, shape[i]) for i in (1, 2, 3)}
        | {f"Y{i}": _known(node, y, out[i]) for i in (1, 2, 3)},
        types={"T": wgsl_type(x)},
        dims={"elements": count, **{f"s{i}": first[i] for i in range(4)}},
    )


def elementwise(p: Program, w: Weights, node: Node) -> None:
    """One generated kernel; an input may repeat along leading axes (broadcast of a suffix)."""
    row = OPS[node.op]
    assert row.wgsl is not None, f"not an element-wise row {row.name=}"
    y = p.value(node.outputs[0])
    names = [port.name for port in row.inputs]
    count = elements(y.shape)
    args, reads = [], {}
    for i, (name, operand) in enumerate(zip(names, node.inputs, strict=True)):
        value = p.value(operand)
        constant = p.graph.constants.get(value.name)
        args.append(
            Arg(f"in{i}", "read", wgsl_type(value), w.plain(constant) if constant else value.name)
        )
        reads[name] = f"in{i}[{_index(node, value, y)}]"
    expression = row.wgsl.format(T="T", **reads)
    body = f"""
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {{
  if (id.x >= elements()) {{ return; }}  // the last workgroup
  y[id.x] = T({expression});
}}"""
    p.emit(
        node.op,
        node,
        [*args, Arg("y", "write", "T", y.name)],
        [per(count, 64)],
        types={"T": wgsl_type(y)},
        dims={"elements": count},
        body=body,
    )


def _index(node: Node, x: Value, y: Value) -> str:
    if x.shape == y.shape:
        return "id.x"
    kept = tuple(x.shape)
    while kept and kept[0] == 1:
        kept = kept[1:]
    if kept != tuple(y.shape)[len(y.shape) - len(kept) :]:
        raise UnsupportedError(
            f"{node.op} '{node.origin}' on webgpu",
            got=f"{x} against {y}",
            need="a suffix of the shape",
        )
    return f"id.x % {bound(product(kept))}u"


def _known(node: Node, value: Value, dim: Dim) -> int:
    if not isinstance(dim, int):
        raise UnsupportedError(
            f"{node.op} '{node.origin}' on webgpu",
            got=str(value),
            need="a symbolic dimension only in front",
        )
    return dim
