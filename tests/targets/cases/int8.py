"""Cases of layers with 8-bit weights, whose kernels may quantise x: its values are such that they
stay what they are.

Values are 0 to 127 steps above the lowest, and both of these are in each group of columns; the
step is a power of two: no rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from edgewise.dims import bound, evaluate
from edgewise.graph.graph import Value
from tests.targets.cases.base import F32, Case, Maker

RUN = {"seq": 9, "past": 7}


def _input(m: Maker, shape: tuple[Any, ...]) -> Value:
    value = m.input("x", F32, shape, RUN)
    sizes = [evaluate(dim, RUN) for dim in shape]
    steps = m.rng.integers(0, 128, sizes).astype(np.float32)
    steps[..., ::32], steps[..., 1::32] = 0, 127
    low = 2.0 ** m.rng.integers(-2, 3, (*sizes[:-1], 1))
    m.inputs["x"] = (steps * low / 64 - low).astype(np.float32)
    return value


def _layers() -> Iterator[Case]:
    shapes: list[tuple[tuple[int | str, ...], int, str]] = [
        ((1, 64), 8, ""), ((0, 33), 16, ""), ((5, 2), 1, "relu"), ((67, 35), 19, "gelu"),
        ((2, "seq", 130), 70, "relu"), (("past", "seq", 12), 41, "gelu"), ((130, 301), 12, ""),
    ]  # fmt: skip
    for index, (given, n, activation) in enumerate(shapes):
        m = Maker(f"layer with 8-bit weights {index}")
        x = _input(m, tuple(getattr(m, dim) if isinstance(dim, str) else dim for dim in given))
        k = bound(x.shape[-1])
        codes, scale, _ = m.weight(n, k, 8, k, wide=True, minimum=False)
        bias = m.vector(n) if index % 2 else None
        m.b.output("y", m.b.quantized_linear(x, codes, scale, bias, activation))
        yield m.case(RUN)


MAKERS = (_layers,)
