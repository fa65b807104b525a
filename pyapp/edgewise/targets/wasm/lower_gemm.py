"""Lowering of matrix products. What is added to one, bias or residual, is where its sums begin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, cast

from ...dims import Dim, bound
from ...dtypes import DType
from ...errors import UnsupportedError
from ...graph.graph import Node
from ...ops.base import Shape
from ...plan.plan import Binding, Count, Size, count
from ..program import elements, n_elements
from .emit import Program, View, strides_of
from .lower_view import merged_together
from .panels import MAX_AXES, NONE, ONE, packed, padded
from .rows import finish, floats, result

COLUMNS = 32  # of an item
MAX_ROWS = 128  # of an item, a multiple of a tile's four
ROWS_ELEMENTS = 1 << 15  # of an item's rows in a: they stay in the second cache
FLOPS = 1 << 20  # worth the while of a thread

Strides: TypeAlias = tuple[Size, ...]


@dataclass(frozen=True, slots=True)
class Start:
    """What sums begin with: a place, and the strides of a batch, a row, a column."""

    place: str | Binding
    by_batch: Size
    by_row: Size
    by_column: Size


def matmul(p: Program, node: Node) -> None:
    """The last two axes multiplied; the others broadcast."""
    a, b = cast(str, node.inputs[0]), cast(str, node.inputs[1])
    shape, other, made = (p.value(name).shape for name in (a, b, node.outputs[0]))
    x, view = readable(p, node, a)
    batch, m, by_row = made[:-2], cast(Size, shape[-2]), view.strides[-2]
    steps = spread(shape[:-2], view.strides[:-2], len(batch))
    rows = line(shape[:-1], view.strides[:-1]) if elements(other[:-2]) == 1 else None
    if rows is not None:
        (m, by_row), batch, steps = rows, (), ()
    own = tuple(elements(other[axis + 1 : -2]) for axis in range(len(other) - 2))
    sizes, both = merged_together(batch, [steps, spread(other[:-2], own, len(batch))])
    if len(sizes) > MAX_AXES:
        raise UnsupportedError(
            "matmul on wasm", got=f"batches {shape[:-2]} and {other[:-2]}",
            need=f"{MAX_AXES} axes that are broadcast differently", fix="reshape them",
        )  # fmt: skip
    place = packed(p, node, b)
    name, start = _start(p, node, rows is not None)
    y, to = result(p, name, range(len(made)))
    k, n = shape[-1], made[-1]
    each = max(min(ROWS_ELEMENTS // max(bound(k), 1), MAX_ROWS) // 4 * 4, 8)
    work = 2 * min(each, n_elements(_dims(m))) * COLUMNS * bound(k)
    added = (0, 0, 0, 0) if start is None else (1, start.by_batch, start.by_row, start.by_column)
    p.emit(
        "gemm", node, [x, place, x if start is None else start.place], [y],
        [m, n, k, each, COLUMNS, view.offset, by_row, *added,
         *padded(sizes, ONE), *padded(both[0], NONE), *padded(both[1], NONE)],
        items=blocks(batch, m, n, each, COLUMNS), grain=max(FLOPS // max(work, 1), 1),
    )  # fmt: skip
    finish(p, node, y, to)


def readable(p: Program, node: Node, name: str) -> tuple[str | Binding, View]:
    """Where a matrix lies in float32 whose rows are whole, and how."""
    value, view = p.value(name), p.view(name)
    whole = view.strides[-1] == 1 or value.shape[-1] == 1
    if whole and value.dtype is DType.FLOAT32:
        return p.operand(view.root), view
    return floats(p, node, name), View(p.root(name), 0, strides_of(value.shape))


def spread(shape: Shape, strides: Strides, rank: int) -> Strides:
    """Strides of an operand along the axes of what it is broadcast to."""
    own = tuple(0 if dim == 1 else stride for dim, stride in zip(shape, strides, strict=True))
    return (*(0,) * (rank - len(own)), *own)[:rank]


def line(shape: Shape, strides: Strides) -> tuple[Size, Size] | None:
    """Elements with one stride between any two neighbours: how many, and the stride."""
    if not shape:
        return 1, 0
    step = strides[-1]
    if isinstance(step, int) and all(
        strides[axis] == elements((*shape[axis + 1 :], step)) for axis in range(len(shape))
    ):
        return elements(shape), step
    dims, (steps,) = merged_together(shape, [strides])
    return None if len(dims) > 1 else ((*dims, 1)[0], (*steps, 0)[0])


def _start(p: Program, node: Node, together: bool) -> tuple[str, Start | None]:
    """The value that the product becomes, and what is added to it on the way."""
    y = node.outputs[0]
    users = p.users.get(y, ())
    if y in p.results or len(users) != 1 or users[0].op != "add" or users[0].inputs.count(y) > 1:
        return y, None
    add = users[0]
    other, whole = cast(str, add.inputs[1 - add.inputs.index(y)]), p.value(y).shape
    value = p.value(other)
    late = max(p.order.get(name, -1) for name in (other, p.root(other))) > p.order[y]
    if late or value.dtype is not DType.FLOAT32 or p.value(add.outputs[0]).shape != whole:
        return y, None
    view = p.view(other)
    steps = spread(value.shape, view.strides, len(whole))
    lead = whole[:-1] if together else whole[:-2]
    found = line(lead, steps[: len(lead)])
    if found is None or steps[-1] not in (0, 1) or view.offset != 0:
        return y, None
    p.absorbed.add(add.outputs[0])
    p.note(add, "did begin the sums of a product with it")
    by_batch, by_row = (0, found[1]) if together else (found[1], steps[-2])
    return add.outputs[0], Start(p.operand(view.root), by_batch, by_row, steps[-1])


def blocks(batch: Shape, m: Size, n: Dim, rows: int, columns: int) -> Count:
    """At least as many items as there are blocks; the kernel leaves the surplus."""
    *others, last = _dims(m)
    factors, divisor = [*batch, *others], 1
    for size, each in ((last + rows - 1, rows), (n + columns - 1, columns)):
        factors.append(size // each if isinstance(size, int) else size)
        divisor *= 1 if isinstance(size, int) else each
    return count(tuple(factors), divisor)


def _dims(size: Size) -> tuple[Dim, ...]:
    return size if isinstance(size, tuple) else (size,)
