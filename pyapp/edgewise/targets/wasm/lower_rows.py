"""Lowering of what works on rows: softmax, norms, reductions, places of extremes, running sums.

A row may lie along any axes (rows.rows_of). batchNormalization and reduceLogSumExp have no kernel:
their decompositions are element-wise for the most part.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from ...dims import Dim
from ...dtypes import DType
from ...graph.graph import Node
from ...ops.precision import number
from ...plan.plan import Binding
from .emit import Program
from .rows import Rows, finish, floats, result, rows_of

#: What a kernel of rows computes in, by the element's type.
COMPUTED = {
    DType.FLOAT32: "f32", DType.FLOAT16: "f32", DType.INT32: "i32", DType.UINT32: "u32",
    DType.INT64: "i64", DType.UINT64: "u64", DType.INT8: "i8", DType.UINT8: "u8",
    DType.INT4: "i8", DType.UINT4: "u8",
}  # fmt: skip

# the numbers of reduce.c
SUM, MAGNITUDES, SQUARES, PRODUCT, LARGEST, LEAST, UNSIGNED = 0, 1, 2, 3, 4, 5, 2
NOTHING, MEAN, ROOT, LOGARITHM = 0, 1, 2, 3

#: name -> how two elements are folded, and what becomes of the result
REDUCTIONS = {
    "reduceSum": (SUM, NOTHING), "reduceMean": (SUM, MEAN), "reduceProduct": (PRODUCT, NOTHING),
    "reduceL1": (MAGNITUDES, NOTHING), "reduceL2": (SQUARES, ROOT),
    "reduceSumSquare": (SQUARES, NOTHING), "reduceMax": (LARGEST, NOTHING),
    "reduceMin": (LEAST, NOTHING), "reduceLogSum": (SUM, LOGARITHM),
}  # fmt: skip


def reduce(p: Program, node: Node) -> None:
    """Any of REDUCTIONS."""
    given = node.attrs.get("axes")
    every = range(len(p.value(node.inputs[0]).shape))
    fold(p, node, node.op, every if given is None else cast(tuple[int, ...], given))


def fold(p: Program, node: Node, name: str, axes: Iterable[int]) -> None:
    """Make the node's output the reduction `name` of its input over `axes`."""
    x, y = cast(str, node.inputs[0]), node.outputs[0]
    how, last = REDUCTIONS[name]
    kind = COMPUTED[p.value(x).dtype]
    if kind.startswith("u"):
        extreme = how in (LARGEST, LEAST)
        how = how + UNSIGNED if extreme else SUM if how == MAGNITUDES else how
        kind = kind.replace("u", "i")
    rows = rows_of(p, node, x, axes)
    made, to = result(p, y)
    p.emit(
        f"reduce_{kind}", node, [rows.place], [made], [rows.n, rows.inner, how, last],
        items=rows.items, grain=rows.grain,
    )  # fmt: skip
    finish(p, node, made, to)


def arg(p: Program, node: Node) -> None:
    """argMax and argMin."""
    x, y = cast(str, node.inputs[0]), node.outputs[0]
    rows = rows_of(p, node, x, [cast(int, node.attrs["axis"])])
    p.emit(
        f"arg_{COMPUTED[p.value(x).dtype]}", node, [rows.place], [y],
        [rows.n, rows.inner, node.op == "argMin", p.value(y).dtype is DType.INT64],
        items=rows.items, grain=rows.grain,
    )  # fmt: skip


def cumulative_sum(p: Program, node: Node) -> None:
    """From either end, with the element itself or without; integers wrap around."""
    x, y = cast(str, node.inputs[0]), node.outputs[0]
    rows = rows_of(p, node, x, [cast(int, node.attrs["axis"])])
    made, to = result(p, y)
    p.emit(
        f"cumulative_{COMPUTED[p.value(x).dtype].replace('i', 'u')}", node, [rows.place], [made],
        [rows.n, rows.inner, cast(bool, node.attrs["exclusive"]),
         cast(bool, node.attrs["reversed"])],
        items=rows.items, grain=rows.grain,
    )  # fmt: skip
    finish(p, node, made, to)


def softmax(p: Program, node: Node) -> None:
    """Along one axis."""
    x = cast(str, node.inputs[0])
    rows = rows_of(p, node, x, [cast(int, node.attrs["axis"])])
    made, to = result(p, node.outputs[0])
    p.emit("softmax", node, [rows.place], [made], [rows.n, rows.inner],
           items=rows.items, grain=rows.grain)  # fmt: skip
    finish(p, node, made, to)


def layer_normalization(p: Program, node: Node) -> None:
    """Over any axes; scale and bias have these in the order of the attribute."""
    x = cast(str, node.inputs[0])
    given = node.attrs.get("axes")
    rank = len(p.value(x).shape)
    axes = tuple(range(1, rank)) if given is None else cast(tuple[int, ...], given)
    ascending = tuple(sorted(range(len(axes)), key=axes.__getitem__))
    along = [None if name is None else floats(p, node, name, ascending)
             for name in node.inputs[1:]]  # fmt: skip
    _normalize(p, node, rows_of(p, node, x, axes), along, 0)


def instance_normalization(p: Program, node: Node) -> None:
    """Over height and width; scale and bias have an element a channel."""
    x = cast(str, node.inputs[0])
    layout = cast(str, node.attrs["layout"])
    rows = rows_of(p, node, x, [layout.index("h"), layout.index("w")])
    given = [None if name is None else floats(p, node, name) for name in node.inputs[1:]]
    _normalize(p, node, rows, given, p.value(x).shape[layout.index("c")])


def _normalize(
    p: Program, node: Node, rows: Rows, affine: list[str | Binding | None], features: Dim
) -> None:
    scale, bias = affine
    x = p.value(node.inputs[0])
    made, to = result(p, node.outputs[0], rows.order)
    epsilon = float(number(cast(float, node.attrs["epsilon"]), x.dtype))
    p.emit(
        "normalize", node, [rows.place, scale or rows.place, bias or rows.place], [made],
        [rows.n, rows.inner, epsilon, features, scale is not None, bias is not None],
        items=rows.items, grain=rows.grain,
    )  # fmt: skip
    finish(p, node, made, to)
