"""Where weights lie on the device, and the uploads that bring them there.

A matrix is *packed* once in the layout that the kernels read (codes, then a (scale, minimum)
pair a group), from one tensor or from several whose rows follow each other or alternate. What
exceeds the device's binding limit is split by rows into parts. Bytes come from the model file as
they are and are repacked on the device, in uploads of at most 16 MiB.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from functools import cache

from ...dims import bound
from ...dtypes import PLAIN, DType
from ...errors import PlanError, UnsupportedError
from ...formats.blocks import BLOCKS
from ...graph.graph import Constant
from ...plan.plan import Binding, Kernel, Step, Weight, count
from ..factored import Matrix
from ..places import UPLOAD_BYTES, Places, Tensor, key_of, name_of
from . import stored
from .emit import Shared, nbytes_of
from .stored import ROW_UNIT
from .template import render


@dataclass(frozen=True, slots=True)
class Part:
    """Rows `row0` to `row0 + rows` of a packed matrix."""

    row0: int
    rows: int
    codes: Binding
    scales: Binding


@dataclass(frozen=True, slots=True)
class Packed:
    """A matrix on the device. `wide`: pairs in float32, not float16."""

    bits: int
    group: int
    wide: bool
    rows: int
    width: int
    parts: tuple[Part, ...]


@dataclass(slots=True)
class Weights(Places):
    """All packed weights of a plan. Packing the same tensors twice gives the same place."""

    shared: Shared
    binding_limit: int = 0
    packed: dict[tuple[str, ...], Packed] = field(default_factory=dict)
    vectors: dict[str, Binding] = field(default_factory=dict)

    def matrix(self, matrices: tuple[Matrix, ...], *, alternate: bool = False) -> Packed:
        """Pack the rows of `matrices`, one after the other or alternating.

        Raises UnsupportedError when their block types differ: fusing them was a mistake.
        """
        key = (str(alternate), *(name_of(m.codes) for m in matrices))
        if key not in self.packed:
            self.packed[key] = self._pack(matrices, alternate)
        return self.packed[key]

    def vector(self, constant: Constant) -> Binding:
        """A vector of floats, as float32 on the device."""
        name = name_of(constant)
        if name not in self.vectors:
            n = bound(constant.value.shape[0])
            place = self.vectors[name] = self.place(4 * n, key_of(constant, "float32"))
            if constant.data is not None:
                self.inline.append((place, float32_bytes(constant.value.dtype, constant.data)))
            else:
                self._upload(name, self.tensor(name), 1, n, 0, 1, [place], 1, 0)
        return self.vectors[name]

    def plain(self, constant: Constant) -> Binding:
        """A constant's bytes as they are; bfloat16 of the file as float32."""
        name = f"plain {name_of(constant)}"
        if name in self.vectors:
            return self.vectors[name]
        nbytes = nbytes_of(constant.value)
        if nbytes > self.binding_limit:
            raise PlanError(
                f"constant '{name_of(constant)}'",
                got=f"{nbytes} bytes",
                need=f"at most {self.binding_limit} in one binding",
            )
        place = self.vectors[name] = self.place(nbytes, key_of(constant, "plain"))
        if constant.data is not None:
            self.inline.append((place, constant.data))
        elif constant.source is not None and constant.source.type == "BF16":
            tensor = self.tensor(name_of(constant))
            n = tensor.nbytes // 2
            self._upload(name_of(constant), tensor, 1, n, 0, 1, [place], 1, 0)
        else:
            self._copy(name_of(constant), place)
        return place

    def _copy(self, name: str, place: Binding) -> None:
        """Bring a tensor's bytes, in as many uploads as it takes."""
        tensor = self.tensor(name)
        limit = self.shared.facts.limits["maxComputeWorkgroupsPerDimension"]
        kernel = Kernel("unpack_words", unpack_code("words"), ("read", "write"))
        for start in range(0, tensor.nbytes, UPLOAD_BYTES):
            n = min(UPLOAD_BYTES, tensor.nbytes - start)
            words = -(-n // 4)
            staging = self.shared.buffer("staging", "staging", 4 * words)
            to = Binding(place.buffer, place.offset + start, 4 * words)
            groups = min(-(-words // 64), limit)
            step = Step(
                self.shared.kernel(kernel),
                (Binding(staging, 0, 4 * words), to),
                (count(groups), count(-(-words // 64 // groups)), count(1)),
                name,
            )
            self.uploads.append(Weight(name, tensor.offset + start, n, (step,)))

    def _pack(self, matrices: tuple[Matrix, ...], alternate: bool) -> Packed:
        first = matrices[0]
        kinds = [m.codes.source.type if m.codes.source else "inline" for m in matrices]
        if len(set(kinds)) != 1 or len({m.width for m in matrices}) != 1 or first.width % 32:
            raise UnsupportedError(
                "packing matrices together",
                got=f"types {kinds}, widths {[m.width for m in matrices]}",
                need="one type, one width, a multiple of 32",
            )
        bits = first.codes.value.dtype.bits
        group = first.width // bound(first.scale.value.shape[1])
        wide = first.scale.value.dtype == DType.FLOAT32
        rows, width = sum(m.rows for m in matrices), first.width
        codes_row, scales_row = width * bits // 8, width // group * (8 if wide else 4)
        inline = kinds[0] == "inline"
        form = "alternate" if alternate else "in order"
        key = None if inline else f"{form} {json.dumps([name_of(m.codes) for m in matrices])}"
        parts = []
        most = self.binding_limit // codes_row // ROW_UNIT * ROW_UNIT
        if most == 0:
            raise PlanError(
                f"weight '{name_of(first.codes)}'",
                got=f"rows of {codes_row} bytes",
                need=f"{ROW_UNIT} rows in a binding of {self.binding_limit} bytes",
            )
        for row0 in range(0, rows, most):
            n = min(most, rows - row0)
            codes = self.place(n * codes_row, key and f"codes from row {row0} {key}")
            scales = self.place(n * scales_row, key and f"scales from row {row0} {key}")
            part = Part(row0, n, codes, scales)
            parts.append(part)
            if inline:
                self._fill_inline(part, matrices, alternate)
            elif kinds[0] in PLAIN:
                self._fill_stored(part, matrices)
            else:
                self._fill(part, matrices, alternate)
        return Packed(bits, group, wide, rows, width, tuple(parts))

    def _fill_inline(self, part: Part, matrices: tuple[Matrix, ...], alternate: bool) -> None:
        """The rows of `part` from constants that the graph itself holds."""
        order = [(m, r) for m in matrices for r in range(m.rows)]
        if alternate:
            order = [(m, r) for r in range(matrices[0].rows) for m in matrices]
        rows = order[part.row0 : part.row0 + part.rows]
        self.inline.append((part.codes, b"".join(_row(m.codes, r) for m, r in rows)))
        self.inline.append((part.scales, b"".join(_pairs(m, r) for m, r in rows)))

    def _fill_stored(self, part: Part, matrices: tuple[Matrix, ...]) -> None:
        """The rows of `part` from tensors of their own for codes, scale and minimum."""
        (matrix,) = matrices
        last = part.row0 + part.rows
        stored.send_codes(self, matrix.codes, stored.Rows(part.row0, last, part.codes))
        if matrix.scale.data is None:
            rows = stored.Rows(part.row0, last, part.scales)
            stored.send_pairs(self, matrix.scale, matrix.minimum, rows)
        else:
            pairs = b"".join(_pairs(matrix, row) for row in range(part.row0, last))
            self.inline.append((part.scales, pairs))

    def _fill(self, part: Part, matrices: tuple[Matrix, ...], alternate: bool) -> None:
        """Uploads for the rows of `part`, tensor by tensor."""
        stride, offset = (len(matrices), 0) if alternate else (1, 0)
        for matrix in matrices:
            name = name_of(matrix.codes)
            low = max(0, -(-(part.row0 - offset) // stride))
            high = min(matrix.rows, -(-(part.row0 + part.rows - offset) // stride))
            if low < high:
                self._upload(
                    name,
                    self.tensor(name),
                    matrix.rows,
                    matrix.width,
                    low,
                    high,
                    [part.codes, part.scales],
                    stride,
                    low * stride + offset - part.row0,
                )
            offset += 1 if alternate else matrix.rows

    def _upload(
        self,
        name: str,
        tensor: Tensor,
        rows: int,
        width: int,
        low: int,
        high: int,
        to: list[Binding],
        stride: int,
        offset: int,
    ) -> None:
        """Rows `low` to `high` of a tensor, to rows `offset + i * stride` of the destination."""
        row_bytes = tensor.nbytes // rows
        kernel_name = f"unpack_{tensor.type.lower()}"
        most = max(UPLOAD_BYTES // row_bytes // ROW_UNIT, 1) * ROW_UNIT
        for start in range(low, high, most):
            n = min(most, high - start)
            constants = (
                ("ROWS", n),
                ("K", width),
                ("ROW_STRIDE", stride),
                ("ROW_OFFSET", offset + (start - low) * stride),
            )
            kernel = Kernel(
                kernel_name,
                unpack_code(tensor.type),
                ("read",) + ("write",) * len(to),
                constants,
            )
            staging = self.shared.buffer("staging", "staging", n * row_bytes + 4)
            raw = Binding(staging, 0, -(-n * row_bytes // 4) * 4)
            limit = self.shared.facts.limits["maxComputeWorkgroupsPerDimension"]
            groups = -(-n * width // BLOCKS[tensor.type].elements // 64)
            x = min(groups, limit)
            step = Step(
                self.shared.kernel(kernel),
                (raw, *to),
                (count(x), count(-(-groups // x)), count(1)),
                name,
            )
            self.uploads.append(
                Weight(name, tensor.offset + start * row_bytes, n * row_bytes, (step,))
            )


@cache  # asked for by every upload of a model
def unpack_code(type: str) -> str:
    """The kernel that repacks tensors of ggml type `type`, such as `Q4_1`."""
    return render(f"unpack_{type.lower()}")


def _row(constant: Constant, row: int) -> bytes:
    assert constant.data is not None, f"{constant.value.name!r} is not inline"
    nbytes = len(constant.data) // bound(constant.value.shape[0])
    return constant.data[row * nbytes : (row + 1) * nbytes]


def _pairs(matrix: Matrix, row: int) -> bytes:
    """(scale, minimum) of each group of a row, in the scale's own type."""
    scale = _row(matrix.scale, row)
    minimum = _row(matrix.minimum, row) if matrix.minimum else bytes(len(scale))
    size = matrix.scale.value.dtype.bits // 8
    return b"".join(scale[i : i + size] + minimum[i : i + size] for i in range(0, len(scale), size))


def float32_bytes(dtype: DType, data: bytes) -> bytes:
    """Little-endian floats of `dtype` as float32."""
    if dtype == DType.FLOAT32:
        return data
    numbers = struct.unpack(f"<{len(data) // 2}e", data)
    return struct.pack(f"<{len(numbers)}f", *numbers)
