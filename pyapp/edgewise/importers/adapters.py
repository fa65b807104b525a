"""What an importer is told of adapters: for each matrix, tensors that hold those of all of them.

The tensors of several adapters for one matrix lie one after the other as if they were one; which
adapter counts, and how much, is an input of the graph. Must not import NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

WEIGHTS = "adapters"  # the graph's input: a weight for each adapter


@dataclass(frozen=True, slots=True)
class Stack:
    """What adapters add to one matrix [N, K]; see the operator `lowRank`.

    down, up  names of the tensors [R, K] and [R · N]
    ranks     rows of each adapter, 0 for one that leaves this matrix alone
    scales    what each adapter's product is multiplied with
    """

    down: str
    up: str
    ranks: tuple[int, ...]
    scales: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Adapters:
    """`count` adapters; the matrices that they add to, by name."""

    count: int = 0
    stacks: Mapping[str, Stack] = field(default_factory=dict)

    @property
    def tensors(self) -> frozenset[str]:
        """Names of the tensors that belong to adapters."""
        return frozenset(name for each in self.stacks.values() for name in (each.down, each.up))


NONE = Adapters()
