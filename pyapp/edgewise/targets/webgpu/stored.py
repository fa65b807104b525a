"""Quantised matrices whose parts are tensors of their own in the file, as ONNX's MatMulNBits has.

Codes are copied as they are. The (scale, minimum) pairs that the kernels read are made on the
device from the scales and a factor: minimum = scale * factor, the factor being minus the zero
point. In the graph that is a product, which `factored.bind` takes apart.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from ...dims import bound
from ...dtypes import DType
from ...graph.graph import Constant
from ...plan.plan import Binding, Kernel, Step, Weight, count
from ..places import UPLOAD_BYTES, Places, name_of
from .template import Literal, render

ROW_UNIT = 256  # a multiple of this many rows of any width keeps offsets aligned


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows `start` to `stop` of a matrix, on the way to the beginning of `to`."""

    start: int
    stop: int
    to: Binding


def send_codes(places: Places, codes: Constant, rows: Rows) -> None:
    """Copy rows of codes."""
    row_bits = bound(codes.value.shape[1]) * codes.value.dtype.bits
    _send(places, codes, rows, row_bits, row_bits // 32, 4, Sent("unpack_words", {}, {}))


def send_pairs(places: Places, scale: Constant, factor: Constant | None, rows: Rows) -> None:
    """Make the (scale, minimum) pairs of rows; without a factor, the minimum is 0."""
    groups, wide = bound(scale.value.shape[1]), scale.value.dtype is DType.FLOAT32
    flags = {"WIDE": wide, "HELD": False, "LATER": False}
    number = 0.0
    stored = factor is not None and factor.data is None
    if factor is not None and stored:
        after = places.tensor(name_of(factor)).offset > places.tensor(name_of(scale)).offset
        flags["LATER"], flags["HELD"] = after, not after
        kind = {"CODES": factor.value.dtype is DType.UINT4, "WIDE": wide, "HELD": after}
        bits = factor.value.dtype.bits
        sent = Sent("pairs_factor", kind, {})
        _send(places, factor, rows, groups * bits, groups, 8 if wide else 4, sent)
    elif factor is not None and factor.value.shape:
        flags["HELD"] = True
        places.inline.append((rows.to, _waiting(factor, groups, rows)))
    elif factor is not None:
        (number,) = struct.unpack("<f" if wide else "<e", factor.data or b"")
    sent = Sent("pairs_scale", flags, {"FACTOR": number})
    bits = scale.value.dtype.bits
    _send(places, scale, rows, groups * bits, groups, 8 if wide else 4, sent)


@dataclass(frozen=True, slots=True)
class Sent:
    """The kernel that a tensor's bytes go through."""

    kernel: str
    flags: Mapping[str, bool]
    consts: Mapping[str, Literal]


def _send(
    places: Places, constant: Constant, rows: Rows, row_bits: int, items: int, size: int, sent: Sent
) -> None:
    """Rows of a stored tensor through a kernel that makes `items` of `size` bytes of each."""
    tensor = places.tensor(name_of(constant))
    limit = places.shared.facts.limits["maxComputeWorkgroupsPerDimension"]
    most = max(UPLOAD_BYTES * 8 // row_bits // ROW_UNIT, 1) * ROW_UNIT
    for row in range(rows.start, rows.stop, most):
        count_ = min(most, rows.stop - row)
        nbytes, total = -(-count_ * row_bits // 8), count_ * items
        at = rows.to.offset + (row - rows.start) * items * size
        own = () if sent.kernel == "unpack_words" else (("N", total),)
        code = render(sent.kernel, flags=sent.flags, consts=sent.consts)
        kernel = Kernel(sent.kernel, code, ("read", "write"), own)
        staging = places.shared.buffer("staging", "staging", -(-nbytes // 4) * 4)
        x = min(-(-total // 64), limit)
        step = Step(
            places.shared.kernel(kernel),
            (Binding(staging, 0, -(-nbytes // 4) * 4), Binding(rows.to.buffer, at, total * size)),
            (count(x), count(-(-total // 64 // x)), count(1)),
            name_of(constant),
        )
        start = tensor.offset + row * row_bits // 8
        places.uploads.append(Weight(name_of(constant), start, nbytes, (step,)))


def _waiting(factor: Constant, groups: int, rows: Rows) -> bytes:
    """Pairs of no scale yet and the factors of rows."""
    size = factor.value.dtype.bits // 8
    data = (factor.data or b"")[rows.start * groups * size : rows.stop * groups * size]
    return b"".join(bytes(size) + data[i : i + size] for i in range(0, len(data), size))
