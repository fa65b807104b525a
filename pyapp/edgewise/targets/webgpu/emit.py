"""What the WebGPU target adds to a program in the making: WGSL, its bindings and its limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ...dtypes import DType
from ...errors import PlanError, UnsupportedError
from ...graph.graph import Node, Value
from ...plan.plan import Binding, Count, Kernel, Size, count
from .. import program
from ..program import Draft, elements, is_one, n_elements, nbytes_of, words
from .index import wgsl_size
from .storage import Storage, storage
from .template import Literal, render

__all__ = ["Arg", "Program", "Shared", "elements", "is_one", "n_elements", "nbytes_of", "words"]

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


def most(size: Size) -> int:
    """A size at its bound."""
    return n_elements(size if isinstance(size, tuple) else (size,))


@dataclass(slots=True)
class Shared(program.Shared):
    """What all programs of one plan share: kernels, buffers and the slot's fields."""

    features: frozenset[str] = frozenset()
    slot_inputs: tuple[str, ...] = ()


@dataclass(slots=True)
class Program(program.Program):
    """The steps of one graph while they are made.

    Values that are computed where they are read (`deferred`, see access.py) have no place at all.
    """

    shared: Shared
    deferred: dict[str, tuple[Node, int]] = field(default_factory=dict)  # value -> (node, output)
    absorbed: set[str] = field(default_factory=set)  # values that exist in another kernel alone
    ready: set[str] = field(default_factory=set)  # values of the nodes lowered so far

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
        self.drafts.append(Draft(self.shared.kernel(kernel), tuple(args), (x, y, z), origin))

    def nbytes(self, name: str) -> int:
        """Bytes of a value in the form that kernels store it in."""
        if name in self.temporaries or name in self.homes:
            return program.Program.nbytes(self, name)
        return words(n_elements(self.graph.values[name].shape) * self.storage(name).nbytes)

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


def per(size: Size, n: int) -> Count:
    """ceil(size / n) workgroups."""
    return count(size, n)
