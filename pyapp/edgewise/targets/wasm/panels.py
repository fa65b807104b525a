"""Matrices in the layout that gemm.c multiplies by: panels of 8 columns.

A constant is packed once, as it is loaded; whatever else in a step of its own.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from ...dims import Dim, bound
from ...dtypes import DType
from ...graph.graph import Constant, Node
from ...ops.base import Shape
from ...plan.plan import Binding, Kernel, Size, Step, Weight, count
from ..places import UPLOAD_BYTES, key_of, name_of
from ..program import elements
from .emit import Program, View, grain_of, strides_of
from .lower_view import merged_together
from .rows import floats
from .weights import Weights

PANEL = 8
WORK = 1 << 15  # elements that are worth the while of a thread
MAX_AXES = 4  # of batches
KINDS = {"F32": 0, "F16": 1, "BF16": 2}  # of gemm_pack.c
ONE: tuple[Size, ...] = (1,) * MAX_AXES
NONE: tuple[Size, ...] = (0,) * MAX_AXES


@dataclass(frozen=True, slots=True)
class Matrix:
    """A constant [K, N] whose elements lie at k * by_k + n * by_n."""

    constant: Constant
    k: int
    n: int
    by_k: int
    by_n: int


def packed(p: Program, node: Node, name: str, *, turned: bool = False) -> str | Binding:
    """Where the matrices of `name`, [.., K, N], lie as panels; all batches in order.

    turned  they are [.., N, K]
    """
    shape, view = p.value(name).shape, p.view(name)
    constant = p.graph.constants.get(view.root)
    (k, by_k), (n, by_n) = _matrix(shape, view, turned)
    ordered = (by_k, by_n) in ((n, 1), (1, k)) and view.offset == 0
    if constant is not None and ordered and elements(shape[:-2]) == 1:
        assert isinstance(k, int), f"{shape=}"
        assert isinstance(n, int), f"{shape=}"
        return constant_panels(p.weights, Matrix(constant, k, n, cast(int, by_k), cast(int, by_n)))
    return _computed(p, node, name, turned)


def _matrix(shape: Shape, view: View, turned: bool) -> tuple[tuple[Dim, Size], tuple[Dim, Size]]:
    """The sizes and strides of K and N."""
    first, second = zip(shape[-2:], view.strides[-2:], strict=True)
    return (second, first) if turned else (first, second)


def _computed(p: Program, node: Node, name: str, turned: bool) -> str:
    """After a step that packs them."""
    value, view = p.value(name), p.view(name)
    form = (name, "turned panels" if turned else "panels")
    if form in p.made:
        return p.made[form]
    batch = value.shape[:-2]
    order = merged_together(batch, [view.strides[:-2]])
    if len(order[0]) > MAX_AXES or value.dtype is not DType.FLOAT32:
        place = floats(p, node, name)
        view = View(p.root(name), 0, strides_of(value.shape))
        order = merged_together(batch, [view.strides[:-2]])
    else:
        place = p.operand(view.root)
    sizes, (steps,) = order
    (k, by_k), (n, by_n) = _matrix(value.shape, view, turned)
    made = p.temporary(name, (*batch, panels(n) * PANEL, k), DType.FLOAT32)
    p.emit(
        "gemm_pack", node, [place], [made],
        [0, n, k, 0, k, view.offset, by_k, by_n, *padded(sizes, ONE), *padded(steps, NONE)],
        items=count((*batch, n + PANEL - 1), PANEL),
        grain=grain_of(elements((k, PANEL)), WORK),
    )  # fmt: skip
    if p.root(view.root) not in p.states:
        p.made[form] = made
    return made


def constant_panels(weights: Weights, matrix: Matrix) -> Binding:
    """Where a constant lies as panels, after uploads that pack it."""
    form = f"panels {matrix.by_k} {matrix.by_n}"
    name = f"{form} {name_of(matrix.constant)}"
    if name not in weights.placed:
        nbytes = 4 * matrix.k * -(-matrix.n // PANEL) * PANEL
        place = weights.place(nbytes, key_of(matrix.constant, form))
        weights.placed[name] = place
        if matrix.constant.data is not None:
            weights.inline.append((place, _arranged(matrix)))
        else:
            _upload(weights, matrix, place)
    return weights.placed[name]


def _arranged(matrix: Matrix) -> bytes:
    """The panels of a constant that the graph itself holds."""
    data = matrix.constant.data
    assert data is not None, f"{matrix=}"
    x = array("f")
    if matrix.constant.value.dtype is DType.FLOAT16:
        x.extend(struct.unpack(f"<{len(data) // 2}e", data))
    else:
        x.frombytes(data)
    made = array("f", bytes(4 * matrix.k * -(-matrix.n // PANEL) * PANEL))
    for column in range(matrix.n):
        to = column // PANEL * PANEL * matrix.k + column % PANEL
        start = column * matrix.by_n
        last = start + matrix.k * matrix.by_k
        made[to : to + PANEL * matrix.k : PANEL] = x[start : last : matrix.by_k]
    return made.tobytes()


def _upload(weights: Weights, matrix: Matrix, place: Binding) -> None:
    """Bring a tensor of the file: rows of it at a time, as they lie there."""
    name = name_of(matrix.constant)
    tensor = weights.tensor(name)
    by_rows = matrix.by_n == 1  # a row of the file is one of the matrix, else a column
    rows, width = (matrix.k, matrix.n) if by_rows else (matrix.n, matrix.k)
    size = tensor.nbytes // (rows * width)
    most = max(UPLOAD_BYTES // (size * width) // PANEL, 1) * PANEL
    kernel = weights.shared.kernel(Kernel("gemm_pack", "", ("read", "write")))
    for first in range(0, rows, most):
        n = min(most, rows - first)
        nbytes = n * width * size
        staging = weights.shared.buffer("staging", "staging", nbytes)
        columns, k, at = (matrix.n, n, first) if by_rows else (n, matrix.k, 0)
        skipped = 0 if by_rows else 4 * first * matrix.k
        to = Binding(place.buffer, place.offset + skipped, place.nbytes - skipped)
        numbers = (KINDS[tensor.type], columns, matrix.k, at, k, 0, matrix.by_k, matrix.by_n,
                   1, 1, 1, 1, 0, 0, 0, 0)  # fmt: skip
        step = Step(
            kernel, (Binding(staging, 0, -(-nbytes // 4) * 4), to),
            (count(-(-columns // PANEL)), count(max(WORK // (k * PANEL), 1)), count(1)),
            name, numbers,
        )  # fmt: skip
        start = tensor.offset + first * width * size
        weights.uploads.append(Weight(name, start, nbytes, (step,)))


def panels(n: Dim) -> Dim:
    """Panels of n columns, or a bound of them where n is symbolic."""
    return -(-bound(n) // PANEL)


def padded(given: Sequence[Size], to: tuple[Size, ...]) -> tuple[Size, ...]:
    """With as many in front as a kernel wants."""
    return (*to[len(given) :], *given)
