"""Collects what lowering makes of one program: steps over named operands, then memory for them.

A lowering function names its operands; where each lies is decided when the whole program is
known. Four kinds have buffers of their own (inputs, outputs, states, weights); every other value
gets a place in an arena from its live range. Values that are computed where they are read
(`deferred`, see access.py) have no place at all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from ...dims import Dim, Expr, bound
from ...dtypes import DType
from ...errors import PlanError, UnsupportedError
from ...graph.graph import Graph, Node, Value
from ...ops.base import Shape
from ...passes.base import Note
from ...plan.arena import Life, Memory, aligned, plan_memory
from ...plan.plan import Binding, Buffer, Count, Kernel, Size, Step, count
from ..device import DeviceFacts
from .index import wgsl_size
from .storage import Storage, storage
from .template import Literal, render

WGSL_TYPES = {
    DType.FLOAT32: "f32",
    DType.FLOAT16: "f16",
    DType.INT32: "i32",
    DType.UINT32: "u32",
}
SETTINGS_BYTES = 32
ACCESS = {"read": "read", "write": "read_write"}


@dataclass(frozen=True, slots=True)
class Arg:
    """One binding of a kernel: variable name, "read" or "write", element type, operand.

    The operand is the name of a value, or a Binding for weights.
    """

    name: str
    access: str
    element: str
    operand: str | Binding


def wgsl_type(value: Value) -> str:
    """The WGSL scalar type of a value's elements. Raises UnsupportedError for 8 and 64 bits."""
    if value.dtype not in WGSL_TYPES:
        raise UnsupportedError(
            f"value '{value.name}' on webgpu",
            got=str(value.dtype),
            need=f"one of {[str(t) for t in WGSL_TYPES]}",
        )
    return WGSL_TYPES[value.dtype]


def n_elements(shape: Shape) -> int:
    """Elements of a shape at its bound."""
    return prod(bound(dim) for dim in shape)


def most(size: Size) -> int:
    """A size at its bound."""
    return n_elements(size if isinstance(size, tuple) else (size,))


def nbytes_of(value: Value) -> int:
    """Bytes of a value at its bound as the host sees it, in whole words."""
    return words(value.dtype.nbytes(n_elements(value.shape)))


def words(nbytes: int) -> int:
    """Bytes rounded up to whole words, and to one element of any type: no binding is empty."""
    return max(-(-nbytes // 4) * 4, 8)


@dataclass(slots=True)
class Shared:
    """What all programs of one plan share: kernels, buffers and the slot's fields."""

    facts: DeviceFacts
    features: frozenset[str]
    symbols: Mapping[str, int]
    slot_inputs: tuple[str, ...]
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
class _Draft:
    kernel: int
    args: tuple[Arg, ...]
    groups: tuple[Count, Count, Count]
    origin: str


@dataclass(slots=True)
class Program:
    """The steps of one graph while they are made."""

    graph: Graph
    shared: Shared
    homes: dict[str, Binding]  # values that have a buffer of their own
    users: Mapping[str, Sequence[Node]]  # the nodes that read a value
    aliases: dict[str, str] = field(default_factory=dict)
    deferred: dict[str, tuple[Node, int]] = field(default_factory=dict)  # value -> (node, output)
    absorbed: set[str] = field(default_factory=set)  # values that exist in another kernel alone
    ready: set[str] = field(default_factory=set)  # values of the nodes lowered so far
    temporaries: dict[str, int] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    drafts: list[_Draft] = field(default_factory=list)
    results: frozenset[str] = field(init=False)  # values that leave the program
    states: frozenset[str] = field(init=False)  # their bytes change in the middle of a program
    _order: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        graph = self.graph
        self.results = frozenset({*graph.outputs.values(), *graph.updates.values()})
        self.states = frozenset(graph.states)
        self._order = {node.outputs[0]: at for at, node in enumerate(self.graph.nodes)}

    def readers(self, names: Collection[str]) -> list[Node]:
        """The nodes that read one of `names` and do not themselves make one, in order."""
        found = {
            user.outputs[0]: user
            for name in names
            for user in self.users.get(name, ())
            if user.outputs[0] not in names
        }
        return [found[name] for name in sorted(found, key=self._order.__getitem__)]

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

    @property
    def half(self) -> bool:
        """Whether kernels may use f16."""
        return "shader-f16" in self.shared.features

    def storage(self, name: str) -> Storage:
        """How the elements of a value that lies in memory lie there."""
        root = self.root(name)
        given = root in self.graph.inputs or root in self.graph.states
        packed = given or root in self.graph.constants
        return storage(self.value(root).dtype, packed=packed, half=self.half)

    def stored_as_seen(self, name: str) -> bool:
        """Whether kernels store a value just as the host reads it."""
        dtype = self.value(name).dtype
        form = storage(dtype, packed=False, half=self.half)
        return form.nbytes * 8 == dtype.bits and name not in self.graph.constants

    def reader(self, name: str) -> str:
        """The operator that reads a value first."""
        users = self.users.get(name)
        return users[0].op if users else "the host"

    def note(self, node: Node, text: str) -> None:
        """Note whether a node was joined with another kernel."""
        self.notes.append(Note(f"join {node.op}", node.origin or node.outputs[0], text))

    def temporary(self, name: str, shape: Shape, dtype: DType) -> str:
        """The name of a value that lives between the steps of one lowering."""
        unique = f"{name}#{len(self.temporaries)}"
        self.temporaries[unique] = nbytes_of(Value(unique, dtype, shape))
        return unique

    def emit(
        self,
        kernel: str,
        node: Node,
        args: Sequence[Arg],
        groups: Sequence[Size | Count],
        *,
        flags: Mapping[str, bool] | None = None,
        consts: Mapping[str, Literal] | None = None,
        types: Mapping[str, str] | None = None,
        dims: Mapping[str, Size] | None = None,
        functions: Sequence[str] = (),
        body: str | None = None,
    ) -> None:
        """Add one dispatch.

        `dims` become WGSL functions, `functions` are WGSL text that reads and writes the
        arguments, `body` replaces the kernel's file.
        """
        head = [self._slot_text()]
        head += [
            f"fn {name}() -> u32 {{ return {wgsl_size(dim)}; }}"
            for name, dim in (dims or {}).items()
        ]
        head += [
            f"@group(0) @binding({i}) "
            f"var<storage, {ACCESS[a.access]}> {a.name}: array<{a.element}>;"
            for i, a in enumerate(args)
        ]
        head += functions
        code = render(
            kernel, head="\n".join(head), flags=flags, consts=consts, types=types, body=body
        )
        made = Kernel(kernel, code, tuple(a.access for a in args))
        self.dispatch(made, node.origin, args, groups)

    def dispatch(
        self, kernel: Kernel, origin: str, args: Sequence[Arg], groups: Sequence[Size | Count]
    ) -> None:
        """Add one dispatch of a finished kernel, its group counts checked against the limit."""
        counts = [g if isinstance(g, Count) else count(g) for g in groups]
        x, y, z = (*counts, *[count(1)] * (3 - len(counts)))
        limit = self.shared.facts.limits["maxComputeWorkgroupsPerDimension"]
        for c in (x, y, z):
            most = _bound_of(c, self.shared.symbols)
            if most > limit:
                raise PlanError(
                    f"kernel '{kernel.name}'",
                    got=f"{most} workgroups",
                    need=f"at most {limit}",
                    where=origin,
                )
        self.drafts.append(_Draft(self.shared.kernel(kernel), tuple(args), (x, y, z), origin))

    def memory(self) -> Memory:
        """Places for every value without a buffer of its own."""
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
            conflicts |= {
                (r, w) for ra, r in local if ra == "read" for wa, w in local if wa == "write"
            }
        return plan_memory(
            [Life(name, self._nbytes(name), first, last) for name, (first, last) in lives.items()],
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
            )
            for d in self.drafts
        )

    def _nbytes(self, name: str) -> int:
        if name in self.temporaries:
            return self.temporaries[name]
        if name in self.homes:
            return nbytes_of(self.graph.values[name])
        return words(n_elements(self.graph.values[name].shape) * self.storage(name).nbytes)

    def _binding(self, operand: str | Binding, memory: Memory) -> Binding:
        if isinstance(operand, Binding):
            return operand
        root = self.root(operand)
        if root in self.homes:
            return self.homes[root]
        place = memory.placements[root]
        limit = self.shared.facts.limits["maxStorageBufferBindingSize"]
        if self._nbytes(root) > limit:
            raise PlanError(
                f"value '{root}'",
                got=f"{self._nbytes(root)} bytes",
                need=f"at most {limit} in one binding",
                fix="choose a smaller input",
            )
        buffer = self.shared.buffer(f"arena{place.arena}", "arena", memory.arenas[place.arena])
        return Binding(buffer, place.offset, self._nbytes(root))

    def _slot_text(self) -> str:
        fields = [f"{name}: u32" for name in self.shared.symbols]
        fields += [
            f"@align(16) {name}: array<vec4f, {SETTINGS_BYTES // 16}>"
            for name in self.shared.slot_inputs
        ]
        if not fields:
            return ""  # WGSL has no empty structures
        return (
            f"struct Slot {{ {', '.join(fields)} }}\n@group(1) @binding(0) var<uniform> slot: Slot;"
        )


def _bound_of(c: Count, symbols: Mapping[str, int]) -> int:
    """The largest value of `c`: where a factor falls with a symbol, at that symbol's 0."""
    rising = [({name: f for name, f in terms.items() if f > 0}, k) for terms, k in c.factors]
    return Count(tuple(rising), c.divisor).of(symbols)


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


def per(size: Size, n: int) -> Count:
    """ceil(size / n) workgroups."""
    return count(size, n)


def is_one(dim: Dim) -> bool:
    """Whether a dimension is known to be 1: a row of a decode program."""
    return not isinstance(dim, Expr) and dim == 1
