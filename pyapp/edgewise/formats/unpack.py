"""The contents of ggml's quantised blocks, one function a type.

A function takes blocks [n, nbytes] uint8 and gives `Parts`: elements in their order along the
row (ggml keeps the halves of a block in low and high nibbles), one scale and minimum a group.
For CPython and the reference alone; NumPy is imported inside the functions all the same, so
that `blocks` can name them in its table.

Source: ggml-quants.c, `dequantize_row_*`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Codes = NDArray[np.uint8 | np.int8]
    Scales = NDArray[np.float16 | np.float32]


@dataclass(frozen=True, slots=True)
class Parts:
    """`value = (codes - centre) * scale + minimum`.

    codes           [n, groups, group], uint8 or int8.
    scale, minimum  [n, groups], float16 as stored or float32 where ggml multiplies two levels.
    """

    codes: Codes
    scale: Scales
    minimum: Scales | None = None
    centre: int = 0


def q4_0(blocks: Bytes) -> Parts:
    """scale f16, 16 bytes of nibbles."""
    return Parts(_nibbles(blocks[:, 2:], 16), _halfs(blocks, 0), centre=8)


def q4_1(blocks: Bytes) -> Parts:
    """scale f16, minimum f16, 16 bytes of nibbles."""
    return Parts(_nibbles(blocks[:, 4:], 16), _halfs(blocks, 0), _halfs(blocks, 2))


def q5_0(blocks: Bytes) -> Parts:
    """scale f16, 32 fifth bits, 16 bytes of nibbles; codes are centred on 16."""
    import numpy as np

    codes = _nibbles(blocks[:, 6:], 16) | _bits(blocks[:, 2:6]) << 4
    return Parts(codes.astype(np.int8) - np.int8(16), _halfs(blocks, 0))


def q5_1(blocks: Bytes) -> Parts:
    """scale f16, minimum f16, 32 fifth bits, 16 bytes of nibbles."""
    import numpy as np

    codes = _nibbles(blocks[:, 8:], 16) | _bits(blocks[:, 4:8]) << 4
    return Parts(codes.astype(np.int8), _halfs(blocks, 0), _halfs(blocks, 2))


def q8_0(blocks: Bytes) -> Parts:
    """scale f16, 32 int8."""
    import numpy as np

    return Parts(blocks[:, None, 2:].view(np.int8), _halfs(blocks, 0))


def q4_k(blocks: Bytes) -> Parts:
    """d f16, dmin f16, 12 bytes of 6-bit scales and minima, 128 bytes of nibbles."""
    scale, minimum = _k_scales(blocks)
    return Parts(_nibbles(blocks[:, 16:], 32), scale, minimum)


def q5_k(blocks: Bytes) -> Parts:
    """As q4_k, with 32 bytes of fifth bits (bit g of byte i: group g, element i) before nibbles."""
    import numpy as np

    scale, minimum = _k_scales(blocks)
    shifts = np.arange(8, dtype=np.uint8)[:, None]
    fifth = blocks[:, None, 16:48] >> shifts & 1
    codes = _nibbles(blocks[:, 48:], 32) | fifth << 4
    return Parts(codes.astype(np.int8), scale, minimum)


def q6_k(blocks: Bytes) -> Parts:
    """128 bytes of nibbles, 64 of upper bit pairs, 16 int8 scales, d f16; centred on 32."""
    import numpy as np

    low = _nibbles(blocks[:, :128], 64).reshape(-1, 2, 4, 32)
    shifts = np.arange(0, 8, 2, dtype=np.uint8)[:, None]
    high = blocks[:, 128:192].reshape(-1, 2, 1, 32) >> shifts & 3
    codes = (low | high << 4).astype(np.int8) - np.int8(32)
    scale = _halfs(blocks, 208).astype(np.float32) * blocks[:, 192:208].view(np.int8)
    return Parts(codes.reshape(-1, 16, 16), scale)


UNPACK: dict[str, Callable[[Bytes], Parts]] = {
    "Q4_0": q4_0, "Q4_1": q4_1, "Q5_0": q5_0, "Q5_1": q5_1, "Q8_0": q8_0,
    "Q4_K": q4_k, "Q5_K": q5_k, "Q6_K": q6_k,
}  # fmt: skip


def _halfs(blocks: Bytes, at: int) -> Scales:
    """The float16 at byte `at` of every block, [n, 1]."""
    import numpy as np

    return np.ascontiguousarray(blocks[:, at : at + 2]).view(np.float16)


def _nibbles(packed: Bytes, run: int) -> Bytes:
    """[n, m] bytes to [n, m / 16, 32]: of every run of bytes, the low nibbles, then the high."""
    import numpy as np

    shifts = np.array([[0], [4]], np.uint8)
    nibbles: Bytes = packed.reshape(len(packed), -1, 1, run) >> shifts & np.uint8(15)
    return nibbles.reshape(len(packed), -1, 32)


def _bits(packed: Bytes) -> Bytes:
    """[n, m] bytes to [n, 1, 8m] of 0 and 1, lowest bit first."""
    import numpy as np

    return np.unpackbits(packed, axis=1, bitorder="little")[:, None]


def _k_scales(blocks: Bytes) -> tuple[Scales, Scales]:
    """Scale and minimum of the 8 groups of a super-block: d * sc and -(dmin * m).

    12 bytes: 4 x (2 upper bits of sc[4+i], 6 of sc[i]), the same for m, 4 x (4 of m, 4 of sc).
    """
    import numpy as np

    sc, m, low = np.split(blocks[:, 4:16], 3, axis=1)
    scales = np.concatenate([sc & 63, low & 15 | sc >> 2 & 48], axis=1)
    minima = np.concatenate([m & 63, low >> 4 | m >> 2 & 48], axis=1)
    scale = _halfs(blocks, 0).astype(np.float32) * scales
    return scale, -(_halfs(blocks, 2).astype(np.float32) * minima)
