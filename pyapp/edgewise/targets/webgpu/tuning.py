"""How kernels are shaped for a device: measured choices, in one place with their reasons."""

from __future__ import annotations

from dataclasses import dataclass

from ..device import DeviceFacts


@dataclass(frozen=True, slots=True)
class Matvec:
    """`lanes` threads share `rows` rows; `threads` in a workgroup; how lanes add up."""

    lanes: int
    rows: int
    threads: int
    subgroups: bool


def matvec(facts: DeviceFacts, features: frozenset[str], rows: int, units: int) -> Matvec:
    """A matrix of `rows` rows, each `units` vectors of codes, times one vector."""
    if facts.fallback:
        # On a CPU a barrier costs more than the loop that it saves.
        return Matvec(lanes=1, rows=2, threads=32, subgroups=False)
    lanes = 1 << (max(min(units, 32), 1).bit_length() - 1)
    subgroups = "subgroups" in features and lanes <= facts.subgroup_min
    # Few rows a thread keep all cores busy; a vocabulary has enough rows for more reuse of x.
    return Matvec(lanes, rows=4 if rows >= 16384 else 2, threads=64, subgroups=subgroups)


def matmul_rows(rows: int) -> int:
    """Rows of x each of the 16 thread rows takes (2 or 4): small products want more workgroups."""
    return 4 if rows > 1024 else 2
