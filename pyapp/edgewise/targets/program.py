"""What lowering collects of one program, whatever the target: steps over named operands; memory.

A lowering function names its operands; where each lies is decided when the whole program is
known. Four kinds have buffers of their own (inputs, outputs, states, weights); every other value
gets a place in an arena from its live range.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Protocol

from ..dims import Dim, Expr, bound
from ..dtypes import DType
from ..errors import PlanError, UnsupportedError
from ..graph.graph import Graph, Node, Value
from ..ops.base import Shape
from ..passes.base import Note
from ..passes.clean import clean
from ..plan.arena import Life, Memory, aligned, plan_memory
from ..plan.plan import Binding, Buffer, Count, Kernel, Size, Step
from .device import DeviceFacts


class Operand(Protocol):
    """One binding of a step: "read" or "write", and a value's name, or a Binding for weights."""

    @property
    def access(self) -> str: ...
    @property
    def operand(self) -> str | Binding: ...


def n_elements(shape: Shape) -> int:
    """Elements of a shape at its bound."""
    return prod(bound(dim) for dim in shape)


def nbytes_of(value: Value) -> int:
    """Bytes of a value at its bound as the host sees it, in whole words."""
    return words(value.dtype.nbytes(n_elements(value.shape)))


def words(nbytes: int) -> int:
    """Bytes rounded up to whole words, and to one element of any type: no binding is empty."""
    return max(-(-nbytes // 4) * 4, 8)


def elements(shape: Iterable[Dim]) -> Size:
    """The number of elements: a dimension where that is possible, else the product of several."""
    dims = tuple(shape)
    symbolic = tuple(dim for dim in dims if isinstance(dim, Expr))
    known = prod(dim for dim in dims if isinstance(dim, int))
    if known == 0 or not symbolic:
        return known
    if len(symbolic) == 1:
        return symbolic[0] * known
    return (known, *symbolic)


@dataclass(slots=True)
class Shared:
    """What all programs of one plan share: kernels and buffers."""

    facts: DeviceFacts
    symbols: Mapping[str, int]
    kernels: dict[Kernel, int] = field(default_factory=dict)
    buffers: list[Buffer] = field(default_factory=list)
    named: dict[str, int] = field(default_factory=dict)

    def kernel(self, kernel: Kernel) -> int:
        """The kernel's number; equal kernels share one."""
        return self.kernels.setdefault(kernel, len(self.kernels))

    def buffer(self, name: str, kind: str, nbytes: int) -> int:
        """The number of the buffer called `name`, made or grown to hold `nbytes`."""
        index = self.named.setdefault(name, len(self.buffers))
        if index == len(self.buffers):
            self.buffers.append(Buffer(name, kind, 0))
        if self.buffers[index].nbytes < nbytes:
            self.buffers[index] = Buffer(name, kind, aligned(nbytes))
        limit = self.facts.limits["maxBufferSize"]
        if self.buffers[index].nbytes > limit:
            raise PlanError(
                f"buffer '{name}'",
                got=f"{nbytes} bytes",
                need=f"at most {limit}",
                fix="choose a smaller context or a smaller model",
            )
        return index


@dataclass(slots=True)
class Draft:
    """A step whose operands have no places yet."""

    kernel: int
    args: tuple[Operand, ...]
    groups: tuple[Count, Count, Count]
    origin: str
    numbers: tuple[int | Count, ...] = ()


@dataclass(slots=True)
class Program:
    """The steps of one graph while they are made."""

    graph: Graph
    shared: Shared
    homes: dict[str, Binding]  # values that have a buffer of their own
    users: Mapping[str, Sequence[Node]]  # the nodes that read a value
    aliases: dict[str, str] = field(default_factory=dict)
    temporaries: dict[str, int] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    drafts: list[Draft] = field(default_factory=list)
    results: frozenset[str] = field(init=False)  # values that leave the program
    states: frozenset[str] = field(init=False)  # their bytes change in the middle of a program
    order: dict[str, int] = field(init=False)  # value -> the place of the node that makes it

    def __post_init__(self) -> None:
        graph = self.graph
        self.results = frozenset({*graph.outputs.values(), *graph.updates.values()})
        self.states = frozenset(graph.states)
        self.order = {name: at for at, node in enumerate(graph.nodes) for name in node.outputs}

    def readers(self, names: Collection[str]) -> list[Node]:
        """The nodes that read one of `names` and do not themselves make one, in order."""
        found = {
            user.outputs[0]: user
            for name in names
            for user in self.users.get(name, ())
            if user.outputs[0] not in names
        }
        return [found[name] for name in sorted(found, key=self.order.__getitem__)]

    def value(self, name: str | None) -> Value:
        """The graph's value; None is a bug in the caller."""
        assert name is not None, "an operand that must be there is not"
        return self.graph.values[name]

    def alias(self, name: str, other: str) -> None:
        """`name` lies where `other` lies: reshapes and new versions of states."""
        self.aliases[name] = other

    def root(self, name: str) -> str:
        """The value that `name` is in the end an alias of."""
        while name in self.aliases:
            name = self.aliases[name]
        return name

    def note(self, node: Node, text: str) -> None:
        """Note whether a node was joined with another kernel."""
        self.notes.append(Note(f"join {node.op}", node.origin or node.outputs[0], text))

    def temporary(self, name: str, shape: Shape, dtype: DType) -> str:
        """The name of a value that lives between the steps of one lowering."""
        unique = f"{name}#{len(self.temporaries)}"
        self.temporaries[unique] = nbytes_of(Value(unique, dtype, shape))
        return unique

    def memory(self, *, apart: bool) -> Memory:
        """Places for every value without a buffer of its own.

        apart  whether what a step reads and what it writes must lie in different arenas
        """
        lives: dict[str, tuple[int, int]] = {}
        conflicts: set[tuple[str, str]] = set()
        for step, draft in enumerate(self.drafts):
            named = [
                (a.access, self.root(a.operand)) for a in draft.args if isinstance(a.operand, str)
            ]
            local = [(access, name) for access, name in named if name not in self.homes]
            for _, name in local:
                first, _ = lives.get(name, (step, step))
                lives[name] = (first, step)
            if apart:
                conflicts |= {
                    (r, w) for ra, r in local if ra == "read" for wa, w in local if wa == "write"
                }
        return plan_memory(
            [Life(name, self.nbytes(name), first, last) for name, (first, last) in lives.items()],
            conflicts,
        )

    def steps(self, memory: Memory) -> tuple[Step, ...]:
        """The finished steps."""
        return tuple(
            Step(
                d.kernel,
                tuple(self._binding(a.operand, memory) for a in d.args),
                d.groups,
                d.origin,
                d.numbers,
            )
            for d in self.drafts
        )

    def nbytes(self, name: str) -> int:
        """Bytes that a value or a temporary takes at its bound."""
        if name in self.temporaries:
            return self.temporaries[name]
        return nbytes_of(self.graph.values[name])

    def _binding(self, operand: str | Binding, memory: Memory) -> Binding:
        if isinstance(operand, Binding):
            return operand
        root = self.root(operand)
        if root in self.homes:
            return self.homes[root]
        place = memory.placements[root]
        limit = self.shared.facts.limits["maxStorageBufferBindingSize"]
        if self.nbytes(root) > limit:
            raise PlanError(
                f"value '{root}'",
                got=f"{self.nbytes(root)} bytes",
                need=f"at most {limit} in one binding",
                fix="choose a smaller input",
            )
        buffer = self.shared.buffer(f"arena{place.arena}", "arena", memory.arenas[place.arena])
        return Binding(buffer, place.offset, self.nbytes(root))


def with_kernels(graph: Graph, kernels: Collection[str], target: str) -> Graph:
    """`graph` without what nobody reads. Raises UnsupportedError with all operators that have no
    kernel."""
    missing = sorted({node.op for node in graph.nodes if node.op not in kernels})
    if missing:
        raise UnsupportedError(
            f"operators on {target}",
            got=", ".join(missing),
            need="operators with a kernel",
            fix="run them elsewhere",
        )
    return clean(graph).graph


def users_of(graph: Graph) -> dict[str, list[Node]]:
    """The nodes that read each value, in order."""
    users: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in {name for name in node.inputs if name is not None}:
            users.setdefault(name, []).append(node)
    return users


def homes_of(graph: Graph, shared: Shared, without: Collection[str] = ()) -> dict[str, Binding]:
    """Buffers for inputs and states, the same in every program; not for those in `without`."""
    homes: dict[str, Binding] = {}
    for kind, names in (("input", graph.inputs), ("state", graph.states)):
        for name in names:
            if name not in without:
                nbytes = nbytes_of(graph.values[name])
                homes[name] = Binding(shared.buffer(name, kind, nbytes), 0, nbytes)
    return homes


def places_of(graph: Graph, shared: Shared, feedback: Mapping[str, str]) -> dict[str, Binding]:
    """Where the host reads each output. Raises PlanError for a name that an input has too."""
    places = {}
    for public, name in graph.outputs.items():
        if public in graph.inputs or public in graph.states:
            raise PlanError(
                f"output '{public}'", got="an input of that name", need="a name of its own"
            )
        nbytes = nbytes_of(graph.values[name])
        if public in feedback:
            index = shared.named[feedback[public]]
        else:
            index = shared.buffer(public, "output", nbytes)
        places[public] = Binding(index, 0, nbytes)
    return places


def values_of(shared: Shared, feedback: Mapping[str, str]) -> dict[str, Binding]:
    """Inputs, outputs and states of a plan by their public names."""
    values = {
        name: Binding(index, 0, shared.buffers[index].nbytes)
        for name, index in shared.named.items()
        if shared.buffers[index].kind in ("input", "output", "state")
    }
    return values | {out: values[given] for out, given in feedback.items()}


def is_one(dim: Dim) -> bool:
    """Whether a dimension is known to be 1: a row of a decode program."""
    return not isinstance(dim, Expr) and dim == 1
