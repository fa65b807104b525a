"""Lowering of quantizedLinear: x is quantised in a step of its own, its products are of bytes.

The first layers of an attention read one x: it is quantised once for all of them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import cast

from ...dims import bound
from ...dtypes import DType
from ...graph.graph import Constant, Node
from ...ops.base import Shape
from ...ops.quantized import ACTIVATIONS
from ...plan.plan import Binding, Kernel, Step, Weight, count
from ..places import UPLOAD_BYTES, key_of, name_of
from ..program import elements, n_elements
from .emit import Program
from .weights import Weights

ROWS, COLUMNS = 4, 8  # of a tile in gemm8.c
PADDED = 16  # columns that K is filled up to a multiple of
GROUP = 128  # columns of x with one range
PAIRED = 258  # of four codes of one sign that meet in 16 bits, together
GRAIN = 4  # panels: with fewer, rows of x come too often from afar; with more, threads wait


def quantized_linear(p: Program, node: Node) -> None:
    """y = act(x Wᵀ + bias)."""
    x, codes, scale, bias = node.inputs
    n, k = (bound(dim) for dim in p.value(codes).shape)
    rows = elements(p.value(x).shape[:-1])
    quantised, ranges = _quantised(p, node, cast(str, x))
    panels, sums = _panels(p.weights, p.graph.constants[cast(str, codes)])
    scales = p.dense(cast(str, scale), node)
    biases = scales if bias is None else p.dense(bias, node)
    act = ACTIVATIONS.index(cast(str, node.attrs["activation"]))
    p.emit(
        "gemm8", node, [quantised, ranges, panels, sums, scales, biases], [node.outputs[0]],
        [rows, n, _row_nbytes(k) // 4, bias is not None, act],
        items=-(-n // COLUMNS), grain=GRAIN,
    )  # fmt: skip


def _quantised(p: Program, node: Node, x: str) -> tuple[str, str]:
    """The codes of x and their ranges: see quantise8."""
    root = p.root(x)
    known = (root, "codes of 7 bits"), (root, "ranges of codes")
    if known[0] not in p.made or root in p.states:
        value = p.value(x)
        tiles = -(-n_elements(value.shape[:-1]) // ROWS)
        k = bound(value.shape[-1])
        shapes: Sequence[tuple[Shape, DType]] = (
            ((tiles, ROWS * _row_nbytes(k)), DType.UINT8),
            ((tiles, ROWS * 2 * -(-k // GROUP)), DType.FLOAT32),
        )  # fmt: skip
        made = [p.temporary(root, shape, dtype) for shape, dtype in shapes]
        rows = elements(value.shape[:-1])
        p.emit("quantise8", node, [p.dense(x, node)], made, [rows, k],
               items=count(rows, ROWS), grain=max(8192 // k, 1))  # fmt: skip
        p.made.update(zip(known, made, strict=True))
    return p.made[known[0]], p.made[known[1]]


def _panels(w: Weights, constant: Constant) -> tuple[Binding, Binding]:
    """Where W's codes lie in panels, and the sums of its rows."""
    name = f"panels {name_of(constant)}"
    if name not in w.placed:
        n, k = (bound(dim) for dim in constant.value.shape)
        key, padded = key_of(constant, "panels"), -(-n // COLUMNS) * COLUMNS
        w.placed[name] = w.place(padded * _row_nbytes(k), key)
        w.placed[f"sums of {name}"] = w.place(
            padded // COLUMNS * _sums_nbytes(k), key and f"sums of {key}"
        )
        if constant.data is None:
            _send(w, name_of(constant), n, k, w.placed[name], w.placed[f"sums of {name}"])
        else:
            panels, sums = _packed(constant.data, n, k)
            w.inline += [(w.placed[name], panels), (w.placed[f"sums of {name}"], sums)]
    return w.placed[name], w.placed[f"sums of {name}"]


def _row_nbytes(k: int) -> int:
    return -(-k // PADDED) * PADDED


def _sums_nbytes(k: int) -> int:
    """Of one panel: for each group of columns its rows' sums, whether they are PAIRED, padding."""
    return -(-k // GROUP) * (COLUMNS + 4) * 4


def _send(w: Weights, name: str, n: int, k: int, panels: Binding, sums: Binding) -> None:
    """Uploads of whole panels, through the kernel that packs them."""
    tensor = w.tensor(name)
    most = max(UPLOAD_BYTES // k // COLUMNS, 1) * COLUMNS
    for first in range(0, n, most):
        rows = min(most, n - first)
        filled = -(-rows // COLUMNS) * COLUMNS
        staging = w.shared.buffer("staging", "staging", rows * k)
        step = Step(
            w.shared.kernel(Kernel("pack8", "", ("read", "write", "write"))),
            (
                Binding(staging, 0, rows * k),
                _part(panels, first, filled, _row_nbytes(k)),
                _part(sums, first // COLUMNS, filled // COLUMNS, _sums_nbytes(k)),
            ),
            (count(filled // COLUMNS), count(1), count(1)), name, (rows, k),
        )  # fmt: skip
        w.uploads.append(Weight(name, tensor.offset + first * k, rows * k, (step,)))


def _part(whole: Binding, first: int, n: int, nbytes: int) -> Binding:
    return Binding(whole.buffer, whole.offset + first * nbytes, n * nbytes)


def _packed(codes: bytes, n: int, k: int) -> tuple[bytes, bytes]:
    """What pack8 makes of codes that the graph itself holds."""
    padding = bytes(_row_nbytes(k) - k)
    rows = [codes[at : at + k] + padding for at in range(0, n * k, k)]
    rows += [bytes(_row_nbytes(k))] * (-n % COLUMNS)
    panels = [
        row[at : at + 4]
        for first in range(0, len(rows), COLUMNS)
        for at in range(0, _row_nbytes(k), 4)
        for row in rows[first : first + COLUMNS]
    ]
    sums = [
        number
        for first in range(0, len(rows), COLUMNS)
        for at in range(0, k, GROUP)
        for number in _group_sums([r[at : at + GROUP] for r in rows[first : first + COLUMNS]])
    ]
    return b"".join(panels), struct.pack(f"<{len(sums)}f", *sums)


def _group_sums(rows: Sequence[bytes]) -> list[int]:
    """What pack8 makes of a group of columns of a panel."""
    codes = [struct.unpack(f"{len(row)}b", row) for row in rows]
    fours = [
        [row[at + place] for place in (0, 1, 4, 5)]
        for row in codes
        for start in range(0, len(row) - 7, 8)
        for at in (start, start + 2)
    ]
    paired = all(
        sum(max(code * sign, 0) for code in four) <= PAIRED for four in fours for sign in (1, -1)
    )
    return [*map(sum, codes), int(paired), 0, 0, 0]
