"""The one place that knows which compiler a device's plans come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .. import debug
from ..errors import UnsupportedError
from ..graph.graph import Graph, specialise
from ..ops.base import Op
from ..plan.plan import Plan
from ..targets.device import DeviceFacts
from ..targets.reference_plan import Tensor, reference_plan
from ..targets.webgpu.compile import LOWERINGS, compile_plan


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


MAIN = Programs({"main": {}})
DECODER = Programs({"prefill": {}, "decode": {"seq": 1}}, {"token": "tokens"}, ("settings", 4))


@dataclass(frozen=True, slots=True)
class Compiled:
    """A plan and what is known of it before it is loaded.

    text          the plan: JSON that a device of its target loads
    steps         program -> dispatches on a GPU, nodes on the reference
    kernels       different kernels; 0 where there are none
    nbytes        memory that the plan holds once it is loaded
    peak_nbytes   the most that it holds at once, while its weights come
    live_nbytes   of intermediate tensors, at most
    """

    text: str
    steps: Mapping[str, int]
    kernels: int
    nbytes: int
    peak_nbytes: int
    live_nbytes: int

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
        return _described(webgpu_plan(graph, tensors, facts, features, programs))
    raise UnsupportedError("a plan", got=f"target '{facts.target}'", need="webgpu or reference")


def supports(target: str, op: Op) -> bool:
    """Whether a target runs an operator, by a kernel or by its decomposition."""
    return target == "reference" or op.name in LOWERINGS or op.decompose is not None


def webgpu_plan(
    graph: Graph,
    tensors: Mapping[str, Tensor],
    facts: DeviceFacts,
    features: frozenset[str],
    programs: Programs,
) -> Plan:
    """The programs of a graph for WebGPU; see `compile_for`."""
    graphs = {name: specialise(graph, fixed) for name, fixed in programs.fixed.items()}
    return compile_plan(
        graphs,
        tensors,
        facts,
        features=features,
        feedback=programs.feedback,
        draw=programs.draw,
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
