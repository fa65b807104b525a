"""Where weights lie on a device, and the uploads that bring them there, whatever the target.

Plans of one file share buffers: the name of a "weights" buffer says what is in it, to the byte.
A large weight has a buffer of its own; small ones are pooled, in the order of their use. What the
graph itself holds lies in "constants" buffers, which belong to one plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Protocol

from ..errors import PlanError
from ..graph.graph import Constant
from ..plan.arena import aligned
from ..plan.plan import Binding, Weight
from .program import Shared

UPLOAD_BYTES = 16 << 20
CONSTANTS_BYTES = 256 << 20  # a buffer of the graph's constants, unless one alone is larger
SMALL_BYTES = 64 << 10  # weights up to this size are pooled
POOL_BYTES = 1 << 20


class Tensor(Protocol):
    """A tensor of the model file."""

    @property
    def type(self) -> str: ...
    @property
    def offset(self) -> int: ...
    @property
    def nbytes(self) -> int: ...


@dataclass(slots=True)
class _Pool:
    """Buffers that are filled one after the other. `keys`: what is in the last one."""

    kind: str
    capacity: int
    made: int = 0
    used: int = 0
    keys: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Places:
    """Places for all weights of a plan, and what brings them there.

    inline  bytes that the plan itself holds
    """

    shared: Shared
    tensors: Mapping[str, Tensor]
    uploads: list[Weight] = field(default_factory=list)
    inline: list[tuple[Binding, bytes]] = field(default_factory=list)
    small: _Pool = field(default_factory=lambda: _Pool("weights", POOL_BYTES))
    constants: _Pool = field(default_factory=lambda: _Pool("constants", CONSTANTS_BYTES))

    def tensor(self, name: str) -> Tensor:
        """Where a tensor lies. Raises PlanError."""
        if name not in self.tensors:
            raise PlanError(
                f"weight '{name}'",
                got="no such tensor in the file",
                need="every constant of the graph in the manifest",
            )
        return self.tensors[name]

    def finish(self) -> tuple[Weight, ...]:
        """All uploads in the file's order, once the last weight has its place."""
        self._name_pool()
        return tuple(sorted(self.uploads, key=lambda upload: upload.start))

    def place(self, nbytes: int, key: str | None) -> Binding:
        """A range for `nbytes` bytes; `key` says what they are, None that they are the graph's."""
        size = aligned(nbytes)
        limit = self.shared.facts.limits["maxBufferSize"]
        if size > limit:
            raise PlanError("weights", got=f"{nbytes} bytes in one part", need=f"at most {limit}")
        if key is not None and size > SMALL_BYTES:
            buffer = self.shared.buffer(f"weights: {key}", "weights", size)
            return Binding(buffer, 0, -(-nbytes // 4) * 4)
        pool = self.constants if key is None else self.small
        if not pool.made or pool.used + size > min(pool.capacity, limit):
            self._name_pool()  # it is full
            pool.made, pool.used, pool.keys = pool.made + 1, 0, []
        buffer = self.shared.buffer(f"{pool.kind} {pool.made}", pool.kind, pool.used + size)
        place = Binding(buffer, pool.used, -(-nbytes // 4) * 4)
        pool.used += size
        pool.keys.append(f"{size} {key}")
        return place

    def _name_pool(self) -> None:
        """Call the last pool of weights by what is in it, so that another plan's is the same."""
        if self.small.made:
            index = self.shared.named[f"{self.small.kind} {self.small.made}"]
            digest = sha256("\n".join(self.small.keys).encode()).hexdigest()
            buffer = self.shared.buffers[index]
            self.shared.buffers[index] = replace(buffer, name=f"weights: pool {digest}")


def name_of(constant: Constant) -> str:
    """The tensor of the file that a constant is of, or its own name."""
    return constant.source.tensor if constant.source else constant.value.name


def key_of(constant: Constant, form: str) -> str | None:
    """What tells a weight of the file from all others; None for what the graph holds."""
    return None if constant.source is None else f"{form} {name_of(constant)}"
