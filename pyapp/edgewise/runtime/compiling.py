"""The one place that knows which compiler a device's plans come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod

from .. import debug
from ..dims import evaluate
from ..errors import EdgewiseError, PlanError, UnsupportedError
from ..graph.graph import Graph, specialise
from ..ops.base import Op
from ..passes.base import Note
from ..passes.place import Part, Placement
from ..plan.parts import PartPlan, PartsPlan
from ..plan.plan import Plan
from ..targets.device import DeviceFacts
from ..targets.reference_plan import Tensor, reference_plan
from ..targets.wasm import compile as wasm
from ..targets.webgpu.compile import KNOWN, compile_plan
from ..targets.webnn.divide import divide
from ..targets.webnn.emit import emit
from ..targets.webnn.facts import WebnnFacts


@dataclass(frozen=True, slots=True)
class Programs:
    """What is to be run of a graph.

    fixed     program -> values of symbols that are known in it
    feedback  output -> input: the output is the next run's input
    draw      (input, element) that a decode loop replaces by a random number each step
    """

    fixed: Mapping[str, Mapping[str, int]]
    feedback: Mapping[str, str] = field(default_factory=dict)
    draw: tuple[str, int] | None = None

    def graphs(self, graph: Graph) -> dict[str, Graph]:
        """The graph of each program."""
        return {name: specialise(graph, fixed) for name, fixed in self.fixed.items()}


MAIN = Programs({"main": {}})
DECODER = Programs({"prefill": {}, "decode": {"seq": 1}}, {"token": "tokens"}, ("settings", 4))


@dataclass(frozen=True, slots=True)
class Compiled:
    """A plan and what is known of it before it is loaded.

    text          the plan: JSON that a device of its target loads
    steps         program -> dispatches on a GPU, nodes on the reference, calls on WebNN
    kernels       different kernels; 0 where there are none
    nbytes        memory that the plan holds once it is loaded
    peak_nbytes   the most that it holds at once, while its weights come
    live_nbytes   of intermediate tensors, at most
    notes         which operators share a kernel or run elsewhere, which do not, and why
    """

    text: str
    steps: Mapping[str, int]
    kernels: int
    nbytes: int
    peak_nbytes: int
    live_nbytes: int
    notes: tuple[Note, ...] = ()

    def __str__(self) -> str:
        steps = ", ".join(f"{name} {count}" for name, count in self.steps.items())
        return (
            f"{self.kernels} kernels; steps: {steps}; {self.nbytes / 1e6:.3f} MB on the device, "
            f"{self.peak_nbytes / 1e6:.3f} MB while loading, of which at most "
            f"{self.live_nbytes / 1e6:.3f} MB intermediate"
        )


def compile_for(
    graph: Graph,
    tensors: Mapping[str, Tensor],
    facts: DeviceFacts,
    features: frozenset[str],
    programs: Programs = MAIN,
) -> Compiled:
    """The plan of an optimised graph for the device with these facts.

    features  those of the device that may be used

    Raises UnsupportedError with every operator that the target lacks, PlanError for what does not
    fit the device.
    """
    if facts.target == "reference":
        plan = reference_plan(graph, tensors, programs.fixed, programs.feedback)
        steps = dict.fromkeys(programs.fixed, len(graph.nodes))
        return Compiled(plan.to_json(), steps, 0, plan.nbytes, plan.nbytes, 0)
    if facts.target == "webgpu":
        notes: list[Note] = []
        made = webgpu_plan(graph, tensors, facts, features, programs, notes)
        return replace(_described(made), notes=tuple(notes))
    if facts.target == "wasm":
        notes = []
        made = wasm.compile_plan(
            programs.graphs(graph), tensors, facts,
            feedback=programs.feedback, draw=programs.draw, notes=notes,
        )  # fmt: skip
        return replace(_described(made), notes=tuple(notes))
    if isinstance(facts, WebnnFacts):
        return _webnn_plan(graph, tensors, facts)
    raise UnsupportedError(
        "a plan", got=f"target '{facts.target}'", need="webgpu, wasm, webnn or reference"
    )


def usable(facts: DeviceFacts) -> frozenset[str]:
    """The features that plans may use: a software adapter's subgroups are slower than none."""
    return facts.features - {"subgroups"} if facts.fallback else facts.features


def supports(target: str, op: Op) -> bool:
    """Whether a target runs an operator, by a kernel or by its decomposition."""
    known = wasm.KNOWN if target == "wasm" else KNOWN
    return target == "reference" or op.name in known or op.decompose is not None


def webgpu_plan(
    graph: Graph,
    tensors: Mapping[str, Tensor],
    facts: DeviceFacts,
    features: frozenset[str],
    programs: Programs,
    notes: list[Note] | None = None,
) -> Plan:
    """The programs of a graph for WebGPU; see `compile_for`."""
    return compile_plan(
        programs.graphs(graph),
        tensors,
        facts,
        features=features,
        feedback=programs.feedback,
        draw=programs.draw,
        notes=notes,
    )


def _described(plan: Plan) -> Compiled:
    text = plan.to_json()
    for kernel in plan.kernels:
        debug.say(debug.KERNELS, f"kernel {kernel.name}", kernel.code)
    debug.say(debug.PLANS, "plan", text)
    steps = {name: len(steps) for name, steps in plan.programs.items()}
    made = Compiled(
        text, steps, len(plan.kernels), plan.nbytes, plan.peak_nbytes, plan.peak_live
    )  # fmt: skip
    debug.say(debug.TIMINGS, "plan", str(made))
    return made


def _webnn_plan(graph: Graph, tensors: Mapping[str, Tensor], facts: WebnnFacts) -> Compiled:
    """The first plan that comes about with the help of one of the other devices."""
    error: EdgewiseError | None = None
    for other in facts.rest or (None,):
        placed = divide(graph, facts, rest=other.target if other else None)
        try:
            made = [_part(part, tensors, facts, other) for part in placed.parts]
        except (PlanError, UnsupportedError) as refused:
            error = refused
            continue
        return _joined(graph, placed, made)
    assert error is not None, f"{facts.rest=}"
    raise error


def _part(
    part: Part, tensors: Mapping[str, Tensor], facts: WebnnFacts, other: DeviceFacts | None
) -> Compiled:
    if other is not None and part.target != facts.target:
        return compile_for(part.graph, tensors, other, usable(other))
    plan = emit(part.graph, tensors, facts)
    return Compiled(plan.to_json(), {"main": len(plan.calls)}, 0, plan.nbytes, plan.nbytes, 0)


def _output_nbytes(graph: Graph) -> dict[str, int]:
    values = {public: graph.values[name] for public, name in graph.outputs.items()}
    return {
        public: value.dtype.nbytes(prod(evaluate(dim, {}) for dim in value.shape))
        for public, value in values.items()
    }


def _joined(graph: Graph, placed: Placement, made: Sequence[Compiled]) -> Compiled:
    parts = tuple(
        PartPlan(part.target, each.text, part.graph.inputs, _output_nbytes(part.graph))
        for part, each in zip(placed.parts, made, strict=True)
    )
    text = PartsPlan("webnn", graph.inputs, placed.outputs, parts).to_json()
    debug.say(debug.PLANS, "plan", text)
    held = [sum(each.nbytes for each in made[:index]) for index in range(len(made))]
    return Compiled(
        text,
        {"main": sum(each.steps["main"] for each in made)},
        sum(each.kernels for each in made),
        sum(each.nbytes for each in made),
        max((n + each.peak_nbytes for n, each in zip(held, made, strict=True)), default=0),
        sum(each.live_nbytes for each in made),
        (*placed.notes, *(note for each in made for note in each.notes)),
    )
