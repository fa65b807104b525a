"""The golden-output check: does this device compute what it should, in this precision?

A tiny decoder layer with fixed random weights runs through the same kernels as a real model,
three tokens in one run and one more after them. Its logits are compared with those that the
NumPy reference computed in float64 (`golden.json`, see `expected`). A device that is wrong in
float16, or whose subgroups are not what kernels take them for, is found out here.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from functools import cache
from importlib.resources import files

from ..dtypes import DType
from ..errors import EdgewiseError
from ..graph.builder import GraphBuilder
from ..graph.graph import Graph, Value
from ..host.base import Device, WeightFile
from ..passes import pipeline
from .compiling import Programs, compile_for

F32 = DType.FLOAT32
HIDDEN, HEADS, KV_HEADS, HEAD_DIM, FFN, VOCAB = 64, 4, 2, 16, 96, 96
TOKENS = (3, 71, 40)
NEXT = 5
PROGRAMS = Programs({"prefill": {}, "decode": {"seq": 1}})
TOLERANCE = {DType.FLOAT32: 1e-4, DType.FLOAT16: 2e-2}  # of the logits' norm


def graph(activation: DType) -> Graph:
    """One decoder layer with inline weights, 4-bit and 8-bit; the same numbers every time."""
    rng = random.Random(20260101)
    b = GraphBuilder("golden")
    seq, past = b.symbol("seq", 4), b.symbol("past", 8)
    tokens = b.input("tokens", DType.INT32, (seq,))
    k_state, v_state = (b.state(name, activation, (8, KV_HEADS, HEAD_DIM)) for name in ("k", "v"))

    def weight(rows: int, width: int, bits: int = 4) -> tuple[Value, Value, Value]:
        return _weight(b, rng, rows, width, bits)

    def norm() -> Value:
        return b.vector(F32, [rng.uniform(0.5, 1.5) for _ in range(HIDDEN)])

    table = weight(VOCAB, HIDDEN, bits=8)
    x = b.quantized_gather(*table, tokens, dtype=F32)
    h = b.rms_norm(x, norm(), eps=1e-5)
    heads = [
        b.reshape(
            b.quantized_matmul(h, *weight(n * HEAD_DIM, HIDDEN), dtype=activation),
            (seq, n, HEAD_DIM),
        )
        for n in (HEADS, KV_HEADS, KV_HEADS)
    ]
    q, k = (b.rotary(value, past, 10000.0, HEAD_DIM, True) for value in heads[:2])
    k_new, v_new = b.kv_update(k_state, k, past), b.kv_update(v_state, heads[2], past)
    attended = b.attention(q, k_new, v_new, past, HEAD_DIM**-0.5)
    flat = b.reshape(attended, (seq, HEADS * HEAD_DIM))
    x = b.add(x, b.quantized_matmul(flat, *weight(HIDDEN, HIDDEN), dtype=F32))
    h = b.rms_norm(x, norm(), eps=1e-5)
    gate = b.quantized_matmul(h, *weight(FFN, HIDDEN), dtype=activation)
    up = b.quantized_matmul(h, *weight(FFN, HIDDEN), dtype=activation)
    x = b.add(x, b.quantized_matmul(b.swiglu(gate, up), *weight(HIDDEN, FFN), dtype=F32))
    last = b.slice(x, (seq - 1, 0), (1, HIDDEN))
    b.output("logits", b.quantized_matmul(b.rms_norm(last, norm(), eps=1e-5), *table, dtype=F32))
    b.update(k_state, k_new)
    b.update(v_state, v_new)
    return b.build()


def _weight(
    b: GraphBuilder, rng: random.Random, rows: int, width: int, bits: int
) -> tuple[Value, Value, Value]:
    groups = rows * width // 32
    scale = [rng.uniform(0.01, 0.03) * (1 if bits == 4 else 1 / 16) for _ in range(groups)]
    minimum = [-8 * s * rng.uniform(0.8, 1.2) if bits == 4 else 0.0 for s in scale]
    codes = rng.randbytes(rows * width * bits // 8)
    shape = (rows, width // 32)
    return (
        b.constant(DType.UINT4 if bits == 4 else DType.INT8, (rows, width), data=codes),
        b.constant(DType.FLOAT16, shape, data=struct.pack(f"<{groups}e", *scale)),
        b.constant(DType.FLOAT16, shape, data=struct.pack(f"<{groups}e", *minimum)),
    )


@cache
def expected() -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Logits after TOKENS, and after NEXT; tests/runtime/test_golden.py holds them to the
    reference."""
    data = json.loads(files(__package__).joinpath("golden.json").read_text())
    return tuple(data["prefill"]), tuple(data["decode"])


def plan(device: Device, activation: DType, features: frozenset[str]) -> str:
    """The check's plan for a device, as JSON."""
    fused, _ = pipeline.run(graph(activation))
    return compile_for(fused, {}, device.facts, features, PROGRAMS).text


async def check(device: Device, code: str, activation: DType) -> str | None:
    """Run `code`, the check's plan: None when the device passes, else what was found wrong."""
    try:
        executable = await device.load(code, WeightFile(()), _ignore)
    except EdgewiseError as error:
        return f"the check's kernels do not run: {error.what}: {error.got}"
    try:
        worst = 0.0
        runs = ((TOKENS, "prefill", 0), ((NEXT,), "decode", len(TOKENS)))
        for (tokens, program, past), wanted in zip(runs, expected(), strict=True):
            await executable.write("tokens", struct.pack(f"<{len(tokens)}i", *tokens))
            await executable.run(program, {"seq": len(tokens), "past": past})
            got = struct.unpack_from(f"<{VOCAB}f", await executable.read("logits"))
            worst = max(worst, _relative(got, wanted))
    finally:
        await executable.close()
    if worst <= TOLERANCE[activation]:
        return None
    return f"logits are off by {worst:.1e} of their norm, more than {TOLERANCE[activation]:.0e}"


def _relative(got: tuple[float, ...], wanted: tuple[float, ...]) -> float:
    difference = sum((a - b) ** 2 for a, b in zip(got, wanted, strict=True))
    norm = sum(b**2 for b in wanted)
    error = (difference / norm) ** 0.5
    return error if error == error else float("inf")  # a NaN is as wrong as can be


_ignore: Callable[[int, int], None] = lambda done, total: None  # noqa: E731
