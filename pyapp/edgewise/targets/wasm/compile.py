"""Graphs to a Plan for Wasm.

`compile_plan` lowers each program (such as prefill and decode, which share states and weights),
places weights and intermediate tensors, and returns the plan as data. Pure: runs the same in a
page and in CPython, without NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...errors import PlanError
from ...graph.graph import Graph, Node
from ...passes.base import Note
from ...passes.decompose import decompose
from ...plan.plan import Binding, Plan, Slot
from ..device import DeviceFacts
from ..factored import bind
from ..places import Tensor
from ..program import Shared, homes_of, places_of, users_of, values_of, with_kernels
from . import (
    fuse,
    lower_adapter,
    lower_attention,
    lower_conv,
    lower_conv_transpose,
    lower_gemm,
    lower_gemm8,
    lower_index,
    lower_llm,
    lower_move,
    lower_quantized,
    lower_recurrent,
    lower_rows,
    lower_sample,
    lower_view,
    lower_window,
)
from .emit import Program
from .pointwise import POINTWISE
from .weights import Weights

Lowering = Callable[[Program, Node], None]

LOWERINGS: dict[str, Lowering] = {
    "conv2d": lower_conv.conv2d,
    "convTranspose2d": lower_conv_transpose.conv_transpose2d,
    **dict.fromkeys(POINTWISE, fuse.pointwise),
    **lower_view.VIEWS,
    **lower_move.MOVES,
    **lower_index.INDEXED,
    "matmul": lower_gemm.matmul,
    "scaledDotProductAttention": lower_attention.attention,
    **dict.fromkeys(lower_rows.REDUCTIONS, lower_rows.reduce),
    **dict.fromkeys(("argMin", "argMax"), lower_rows.arg),
    "cumulativeSum": lower_rows.cumulative_sum,
    "softmax": lower_rows.softmax,
    "layerNormalization": lower_rows.layer_normalization,
    "instanceNormalization": lower_rows.instance_normalization,
    **dict.fromkeys(lower_window.WHOLE, lower_window.pool),
    "resample2d": lower_window.resample2d,
    **dict.fromkeys(("lstm", "lstmCell"), lower_recurrent.lstm),
    **dict.fromkeys(("gru", "gruCell"), lower_recurrent.gru),
    "lowRank": lower_adapter.low_rank,
    "quantizedLinear": lower_gemm8.quantized_linear,
    **lower_quantized.PRODUCTS,
    **lower_llm.BETWEEN,
    "markSeen": lower_sample.mark_seen,
    "sample": lower_sample.sample,
}

KNOWN = frozenset(LOWERINGS)


def compile_plan(
    programs: Mapping[str, Graph],
    tensors: Mapping[str, Tensor],
    facts: DeviceFacts,
    *,
    feedback: Mapping[str, str] | None = None,
    draw: tuple[str, int] | None = None,
    notes: list[Note] | None = None,
) -> Plan:
    """A plan of `programs`, which agree on the names of inputs, states and outputs.

    `tensors`   the model file's tensors by name
    `feedback`  output -> input: the output is written where the input's first element lies, so
                the next run reads it
    `draw`      (input, element) that a decode loop replaces by a random number each step
    `notes`     gets what was joined in one step and what was not, and why
    Raises UnsupportedError with every operator that has no kernel, PlanError for what does not
    fit in 4 GiB.
    """
    graphs = {name: prepare(graph) for name, graph in programs.items()}
    symbols = dict(sorted({k: v for g in graphs.values() for k, v in g.symbols.items()}.items()))
    shared = Shared(facts, symbols)
    weights = Weights(shared, tensors)
    steps = {}
    peak = 0
    for name, graph in graphs.items():
        program = _lower(graph, shared, weights, feedback or {})
        if notes is not None:
            notes += program.notes
        memory = program.memory(apart=False)
        peak = max(peak, memory.peak_live)
        steps[name] = program.steps(memory)
    uploads = weights.finish()
    values = values_of(shared, feedback or {})
    plan = Plan(
        target="wasm",
        features=(),
        symbols=symbols,
        kernels=tuple(shared.kernels),
        buffers=tuple(shared.buffers),
        weights=uploads,
        inline=tuple(weights.inline),
        programs=steps,
        values=values,
        slot=_slot(symbols, values, draw),
        peak_live=peak,
    )
    most = facts.limits["maxBufferSize"]  # of all buffers together: they lie in one memory
    if plan.peak_nbytes > most:
        raise PlanError(
            "the model on wasm", got=f"{plan.peak_nbytes} bytes", need=f"at most {most}",
            fix="choose a smaller model or context, or run it on WebGPU or a server",
        )  # fmt: skip
    return plan


def _slot(
    symbols: Mapping[str, int], values: Mapping[str, Binding], draw: tuple[str, int] | None
) -> Slot:
    """Which input has the random number. It lies where all inputs do: one run is in flight."""
    if draw is None:
        return Slot(tuple(symbols), {}, -1, 0)
    name, element = draw
    return Slot(tuple(symbols), {name: (0, values[name].nbytes)}, 4 * element, 0)


def prepare(graph: Graph) -> Graph:
    """`graph` in operators that have kernels. Raises UnsupportedError with all that have none."""
    return with_kernels(_known(graph), KNOWN, "wasm")


def _known(graph: Graph) -> Graph:
    """Composites without a kernel decomposed; one kind where its kernel does not suit some node."""
    keep = KNOWN
    while True:
        made = bind(decompose(graph, keep).graph)
        unsuited = {node.op for node in made.nodes if not lower_quantized.suits(made, node)}
        if not unsuited:
            return made
        keep -= unsuited


def _lower(graph: Graph, shared: Shared, weights: Weights, feedback: Mapping[str, str]) -> Program:
    """All steps of one program, its results last."""
    homes = homes_of(graph, shared)
    p = Program(graph, shared, homes, users_of(graph), weights=weights)
    places = places_of(graph, shared, feedback)
    for public, name in graph.outputs.items():
        if name not in homes and name not in graph.constants and p.value(name).dtype.bits >= 8:
            homes.setdefault(name, places[public])
    fuse.join(p)
    for node in graph.nodes:
        if not p.absorbed.issuperset(node.outputs):
            LOWERINGS[node.op](p, node)
    for public, name in graph.outputs.items():
        if p.root(name) in p.views or homes.get(p.root(name)) != places[public]:
            result(p, name, places[public])
    for state, name in graph.updates.items():
        if p.root(name) != state:
            result(p, name, homes[state])
    return p


def result(p: Program, name: str, to: Binding) -> None:
    """Copy a value to where the host reads it."""
    node = Node("result", (name,), (), {}, f"output {name}")
    value = p.value(name)
    if value.dtype.bits < 8:
        p.nibbles("pack_nibbles", value, p.dense(name, node), to)
    else:
        lower_view.copy(p, node, p.view(name), value, to)
