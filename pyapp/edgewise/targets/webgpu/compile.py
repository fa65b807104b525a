"""Graphs to a Plan for WebGPU.

`compile_plan` lowers each program (such as prefill and decode, which share states and weights),
places weights and intermediate tensors, and returns the plan as data. Pure: runs the same in a
page and in CPython, without NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ...graph.graph import Graph, Node
from ...passes.base import Note
from ...passes.decompose import decompose
from ...plan.plan import Plan, Slot
from ..device import DeviceFacts
from ..factored import bind
from ..places import Tensor
from ..program import homes_of, n_elements, places_of, users_of, values_of, with_kernels
from . import (
    lower_adapter,
    lower_attention,
    lower_gemm,
    lower_llm,
    lower_quantized,
    lower_rows,
    lower_scatter,
    lower_window,
)
from .emit import SETTINGS_BYTES, Program, Shared
from .lower_webnn import fit, lower_pointwise, result
from .pointwise import POINTWISE
from .stack import stack
from .weights import Weights

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
}

#: Kernels that read their inputs and write their output by functions (see access.py).
STRUCTURED: dict[str, Lowering] = {
    "matmul": lower_gemm.matmul,
    "lowRank": lower_adapter.low_rank,
    "scaledDotProductAttention": lower_attention.attention,
    "conv2d": lower_gemm.conv2d,
    "convTranspose2d": lower_gemm.conv_transpose2d,
    **dict.fromkeys(("averagePool2d", "l2Pool2d", "maxPool2d"), lower_window.pool),
    "softmax": lower_rows.softmax,
    "layerNormalization": lower_rows.layer_normalization,
    "instanceNormalization": lower_rows.instance_normalization,
    **dict.fromkeys(lower_rows.REDUCTIONS, lower_rows.reduce),
    "reduceLogSumExp": lower_rows.reduce_log_sum_exp,
    **dict.fromkeys(("argMax", "argMin"), lower_rows.arg),
    "cumulativeSum": lower_rows.cumulative_sum,
    "scatterElements": lower_scatter.scatter_elements,
    "scatterND": lower_scatter.scatter_nd,
}

READERS = frozenset({*POINTWISE, *STRUCTURED})
KNOWN = frozenset({*LOWERINGS, *READERS})

SMALL = 1 << 16  # elements that may lie in memory from the beginning
USED_FEATURES = frozenset({"shader-f16", "subgroups"})


def compile_plan(
    programs: Mapping[str, Graph],
    tensors: Mapping[str, Tensor],
    facts: DeviceFacts,
    *,
    features: frozenset[str],
    feedback: Mapping[str, str] | None = None,
    draw: tuple[str, int] | None = None,
    notes: list[Note] | None = None,
) -> Plan:
    """A plan of `programs`, which agree on the names of inputs, states and outputs.

    `tensors`   the model file's tensors by name
    `features`  those of the device that kernels may use (shader-f16, subgroups)
    `feedback`  output -> input: the output is written where the input's first element lies, so
                the next run reads it
    `draw`      (input, element) that a decode loop replaces by a random number each step
    `notes`     gets what was joined in one kernel and what was not, and why
    Raises UnsupportedError with every operator that has no kernel, PlanError for what does not
    fit the device's limits.
    """
    graphs = {name: prepare(graph, facts) for name, graph in programs.items()}
    first = next(iter(graphs.values()))
    symbols = dict(sorted({k: v for g in graphs.values() for k, v in g.symbols.items()}.items()))
    used = features & facts.features & USED_FEATURES
    shared = Shared(facts, symbols, features=used, slot_inputs=_slot_inputs(first))
    limit = min(facts.limits["maxStorageBufferBindingSize"], facts.limits["maxBufferSize"])
    weights = Weights(shared, tensors, binding_limit=limit)
    steps = {}
    peak = 0
    for name, graph in graphs.items():
        program = _lower(graph, shared, weights, feedback or {})
        if notes is not None:
            notes += program.notes
        memory = program.memory(apart=True)
        peak = max(peak, memory.peak_live)
        steps[name] = program.steps(memory)
    uploads = weights.finish()
    return Plan(
        target="webgpu",
        features=tuple(sorted(used)),
        symbols=symbols,
        kernels=tuple(shared.kernels),
        buffers=tuple(shared.buffers),
        weights=uploads,
        inline=tuple(weights.inline),
        programs=steps,
        values=values_of(shared, feedback or {}),
        slot=_slot(shared, draw),
        peak_live=peak,
    )


def prepare(graph: Graph, facts: DeviceFacts) -> Graph:
    """`graph` in operators that have kernels. Raises UnsupportedError with all that have none."""
    unsuited = set() if lower_attention.suits(graph, facts) else {"scaledDotProductAttention"}
    known = bind(decompose(graph, KNOWN - unsuited).graph)
    whole = with_kernels(known, KNOWN, "webgpu")
    # On a CPU nothing is won by fewer dispatches.
    return _constants_first(whole if facts.fallback else stack(whole))


def _constants_first(graph: Graph) -> Graph:
    """What is computed from constants alone, element by element, stands in front: then it is
    known where a kernel looks for element-wise operators to do where it stores."""
    known = set(graph.constants)
    front, rest = [], []
    for node in graph.nodes:
        names = [name for name in node.inputs if name is not None]
        small = all(n_elements(graph.values[name].shape) <= SMALL for name in node.outputs)
        if node.op in POINTWISE and small and known.issuperset(names):
            known.update(node.outputs)
            front.append(node)
        else:
            rest.append(node)
    return replace(graph, nodes=(*front, *rest))


def _lower(graph: Graph, shared: Shared, weights: Weights, feedback: Mapping[str, str]) -> Program:
    """All steps of one program, its results last."""
    homes = homes_of(graph, shared, without=shared.slot_inputs)
    p = Program(graph, shared, homes, users_of(graph))
    places = places_of(graph, shared, feedback)
    for public, name in graph.outputs.items():
        if name not in homes and p.stored_as_seen(name):
            homes[name] = places[public]
    for node in graph.nodes:
        if not p.absorbed.issuperset(node.outputs):
            lower(p, weights, node)
        p.ready.update(node.outputs)
    for public, name in graph.outputs.items():
        if homes.get(p.root(name)) != places[public]:
            result(p, weights, name, places[public])
    for state, name in graph.updates.items():
        if p.root(name) != state:
            result(p, weights, name, homes[state])
    return p


def lower(p: Program, weights: Weights, node: Node) -> None:
    """The steps of one node."""
    if node.op in LOWERINGS:
        LOWERINGS[node.op](p, weights, node)
        return
    fit(p, weights, node)
    if node.op in STRUCTURED:
        STRUCTURED[node.op](p, weights, node)
    else:
        lower_pointwise(p, weights, node, READERS)


def _slot_inputs(graph: Graph) -> tuple[str, ...]:
    """The sampler's settings travel with each run in its slot."""
    settings = {node.inputs[-1] for node in graph.nodes if node.op == "sample"}
    return tuple(name for name in graph.inputs if name in settings)


def _slot(shared: Shared, draw: tuple[str, int] | None) -> Slot:
    at = -(-4 * len(shared.symbols) // 16) * 16
    inputs = {}
    for name in shared.slot_inputs:
        inputs[name] = (at, SETTINGS_BYTES)
        at += SETTINGS_BYTES
    drawn = -1 if draw is None else inputs[draw[0]][0] + 4 * draw[1]
    return Slot(tuple(shared.symbols), inputs, drawn, max(at, 16))
