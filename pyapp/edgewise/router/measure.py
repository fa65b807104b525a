"""Measures a device with the model's own kernels: two small plans, run by its executor.

One reads so many weights for one token that no cache of a CPU serves it twice, in matrices as large
as a small model's, so that what a step costs is in the figure; one multiplies for a whole prompt.
The weights are zeros: speed does not depend on values. What was measured is kept with the device's
facts, so that a page measures a device once.
"""

from __future__ import annotations

import json
from contextlib import suppress
from hashlib import sha256

from .. import debug
from ..dtypes import DType
from ..errors import QuotaError
from ..formats.blocks import BLOCKS
from ..graph.builder import GraphBuilder
from ..graph.graph import Graph, Part, Source
from ..host.base import Device, Executable, Host, WeightBytes
from ..passes import pipeline
from ..runtime.compiling import compile_for, usable
from ..runtime.programs import package_digest
from ..targets.reference_plan import Place
from .predict import PROMPT, Rates

WIDTH = 1024
TYPE, GROUP = "Q4_1", 32
PARTS: tuple[tuple[Part, DType, int], ...] = (
    ("codes", DType.UINT4, 1), ("scale", DType.FLOAT16, GROUP), ("minimum", DType.FLOAT16, GROUP),
)  # fmt: skip
MATRIX_NBYTES = WIDTH * WIDTH // GROUP * BLOCKS[TYPE].nbytes
STREAMED, MULTIPLIED = 24, 1  # matrices
#: A figure is taken once its runs last so long, or are so many: clocks of pages are coarse, and a
#: GPU's answer takes longer than the work.
ENOUGH_MS, MOST_RUNS = 16.0, 64


async def measured(host: Host, device: Device) -> Rates:
    """The rates of `device`, from the store if it was measured there before.

    Raises UnsupportedError, PlanError, HostError for a device that does not do it.
    """
    digest = package_digest()
    key = json.dumps([device.facts.to_dict(), digest, WIDTH, TYPE, STREAMED, MULTIPLIED])
    name = f"rates {sha256(key.encode()).hexdigest()}"
    kept = await host.store.get_text(name) if digest else None
    if kept is not None:
        return Rates(**json.loads(kept))
    with debug.timed("router", f"measure {device.facts.name}"):
        rates = await measure(host, device)
    debug.say(debug.TIMINGS, "router", f"{device.facts.name}: {rates}")
    if digest:
        with suppress(QuotaError):  # it is measured again next time
            await host.store.put_text(
                name, json.dumps({f: getattr(rates, f) for f in Rates.__slots__})
            )
    return rates


async def measure(host: Host, device: Device) -> Rates:
    """Measure `device` now; see `measured`."""
    held: list[Executable] = []
    try:
        arrived: list[tuple[float, int]] = []
        held.append(await _load(host, device, 1, STREAMED, arrived))
        token_ms = await _run_ms(host, held[-1], 1)
        held.append(await _load(host, device, PROMPT, MULTIPLIED, []))
        prompt_ms = await _run_ms(host, held[-1], PROMPT)
    finally:
        for each in held:
            await each.close()
    nbytes = STREAMED * MATRIX_NBYTES
    madds = MULTIPLIED * PROMPT * WIDTH * WIDTH
    return Rates(1e3 * nbytes / token_ms, 1e3 * madds / prompt_ms, _rate(arrived))


def graph(tokens: int, matrices: int) -> Graph:
    """`tokens` rows through products with as many matrices as one says."""
    b = GraphBuilder("probe")
    x = b.input("x", DType.FLOAT32, (tokens, WIDTH))
    for index in range(matrices):
        parts = [
            b.constant(dtype, (WIDTH, WIDTH // group), source=Source(f"w{index}", TYPE, part))
            for part, dtype, group in PARTS
        ]
        x = b.quantized_matmul(x, *parts, dtype=DType.FLOAT32)
    b.output("y", x)
    return b.build()


async def _load(
    host: Host, device: Device, tokens: int, matrices: int, arrived: list[tuple[float, int]]
) -> Executable:
    """The plan on the device. `arrived` gets the times at which bytes of weights were brought."""
    tensors = {
        f"w{index}": Place(TYPE, (WIDTH, WIDTH), index * MATRIX_NBYTES, MATRIX_NBYTES)
        for index in range(matrices)
    }
    fused, _ = pipeline.run(graph(tokens, matrices))
    plan = compile_for(fused, tensors, device.facts, usable(device.facts)).text
    weights = WeightBytes(bytes(matrices * MATRIX_NBYTES))
    return await device.load(
        plan, weights, lambda done, total: arrived.append((host.clock(), done))
    )


def _rate(arrived: list[tuple[float, int]]) -> float:
    """Bytes a second after the first: before it, kernels were compiled."""
    (first_ms, first), (last_ms, last) = arrived[0], arrived[-1]
    return 1e3 * (last - first) / max(last_ms - first_ms, 1e-3)


async def _run_ms(host: Host, executable: Executable, tokens: int) -> float:
    """Milliseconds of a run, when many follow each other."""
    await executable.write("x", bytes(4 * tokens * WIDTH))
    best = await _runs_ms(host, executable, 1)  # and whatever a first run does besides
    n = 1
    while True:
        took = await _runs_ms(host, executable, n)
        best = min(best, took / n)
        if took >= ENOUGH_MS or n >= MOST_RUNS:
            return best
        n *= 2


async def _runs_ms(host: Host, executable: Executable, n: int) -> float:
    start = host.clock()
    for _ in range(n):
        await executable.run("main", {})
    await executable.read("y", 4)
    return max(host.clock() - start, 1e-3)
