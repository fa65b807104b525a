"""Operators of which each output element is computed by itself: element-wise rows and movement.

One function an operator gives the body of a WGSL function: from the flat index `i` of an output
element to its value. Whether that becomes a kernel or a part of one is decided elsewhere
(defer.py, access.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from ...dims import Dim
from ...dtypes import DType
from ...graph.graph import Node
from ...ops.base import OPS, Shape
from .access import POINTWISE, Access, Pointwise
from .index import broadcast, coordinate, coordinates, flat, wgsl_dim, wgsl_size
from .int64 import CASTS, WIDE_ROWS
from .storage import wrapped

__all__ = ["POINTWISE"]


def register(name: str) -> Callable[[Pointwise], Pointwise]:
    """Enter a function in the table."""

    def enter(function: Pointwise) -> Pointwise:
        POINTWISE[name] = function
        return function

    return enter


# Element-wise rows -----------------------------------------------------------------------------


def elementwise(k: Access, node: Node, out: int) -> str:
    """A row's own expression over elements at the place that broadcasts to `i`."""
    row = OPS[node.op]
    y = k.value(node.outputs[0])
    parts: dict[str, str] = {}
    lines = []
    dtype = y.dtype
    for port, name in zip(row.inputs, node.inputs, strict=True):
        if name is None:
            continue
        x = k.value(name)
        dtype = x.dtype
        lines.append(f"let {port.name}_ = {k.element(name, broadcast('i', x.shape, y.shape))};")
        parts[port.name] = f"{port.name}_"
    for param in row.attrs:
        number = node.attrs.get(param.name, param.default)
        if isinstance(number, int | float):
            parts[param.name] = k.literal(dtype, number)
    kind = k.compute(node.outputs[0])
    if dtype.bits == 64:
        expression = WIDE_ROWS[node.op, dtype]
    else:
        assert row.wgsl is not None, f"not an element-wise row {row.name=}"
        expression = row.wgsl
    made = expression.format(T=kind, **parts)
    if y.dtype.bits < 16:
        made = wrapped(y.dtype, made)
    return (
        f"{' '.join(lines)} return {made};"
        if kind == "vec2u"
        else (f"{' '.join(lines)} return {kind}({made});")
    )


for _name, _row in OPS.items():
    if _row.wgsl is not None:
        POINTWISE[_name] = elementwise


@register("cast")
def cast_(k: Access, node: Node, out: int) -> str:
    """Between compute types; 64-bit integers through words."""
    x, y = k.value(node.inputs[0]), k.value(node.outputs[0])
    convert = CASTS[k.compute(node.inputs[0]), k.compute(node.outputs[0])]
    signed = "true" if x.dtype in (DType.INT64, DType.INT32, DType.INT8, DType.INT4) else "false"
    made = convert.format(x=k.element(node.inputs[0], "i"), signed=signed)
    if y.dtype.bits < 16:
        made = wrapped(y.dtype, made)
    return f"return {made};"


# Movement --------------------------------------------------------------------------------------


def _shapes(k: Access, node: Node, out: int = 0) -> tuple[Shape, Shape]:
    return k.value(node.inputs[0]).shape, k.value(node.outputs[out]).shape


def _moved(k: Access, node: Node, at: list[str]) -> str:
    """The element of the first input at these coordinates."""
    x = k.value(node.inputs[0])
    return f"return {k.element(x.name, flat(at, x.shape))};"


@register("identity")
@register("reshape")
def same(k: Access, node: Node, out: int) -> str:
    """The same elements in the same order."""
    return f"return {k.element(node.inputs[0], 'i')};"


@register("expand")
def expand(k: Access, node: Node, out: int) -> str:
    """Repeated along axes of length 1."""
    x, y = _shapes(k, node)
    return f"return {k.element(node.inputs[0], broadcast('i', x, y))};"


@register("transpose")
def transpose(k: Access, node: Node, out: int) -> str:
    """Axis j of the output is axis permutation[j] of the input."""
    x, y = _shapes(k, node)
    order = cast(tuple[int, ...], node.attrs.get("permutation") or tuple(range(len(x)))[::-1])
    at = ["0u"] * len(x)
    for axis, source in enumerate(order):
        at[source] = coordinate("i", y, axis)
    return _moved(k, node, at)


@register("slice")
def slice_(k: Access, node: Node, out: int) -> str:
    """From `starts`, every `strides`-th."""
    x, y = _shapes(k, node)
    starts = cast(tuple[Dim, ...], node.attrs["starts"])
    strides = cast(tuple[int, ...], node.attrs.get("strides") or (1,) * len(x))
    at = []
    for axis, (start, stride) in enumerate(zip(starts, strides, strict=True)):
        c = coordinate("i", y, axis)
        c = c if stride == 1 else f"{c} * {stride}u"
        at.append(c if start == 0 else f"({c} + {wgsl_dim(start)})")
    return _moved(k, node, at)


@register("split")
def split(k: Access, node: Node, out: int) -> str:
    """Part `out` along the axis."""
    _, y = _shapes(k, node, out)
    axis = cast(int, node.attrs.get("axis", 0))
    before = sum(cast(int, k.value(name).shape[axis]) for name in node.outputs[:out])
    at = coordinates("i", y)
    at[axis] = f"({at[axis]} + {before}u)"
    return _moved(k, node, at)


@register("reverse")
def reverse(k: Access, node: Node, out: int) -> str:
    """The other way round along `axes`."""
    x, y = _shapes(k, node)
    axes = node.attrs.get("axes")
    chosen = range(len(x)) if axes is None else cast(tuple[int, ...], axes)
    at = coordinates("i", y)
    for axis in chosen:
        at[axis] = f"({wgsl_dim(x[axis])} - 1u - {at[axis]})"
    return _moved(k, node, at)


@register("tile")
def tile(k: Access, node: Node, out: int) -> str:
    """Repeated along each axis."""
    x, y = _shapes(k, node)
    at = [
        "0u" if dim == 1 else f"({coordinate('i', y, axis)} % {wgsl_dim(dim)})"
        for axis, dim in enumerate(x)
    ]
    return _moved(k, node, at)


@register("triangular")
def triangular(k: Access, node: Node, out: int) -> str:
    """Zero below (upper) or above the diagonal of the last two axes."""
    _, y = _shapes(k, node)
    row, column = (coordinate("i", y, len(y) - 2), coordinate("i", y, len(y) - 1))
    diagonal = cast(int, node.attrs.get("diagonal", 0))
    sign = ">=" if node.attrs.get("upper", True) else "<="
    zero = k.literal(k.value(node.outputs[0]).dtype, 0)
    return (
        f"if (i32({column}) - i32({row}) {sign} {diagonal}i) "
        f"{{ return {k.element(node.inputs[0], 'i')}; }} return {zero};"
    )


@register("pad")
def pad(k: Access, node: Node, out: int) -> str:
    """A value, the nearest element or the mirrored one outside of the input."""
    x, y = _shapes(k, node)
    before = cast(tuple[int, ...], node.attrs["beginningPadding"])
    mode = node.attrs.get("mode", "constant")
    lines, at, inside = [], [], []
    for axis, (dim, start) in enumerate(zip(x, before, strict=True)):
        n = f"i32({wgsl_dim(dim)})"
        lines.append(f"var c{axis} = i32({coordinate('i', y, axis)}) - {start}i;")
        inside.append(f"c{axis} >= 0i && c{axis} < {n}")
        if mode == "edge":
            lines.append(f"c{axis} = clamp(c{axis}, 0i, {n} - 1i);")
        elif mode == "reflection":
            lines.append(f"c{axis} = abs(c{axis});")
            lines.append(f"c{axis} = select(c{axis}, 2i * ({n} - 1i) - c{axis}, c{axis} >= {n});")
        at.append(f"u32(c{axis})")
    found = k.element(node.inputs[0], flat(at, x))
    if mode == "constant" and inside:
        value = cast(float, node.attrs.get("value", 0))
        rest = k.literal(k.value(node.outputs[0]).dtype, value)
        lines.append(f"if (!({' && '.join(inside)})) {{ return {rest}; }}")
    return f"{' '.join(lines)} return {found};"


@register("concat")
def concat(k: Access, node: Node, out: int) -> str:
    """Each input in its range of the axis."""
    y = k.value(node.outputs[0]).shape
    axis = cast(int, node.attrs["axis"])
    lines = [f"var c = {coordinate('i', y, axis)};"]
    at = coordinates("i", y)
    at[axis] = "c"
    for name in node.inputs[:-1]:
        x = k.value(name).shape
        lines.append(
            f"if (c < {wgsl_dim(x[axis])}) {{ return {k.element(name, flat(at, x))}; }}"
            f" c -= {wgsl_dim(x[axis])};"
        )
    last = node.inputs[-1]
    return f"{' '.join(lines)} return {k.element(last, flat(at, k.value(last).shape))};"


def position(k: Access, name: str | None, at: str, length: Dim) -> str:
    """An element of an index tensor as a position: from the end if negative, clamped."""
    n = wgsl_dim(length)
    index = k.element(name, at)
    kind = k.compute(name)
    if kind == "u32":
        return f"min({index}, {n} - 1u)"
    index = f"bitcast<i32>({index}.x)" if kind == "vec2u" else index
    k.define("position", "fn position(at: i32, n: u32) -> u32 "
             "{ return u32(clamp(select(at, at + i32(n), at < 0), 0, i32(n) - 1)); }")  # fmt: skip
    return f"position({index}, {n})"


@register("gather")
def gather(k: Access, node: Node, out: int) -> str:
    """Whole slices at positions along the axis."""
    x, y = _shapes(k, node)
    axis = cast(int, node.attrs.get("axis", 0))
    indices = k.value(node.inputs[1]).shape
    at = coordinates("i", y)
    place = flat(at[axis : axis + len(indices)], indices)
    found = position(k, node.inputs[1], place, x[axis])
    return _moved(k, node, [*at[:axis], found, *at[axis + len(indices) :]])


@register("gatherElements")
def gather_elements(k: Access, node: Node, out: int) -> str:
    """Each element at its own position along the axis."""
    x, y = _shapes(k, node)
    axis = cast(int, node.attrs.get("axis", 0))
    at = coordinates("i", y)
    at[axis] = position(k, node.inputs[1], "i", x[axis])
    return _moved(k, node, at)


@register("gatherND")
def gather_nd(k: Access, node: Node, out: int) -> str:
    """Slices at coordinates that the last axis of the indices holds."""
    x, _ = _shapes(k, node)
    indices = k.value(node.inputs[1]).shape
    depth = cast(int, indices[-1])
    rest = wgsl_size(tuple(x[depth:]))
    outer, inner = ("i", "0u") if rest == "1u" else (f"(i / {rest})", f"(i % {rest})")
    lines, at = [], []
    for axis in range(depth):
        place = f"({outer} * {depth}u + {axis}u)"
        lines.append(f"let c{axis} = {position(k, node.inputs[1], place, x[axis])};")
        at.append(f"c{axis}")
    place = f"({flat([*at, *['0u'] * (len(x) - depth)], x)}) + {inner}"
    return f"{' '.join(lines)} return {k.element(node.inputs[0], place)};"


# Quantisation ----------------------------------------------------------------------------------


def _block(i: str, x: Shape, scale: Shape) -> str:
    """The flat index of the scale for flat index `i`: a scale serves a block along each axis."""
    at = [
        "0u" if dim == 1
        else coordinate(i, x, axis) if dim == x[axis]
        else f"({coordinate(i, x, axis)} / ({wgsl_dim(x[axis])} / {wgsl_dim(dim)}))"
        for axis, dim in enumerate(scale)
    ]  # fmt: skip
    return f"({flat(at, scale)})"


@register("dequantizeLinear")
def dequantize(k: Access, node: Node, out: int) -> str:
    """(input - zeroPoint) * scale."""
    x, scale, zero = node.inputs
    at = _block("i", k.value(x).shape, k.value(scale).shape)
    return (
        f"return (f32({k.element(x, 'i')}) - f32({k.element(zero, at)})) * {k.element(scale, at)};"
        if k.compute(x) != "i32"
        else f"return f32({k.element(x, 'i')} - {k.element(zero, at)}) * {k.element(scale, at)};"
    )


RANGES = {DType.INT4: (-8, 7), DType.UINT4: (0, 15), DType.INT8: (-128, 127),
          DType.UINT8: (0, 255), DType.INT32: (-(2**31), 2**31 - 128)}  # fmt: skip


@register("quantizeLinear")
def quantize(k: Access, node: Node, out: int) -> str:
    """clamp(roundEven(input / scale) + zeroPoint)."""
    x, scale, zero = node.inputs
    y = k.value(node.outputs[0])
    at = _block("i", k.value(x).shape, k.value(scale).shape)
    low, high = RANGES[y.dtype]
    made = f"round({k.element(x, 'i')} / {k.element(scale, at)}) + f32({k.element(zero, at)})"
    kind = k.compute(node.outputs[0])
    return f"return {kind}(clamp({made}, {float(low)!r}, {float(high)!r}));"
