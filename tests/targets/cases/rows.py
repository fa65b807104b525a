"""Cases of softmax, norms, reductions, arg max and the running sum."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from edgewise.dtypes import DType
from edgewise.ops.base import OPS
from tests.targets.cases.base import F16, F32, I32, U32, Case, Maker

RUN = {"seq": 9, "past": 0}
#: shape, axes: one thread a row, one workgroup a row, rows that do not lie side by side
ROWS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((5, 7), (1,)),
    ((3, 300), (1,)),
    ((2, 40, 5), (1,)),
    ((3, 4, 5, 6), (0, 2)),
    ((2, 2500), (0, 1)),
    ((3, 1, 4), ()),
)


def _softmax() -> Iterator[Case]:
    for dtype in (F32, F16):
        for shape, axes in ROWS:
            if len(axes) != 1:
                continue
            m = Maker(f"softmax {dtype} {shape} {axes}")
            x = m.input("x", dtype, shape, RUN)
            m.inputs["x"] *= 20 if dtype is F32 else 2
            m.b.output("y", m.b.softmax(x, axis=axes[0]))
            yield m.case(RUN)
    m = Maker("softmax of masked scores")
    x = m.input("x", F32, (2, m.seq, m.seq), RUN)
    mask = m.input("mask", F32, (1, m.seq, m.seq), RUN)
    m.inputs["mask"] = np.where(np.tri(9, dtype=bool), 0, -np.inf).astype(np.float32)[None]
    m.b.output("y", m.b.softmax(m.b.add(x, mask), axis=2))
    yield m.case(RUN)


def _norms() -> Iterator[Case]:
    for dtype in (F32, F16):
        for shape, axes in (*ROWS, ((3, 4, 5), (2, 0))):
            m = Maker(f"layerNormalization {dtype} {shape} {axes}")
            x = m.input("x", dtype, shape, RUN)
            part = tuple(shape[axis] for axis in axes)
            scale, bias = (m.input(name, dtype, part, RUN) for name in ("scale", "bias"))
            y = m.b.layer_normalization(x, scale=scale, bias=bias, axes=axes, epsilon=1e-3)
            m.b.output("y", y)
            yield m.case(RUN)
    for layout, shape in (("nchw", (2, 3, 5, 7)), ("nhwc", (2, 9, 8, 3))):
        m = Maker(f"instanceNormalization {layout}")
        x = m.input("x", F32, shape, RUN)
        bias = m.input("bias", F32, (3,), RUN)
        m.b.output("y", m.b.instance_normalization(x, bias=bias, layout=layout))
        yield m.case(RUN)
    m = Maker("batchNormalization")
    x = m.input("x", F32, (2, 3, 4), RUN)
    mean, variance, scale = (m.vector(3) for _ in range(3))
    m.b.output("y", m.b.batch_normalization(x, mean, variance, scale=scale))
    yield m.case(RUN)


def _values(m: Maker, dtype: DType, shape: tuple[int, ...], name: str = "x") -> Any:
    """An input that a logarithm takes and whose products stay small."""
    x = m.input(name, dtype, shape, RUN)
    if dtype.is_float:
        m.inputs[name] = m.rng.uniform(0.8, 1.2, shape).astype(dtype.value)
    else:
        low = 0 if dtype.value.startswith("u") else -3
        m.inputs[name] = m.rng.integers(low, 4, shape).astype(dtype.value)
    return x


def _reductions() -> Iterator[Case]:
    rows = [row for name, row in OPS.items() if name.startswith("reduce")]
    for dtype in (F32, F16, I32, U32, DType.INT64, DType.UINT64):
        for shape, axes in ROWS if dtype is F32 else ROWS[1:2]:
            m = Maker(f"reductions {dtype} {shape} {axes}")
            x = _values(m, dtype, shape)
            for row in rows:
                if dtype in row.inputs[0].dtypes:
                    y = getattr(m.b, row.method)(x, axes=axes, keep_dimensions=True)
                    m.b.output(row.method, y)
            yield m.case(RUN)
    m = Maker("reductions of a symbolic axis, and of none at all")
    x = m.input("x", F32, (3, m.seq, 5), RUN)
    m.b.output("y", m.b.exp(m.b.reduce_mean(x, axes=(1,))))
    m.b.output("z", m.b.reduce_sum(m.input("empty", F32, (4, 0), RUN), axes=(1,)))
    m.b.output("all", m.b.reduce_max(m.b.mul(x, x)))
    yield m.case(RUN)


def _arg() -> Iterator[Case]:
    for shape, axes in ROWS[:3]:
        m = Maker(f"argMax and argMin {shape} {axes}")
        for dtype in (F32, I32, DType.INT64, DType.UINT8):
            x = _values(m, dtype, shape, f"x_{dtype}")
            for method in (m.b.arg_max, m.b.arg_min):
                for out in (I32, DType.INT64):
                    m.b.output(f"{method.__name__}_{dtype}_{out}",
                               method(x, axis=axes[0], output_data_type=out))  # fmt: skip
        yield m.case(RUN)


def _cumulative() -> Iterator[Case]:
    for shape, axes in ROWS[:3]:
        m = Maker(f"cumulativeSum {shape} {axes}")
        for dtype in (F32, I32, DType.INT64):
            x = _values(m, dtype, shape, f"x_{dtype}")
            for exclusive in (False, True):
                for back in (False, True):
                    y = m.b.cumulative_sum(x, axis=axes[0], exclusive=exclusive, reversed=back)
                    m.b.output(f"y_{dtype}_{exclusive}_{back}".lower(), y)
        yield m.case(RUN)


MAKERS = (_softmax, _norms, _reductions, _arg, _cumulative)
