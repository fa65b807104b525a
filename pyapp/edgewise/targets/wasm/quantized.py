"""Quantised matrices in the panels that shims/wasm/quant.h describes: 8 rows, group after group.

ggml's blocks, and codes that are a tensor of their own (quantized_plain.py), are repacked by
kernels as they arrive, constants of the graph here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from ...dims import bound
from ...dtypes import PLAIN
from ...errors import UnsupportedError
from ...formats.blocks import BLOCKS
from ...graph.graph import Constant
from ...plan.plan import Binding, Kernel, Step, Weight, count
from ..places import UPLOAD_BYTES, key_of, name_of
from .matrix import ROWS, WIDE, Matrix
from .quantized_plain import send_plain
from .weights import Weights

LOW_NIBBLES = bytes(i & 15 for i in range(256))
HIGH_NIBBLES = bytes(i >> 4 for i in range(256))


def place_matrices(
    weights: Weights, matrices: Sequence[Matrix], *, alternate: bool = False
) -> Binding:
    """Panels of `matrices`, those of one after the other's, or in turn.

    Raises UnsupportedError when their forms or the kinds of their sources differ.
    """
    first = matrices[0]
    kinds = {m.codes.source.type if m.codes.source else "inline" for m in matrices}
    if len(kinds) != 1 or len({m.form for m in matrices}) != 1:
        raise UnsupportedError(
            "matrices in one product", got=f"types {sorted(kinds)}", need="one type and width"
        )
    (kind,) = kinds
    form = "panels in turn" if alternate else "panels"
    name = f"{form} {json.dumps([name_of(m.codes) for m in matrices])}"
    if name in weights.placed:
        return weights.placed[name]
    nbytes = first.form.nbytes * sum(m.panels for m in matrices)
    key = None if key_of(first.codes, form) is None else name
    place = weights.placed[name] = weights.place(nbytes, key)
    step = first.form.nbytes * (len(matrices) if alternate else 1)
    at = place.offset
    for matrix in matrices:
        rows = Binding(place.buffer, at, step * (matrix.panels - 1) + matrix.form.nbytes)
        if kind == "inline":
            for i, panel in enumerate(_panels(matrix)):
                to = Binding(place.buffer, at + i * step, len(panel))
                weights.inline.append((to, panel))
        elif kind in PLAIN:
            send_plain(weights, matrix, rows, step)
        else:
            _upload(weights, matrix, rows, step, kind)
        at += matrix.form.nbytes if alternate else step * matrix.panels
    return place


def _upload(weights: Weights, matrix: Matrix, to: Binding, step: int, type: str) -> None:
    """Bring a tensor of ggml's blocks; its panels lie `step` bytes apart."""
    name, block = name_of(matrix.codes), BLOCKS[type]
    tensor = weights.tensor(name)
    row_nbytes = tensor.nbytes // matrix.rows
    kernel = weights.shared.kernel(Kernel("quant_pack", "", ("read", "write")))
    most = max(UPLOAD_BYTES // row_nbytes // ROWS, 1) * ROWS
    for row in range(0, matrix.rows, most):
        n = min(most, matrix.rows - row)
        panels = -(-n // ROWS)
        staging = weights.shared.buffer("staging", "staging", n * row_nbytes)
        at = to.offset + row // ROWS * step
        made = Step(
            kernel,
            (Binding(staging, 0, n * row_nbytes),
             Binding(to.buffer, at, (panels - 1) * step + matrix.form.nbytes)),
            (count(panels), count(4), count(1)),
            name,
            (block.code, matrix.form.flags, n, matrix.width // block.elements, step),
        )  # fmt: skip
        start = tensor.offset + row * row_nbytes
        weights.uploads.append(Weight(name, start, n * row_nbytes, (made,)))


def _panels(matrix: Matrix) -> Iterator[bytes]:
    """The panels of a matrix that the graph itself holds."""
    form = matrix.form
    for first in range(0, matrix.rows, ROWS):
        rows = range(first, min(first + ROWS, matrix.rows))
        codes = _codes([_row(matrix.codes, row) for row in rows], form.bits)
        scales = _scales(matrix, rows)
        out = []
        for group in range(form.groups):
            out.append(scales[group * form.scale_nbytes :][: form.scale_nbytes])
            size = form.blocks * form.code_nbytes
            out.append(codes[group * size : (group + 1) * size])
        yield b"".join(out)


def _codes(rows: list[bytes], bits: int) -> bytes:
    """The codes of a panel's rows, without scales in between."""
    if bits == 8:
        out = bytearray(len(rows[0]) * ROWS)
        for r, row in enumerate(rows):
            for k in range(2):
                out[2 * r + k :: 16] = row[k::2]
        return bytes(out)
    halves = [bytearray(len(rows[0]) * ROWS), bytearray(len(rows[0]) * ROWS)]
    for r, row in enumerate(rows):
        low, high = row.translate(LOW_NIBBLES), row.translate(HIGH_NIBBLES)
        for k, codes in enumerate((low[0::2], low[1::2], high[0::2], high[1::2])):
            halves[r // 4][4 * (r % 4) + k :: 16] = codes
    joined = int.from_bytes(halves[0], "little") | int.from_bytes(halves[1], "little") << 4
    return joined.to_bytes(len(halves[0]), "little")


def _scales(matrix: Matrix, rows: range) -> bytes:
    """Scales and minima of a panel, group after group."""
    size = matrix.scale.value.dtype.bits // 8
    parts = [matrix.scale] if matrix.minimum is None else [matrix.scale, matrix.minimum]
    held = [[_row(part, row) for row in rows] for part in parts]
    missing = bytes(size) * (ROWS - len(rows))
    out = []
    for at in range(0, len(held[0][0]), size):
        columns = [[row[at : at + size] for row in part] for part in held]
        if matrix.form.flags & WIDE:
            out += [each for column in columns for each in (*column, missing)]
        else:
            pairs = [each for pair in zip(*columns, strict=True) for each in pair]
            out += [*pairs, missing * len(parts)]
    return b"".join(out)


def _row(constant: Constant, row: int) -> bytes:
    assert constant.data is not None, f"{constant.value.name!r} is not inline"
    nbytes = len(constant.data) // bound(constant.value.shape[0])
    return constant.data[row * nbytes : (row + 1) * nbytes]
