"""What kernels of rows and windows share: rows of a shape, layouts, and dispatches of any size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from ...dims import Dim
from ...dtypes import DType
from ...graph.graph import Node
from ...ops.base import Shape
from ...plan.plan import Count, Size
from .access import Access
from .emit import Program, elements, most, per
from .index import coordinate, coordinates, flat
from .int64 import WIDE_ROWS
from .template import Literal

#: The constants of a window that moves one by one over what is there.
PLAIN: dict[str, Literal] = {"SH": 1, "SW": 1, "DH": 1, "DW": 1, "PT": 0, "PL": 0}


def window_of(node: Node) -> dict[str, Literal]:
    """Strides, dilations and the padding in front, as kernels name them."""
    padding, strides, dilations = (
        cast(tuple[int, ...], node.attrs[name]) for name in ("padding", "strides", "dilations")
    )
    return dict(zip(PLAIN, (*strides, *dilations, padding[0], padding[2]), strict=True))


def over(p: Program, size: Size, each: int) -> tuple[list[Size | Count], dict[str, Literal]]:
    """ceil(size / each) workgroups as rows of SPREAD, and that constant."""
    limit = p.shared.facts.limits["maxComputeWorkgroupsPerDimension"]
    groups: list[Size | Count] = [per(size, each)]
    if most(size) > limit * each:
        groups = [limit, per(size, limit * each)]
    return groups, {"SPREAD": limit}


def split(x: Shape, axes: Sequence[int]) -> tuple[Size, Size, str]:
    """A shape as rows over `axes`: how many, how long, and `fn at(row, i)`, a flat index.

    `i` counts along the axes in ascending order.
    """
    shape: list[Dim] = []
    inside: list[bool] = []
    for axis, dim in enumerate(x):  # neighbours on the same side are one axis
        merged = elements((shape[-1], dim)) if shape and inside[-1] == (axis in axes) else ()
        if isinstance(merged, tuple):
            shape.append(dim)
            inside.append(axis in axes)
        else:
            shape[-1] = merged
    parts = [tuple(d for d, of in zip(shape, inside, strict=True) if of is side)
             for side in (False, True)]  # fmt: skip
    places = [iter(coordinates(name, part)) for name, part in zip(("row", "i"), parts, strict=True)]
    found = flat([next(places[side]) for side in inside], tuple(shape))
    text = f"fn at(row: u32, i: u32) -> u32 {{ return {found}; }}"
    return elements(parts[0]), elements(parts[1]), text


def read_as(k: Access, function: str, name: str | None, layout: str, order: str) -> None:
    """`k.read`, with flat indices in the order of the letters `order`."""
    if layout == order:
        k.read(function, name)
        return
    k.read(f"{function}_{layout}", name)
    shape = k.value(name).shape
    ordered = tuple(shape[layout.index(letter)] for letter in order)
    at = [coordinate("i", ordered, order.index(letter)) for letter in layout]
    k.define(
        function,
        f"fn {function}(i: u32) -> T_{function}_{layout} "
        f"{{ return {function}_{layout}({flat(at, shape)}); }}",
    )


def write_as(k: Access, name: str, order: str, layout: str) -> None:
    """`k.write("put", name)`, with flat indices in the order of the letters `order`."""
    if layout == order:
        k.write("put", name)
        return
    k.write(f"put_{layout}", name)
    shape = k.value(name).shape
    ordered = tuple(shape[layout.index(letter)] for letter in order)
    at = [coordinate("i", ordered, order.index(letter)) for letter in layout]
    k.define(
        "put",
        f"fn put(i: u32, v: T_put_{layout}) {{ put_{layout}({flat(at, shape)}, v); }}",
    )


UNSIGNED = frozenset({DType.UINT64, DType.UINT32, DType.UINT8, DType.UINT4})
FOLDS = {"add": "a + b", "mul": "a * b", "max": "max(a, b)", "min": "min(a, b)"}


def fold(k: Access, function: str, op: str, dtype: DType) -> None:
    """Define `function(a, b)` of two T_x as add, mul, max or min of the data type."""
    made = FOLDS[op]
    if dtype.bits == 64:
        made = WIDE_ROWS[op, dtype].format(a="a", b="b")
    k.define(function, f"fn {function}(a: T_x, b: T_x) -> T_x {{ return {made}; }}")
