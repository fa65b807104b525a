"""Cases of the language model's composites, of views and of element-wise rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from edgewise.dtypes import DType
from edgewise.ops.base import OPS
from tests.targets.cases.base import F16, F32, I32, LIMIT, U32, Case, Maker


def _norm() -> Iterator[Case]:
    for dtype in (F32, F16):
        m = Maker(f"rmsNorm {dtype}")
        run = {"seq": 7, "past": 0}
        x = m.input("x", dtype, (m.seq, 33), run)
        m.b.output("y", m.b.rms_norm(x, m.vector(33), eps=1e-5))
        yield m.case(run)


def _rotary() -> Iterator[Case]:
    for dtype, interleaved, dims in ((F32, True, 12), (F32, False, 8), (F16, True, 12)):
        m = Maker(f"rotary {dtype} interleaved={interleaved} dims={dims}")
        run = {"seq": 5, "past": 250}
        x = m.input("x", dtype, (m.seq, 3, 12), run)
        m.b.output("y", m.b.rotary(x, m.past, 10000.0, dims, interleaved))
        yield m.case(run)


def _kv_update() -> Iterator[Case]:
    for dtype in (F32, F16):
        m = Maker(f"kvUpdate {dtype}")
        run = {"seq": 5, "past": 4}
        state = m.state("state", dtype, (340, 2, 6))
        x = m.input("x", F32, (m.seq, 2, 6), run)
        m.b.update(state, m.b.kv_update(state, x, m.past))
        yield m.case(run)


def _attention() -> Iterator[Case]:
    shapes = [
        (F32, 1, 0, 4, 2, 20),
        (F32, 1, 299, 6, 2, 64),
        (F32, 1, 131, 3, 3, 80),
        (F32, 1, 260, 4, 2, 16),
        (F32, 7, 0, 4, 2, 20),
        (F32, 37, 93, 6, 2, 64),
        (F32, 19, 40, 2, 1, 128),
        (F32, 5, 3, 2, 1, 132),
        (F16, 1, 140, 6, 2, 64),
        (F16, 21, 33, 6, 2, 64),
    ]
    for dtype, seq, past, heads, kv_heads, size in shapes:
        m = Maker(f"attention {dtype} seq={seq} past={past} heads={heads}/{kv_heads} size={size}")
        run = {"seq": seq, "past": past}
        q = m.input("q", dtype, (m.seq, heads, size), run)
        k = m.state("k", dtype, (340, kv_heads, size))
        v = m.state("v", dtype, (340, kv_heads, size))
        m.b.output("y", m.b.attention(q, k, v, m.past, size**-0.5))
        yield m.case(run)


def _matmul() -> Iterator[Case]:
    rows = [  # dtype, seq, N, K, bits, group, wide, minimum, norm, residual
        (F32, 1, 67, 96, 4, 32, False, True, True, True),
        (F32, 1, 67, 1056, 4, 32, False, True, False, False),
        (F32, 1, 33, 96, 8, 32, False, False, True, False),
        (F32, 1, 34, 160, 8, 16, True, False, False, True),
        (F32, 1, 5, 128, 4, 64, True, True, False, False),
        (F32, 37, 67, 96, 4, 32, False, True, True, True),
        (F32, 37, 1101, 64, 4, 32, False, True, False, False),
        (F32, 3, 131, 96, 8, 32, False, False, True, False),
        (F32, 33, 34, 160, 8, 16, True, False, False, True),
        (F16, 1, 67, 96, 4, 32, False, True, True, False),
        (F16, 21, 67, 96, 4, 32, False, True, False, False),
    ]
    for dtype, seq, n, k, bits, group, wide, minimum, norm, residual in rows:
        for limit in ({}, {"maxStorageBufferBindingSize": 256 * k}) if n > 1000 else ({},):
            m = Maker(
                f"quantizedMatmul {dtype} {seq}x{n}x{k} {bits} bits/{group}"
                f"{' norm' if norm else ''}{' residual' if residual else ''}"
                f"{' split' if limit else ''}"
            )
            run = {"seq": seq, "past": 0}
            x = m.input("x", dtype, (m.seq, k), run)
            r = m.input("r", F32, (m.seq, n), run) if residual else None
            y = m.b.quantized_matmul(
                x,
                *m.weight(n, k, bits, group, wide, minimum),
                m.vector(k) if norm else None,
                r,
                eps=1e-5,
                dtype=F32 if residual else dtype,
            )
            m.b.output("y", y)
            yield m.case(run, limit)


def _swiglu() -> Iterator[Case]:
    for dtype, seq, n in ((F32, 1, 33), (F32, 19, 35), (F16, 1, 32), (F16, 5, 33)):
        m = Maker(f"quantizedSwiglu {dtype} {seq}x{n}")
        run = {"seq": seq, "past": 0}
        x = m.input("x", F32, (m.seq, 96), run)
        gate, up = (m.weight(n, 96, 4, 32, wide=False) for _ in range(2))
        m.b.output("y", m.b.quantized_swiglu(x, *gate, *up, m.vector(96), eps=1e-5, dtype=dtype))
        yield m.case(run)
    m = Maker("swiglu")
    run = {"seq": 7, "past": 0}
    halves = [m.input(name, F32, (m.seq, 13), run) for name in ("gate", "up")]
    m.b.output("y", m.b.swiglu(*halves))
    yield m.case(run)


def _qkv() -> Iterator[Case]:
    for dtype, seq, interleaved in (
        (F32, 1, True),
        (F32, 9, True),
        (F32, 9, False),
        (F32, 1, False),
        (F16, 1, True),
        (F16, 9, True),
    ):
        m = Maker(f"quantizedQkv {dtype} seq={seq} interleaved={interleaved}")
        run = {"seq": seq, "past": 250}
        x = m.input("x", F32, (m.seq, 64), run)
        k_state, v_state = (m.state(name, dtype, (340, 2, 12)) for name in ("k", "v"))
        parts = [m.weight(rows * 12, 64, 4, 32, wide=False) for rows in (6, 2, 2)]
        q, k, v = m.b.quantized_qkv(
            x,
            *parts[0],
            *parts[1],
            *parts[2],
            m.vector(64),
            k_state,
            v_state,
            heads=6,
            kv_heads=2,
            start=m.past,
            theta=10000.0,
            dims=8,
            interleaved=interleaved,
            eps=1e-5,
            dtype=dtype,
        )
        m.b.output("q", q)
        m.b.update(k_state, k)
        m.b.update(v_state, v)
        yield m.case(run)


def _gather() -> Iterator[Case]:
    for bits, dtype, split in ((4, F32, False), (8, F32, True), (8, F16, False)):
        m = Maker(f"quantizedGather {bits} bits {dtype}{' split' if split else ''}")
        run = {"seq": 11, "past": 0}
        table = m.weight(523, 96, bits, 32, wide=False)
        ids = m.input("ids", I32, (m.seq,), run)
        m.inputs["ids"] = m.rng.integers(0, 523, 11, dtype=np.int32)
        m.b.output("y", m.b.quantized_gather(*table, ids, dtype=dtype))
        yield m.case(run, {"maxStorageBufferBindingSize": 256 * 96} if split else None)


def _seen() -> Iterator[Case]:
    m = Maker("markSeen")
    run = {"seq": 9, "past": 0}
    seen = m.state("seen", U32, (101,))
    m.states["seen"] = m.rng.integers(0, 2, 101, dtype=np.uint32)
    ids = m.input("ids", I32, (m.seq,), run)
    m.inputs["ids"] = m.rng.integers(0, 101, 9, dtype=np.int32)
    m.b.update(seen, m.b.mark_seen(seen, ids))
    yield m.case(run)


def _sample() -> Iterator[Case]:
    settings = [
        (0.0, 0, 1.0, 1.0),
        (0.0, 0, 1.0, 1.7),
        (1.3, 0, 1.0, 1.0),
        (0.7, 40, 1.0, 1.2),
        (1.0, 0, 0.9, 1.0),
        (2.0, 17, 0.5, 1.1),
        (1.0, 1, 1.0, 1.0),
    ]
    for vocab in (97, 5003):
        for numbers in settings:
            m = Maker(f"sample {vocab} {numbers}")
            run = {"seq": 1, "past": 0}
            logits = m.input("logits", F32, (1, vocab), run)
            m.inputs["logits"] *= 3
            seen = m.state("seen", U32, (vocab,))
            m.states["seen"] = m.rng.integers(0, 2, vocab, dtype=np.uint32)
            bias = m.input("bias", F32, (vocab,), run)
            m.inputs["bias"] = np.where(m.rng.random(vocab) < 0.2, -1e30, 0).astype(np.float32)
            given = m.input("settings", F32, (5,), run)
            m.inputs["settings"] = np.array([*numbers, m.rng.random()], np.float32)
            m.b.output("token", m.b.sample(logits, seen, bias, given))
            yield m.case(run)


def _low_rank() -> Iterator[Case]:
    """Adapters of different ranks, one that leaves the matrix alone and one that is off."""
    for seq, dtype, kind, paired, (rows, k, n) in (
        (1, F32, F32, 0, (7, 33, 10)), (5, F32, F32, 4, (7, 32, 24)),
        (37, F16, F16, 6, (7, 40, 12)), (1, F32, F16, 8, (7, 64, 40)),
    ):  # fmt: skip
        m = Maker(f"lowRank {dtype} {kind} seq={seq} paired={paired} {k}x{n}")
        run = {"seq": seq, "past": 0}
        y, x = (m.input(name, dtype, (m.seq, width), run) for name, width in (("y", n), ("x", k)))
        numpy = np.float16 if kind == F16 else np.float32
        down, up = (
            m.b.constant(kind, shape, data=m.floats(*shape).astype(numpy).tobytes())
            for shape in ((rows, k), (rows * n,))
        )
        weights = m.input("adapters", F32, (4,), run)
        m.inputs["adapters"][2] = 0.0
        given = {"ranks": (0, 4, 1, 2), "scales": (1.0, 0.5, 3.0, 2.0), "paired": paired}
        m.b.output("z", m.b.low_rank(y, x, down, up, weights, **given))
        yield m.case(run)


def _slice() -> Iterator[Case]:
    m = Maker("slice")
    run = {"seq": 9, "past": 0}
    x = m.input("x", F32, (m.seq, 5, 7), run)
    m.b.output("last", m.b.slice(x, (m.seq - 1, 1, 2), (1, 3, 5)))
    m.b.output("most", m.b.slice(x, (0, 0, 1), (m.seq - 1, 5, 4)))
    yield m.case(run)


def _elementwise() -> Iterator[Case]:
    for name, row in OPS.items():
        types = {DType.FLOAT32} & row.inputs[0].dtypes or {DType.UINT8}
        if row.wgsl is None or types != {DType.FLOAT32} or name == "where":
            continue
        m = Maker(name)
        run = {"seq": 7, "past": 0}
        attrs = {"dataType": F16} if name == "cast" else {}
        values = [m.input(port.name, F32, (m.seq, 11), run) for port in row.inputs]
        for port in row.inputs:
            m.inputs[port.name] = np.abs(m.inputs[port.name]) + np.float32(0.1)
        if row.shape(*values, **attrs)[0][0] not in LIMIT:
            continue  # 8-bit results (comparisons) have no place in WGSL yet
        m.b.output("y", getattr(m.b, row.method)(*values, *attrs.values()))
        yield m.case(run)


MAKERS: tuple[Callable[[], Iterator[Case]], ...] = (
    _norm,
    _rotary,
    _kv_update,
    _attention,
    _matmul,
    _swiglu,
    _qkv,
    _gather,
    _seen,
    _sample,
    _low_rank,
    _slice,
    _elementwise,
)
