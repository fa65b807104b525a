"""Graphs to a Plan for WebGPU.

`compile_plan` lowers each program (such as prefill and decode, which share states and weights),
places weights and intermediate tensors, and returns the plan as data. Pure: runs the same in a
page and in CPython, without NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...dims import bound, product
from ...errors import PlanError, UnsupportedError
from ...graph.graph import Graph, Node
from ...ops.base import OPS
from ...plan.plan import Binding, Plan, Slot
from ..device import DeviceFacts
from . import lower_llm, lower_quantized, lower_webnn
from .emit import SETTINGS_BYTES, Program, Shared, nbytes_of
from .weights import Tensor, Weights

Lowering = Callable[[Program, Weights, Node], None]

LOWERINGS: dict[str, Lowering] = {
    "quantizedGather": lower_quantized.quantized_gather,
    "quantizedMatmul": lower_quantized.quantized_matmul,
    "quantizedSwiglu": lower_quantized.quantized_swiglu,
    "quantizedQkv": lower_quantized.quantized_qkv,
    "rmsNorm": lower_llm.rms_norm,
    "rotary": lower_llm.rotary,
    "kvUpdate": lower_llm.kv_update,
    "attention": lower_llm.attention,
    "swiglu": lower_llm.swiglu,
    "markSeen": lower_llm.mark_seen,
    "sample": lower_llm.sample,
    "reshape": lower_webnn.reshape,
    "slice": lower_webnn.slice_,
    **{name: lower_webnn.elementwise for name, row in OPS.items() if row.wgsl is not None},
}

USED_FEATURES = frozenset({"shader-f16", "subgroups"})


def compile_plan(
    programs: Mapping[str, Graph],
    tensors: Mapping[str, Tensor],
    facts: DeviceFacts,
    *,
    features: frozenset[str],
    feedback: Mapping[str, str] | None = None,
    draw: tuple[str, int] | None = None,
) -> Plan:
    """A plan of `programs`, which agree on the names of inputs, states and outputs.

    `tensors`   the model file's tensors by name
    `features`  those of the device that kernels may use (shader-f16, subgroups)
    `feedback`  output -> input: the output is written where the input's first element lies, so
                the next run reads it
    `draw`      (input, element) that a decode loop replaces by a random number each step
    Raises UnsupportedError with every operator that has no kernel, PlanError for what does not
    fit the device's limits.
    """
    missing = sorted({n.op for g in programs.values() for n in g.nodes if n.op not in LOWERINGS})
    if missing:
        raise UnsupportedError(
            "operators on webgpu",
            got=", ".join(missing),
            need="operators with a kernel",
            fix="run them elsewhere",
        )
    first = next(iter(programs.values()))
    symbols = dict(sorted({k: v for g in programs.values() for k, v in g.symbols.items()}.items()))
    used = features & facts.features & USED_FEATURES
    shared = Shared(facts, used, symbols, _slot_inputs(first))
    limit = min(facts.limits["maxStorageBufferBindingSize"], facts.limits["maxBufferSize"])
    weights = Weights(shared, tensors, limit)
    steps = {}
    peak = 0
    for name, graph in programs.items():
        program = Program(graph, shared, _homes(graph, shared, feedback or {}))
        for node in graph.nodes:
            LOWERINGS[node.op](program, weights, node)
        memory = program.memory()
        peak = max(peak, memory.peak_live)
        steps[name] = program.steps(memory)
    values = {
        name: Binding(index, 0, shared.buffers[index].nbytes)
        for name, index in shared.named.items()
        if shared.buffers[index].kind in ("input", "output", "state")
    }
    values |= {out: values[given] for out, given in (feedback or {}).items()}
    return Plan(
        target="webgpu",
        features=tuple(sorted(used)),
        symbols=symbols,
        kernels=tuple(shared.kernels),
        buffers=tuple(shared.buffers),
        weights=tuple(sorted(weights.uploads, key=lambda upload: upload.start)),
        inline=tuple(weights.inline),
        programs=steps,
        values=values,
        slot=_slot(shared, draw),
        peak_live=peak,
    )


def _slot_inputs(graph: Graph) -> tuple[str, ...]:
    """Inputs so small that they travel with each run in its slot."""
    return tuple(
        name
        for name in graph.inputs
        if graph.values[name].dtype.is_float
        and bound(product(graph.values[name].shape)) * 4 <= SETTINGS_BYTES
    )


def _slot(shared: Shared, draw: tuple[str, int] | None) -> Slot:
    at = -(-4 * len(shared.symbols) // 16) * 16
    inputs = {}
    for name in shared.slot_inputs:
        inputs[name] = (at, SETTINGS_BYTES)
        at += SETTINGS_BYTES
    drawn = -1 if draw is None else inputs[draw[0]][0] + 4 * draw[1]
    return Slot(tuple(shared.symbols), inputs, drawn, max(at, 16))


def _homes(graph: Graph, shared: Shared, feedback: Mapping[str, str]) -> dict[str, Binding]:
    """Buffers for inputs, states and outputs, the same in every program."""
    homes: dict[str, Binding] = {}
    for kind, names in (("input", graph.inputs), ("state", graph.states)):
        for name in names:
            if name in shared.slot_inputs:
                continue
            nbytes = nbytes_of(graph.values[name])
            homes[name] = Binding(shared.buffer(name, kind, nbytes), 0, nbytes)
    for public, name in graph.outputs.items():
        nbytes = nbytes_of(graph.values[name])
        if name in homes:
            raise PlanError(
                f"output '{public}'", got=f"input or state '{name}'", need="a computed value"
            )
        if public in feedback:
            index = shared.named[feedback[public]]
        else:
            index = shared.buffer(public, "output", nbytes)
        homes[name] = Binding(index, 0, nbytes)
    return homes
