"""Static memory: every intermediate tensor gets an arena and an offset before anything runs.

A tensor lives from the step that first writes it to the step that last reads it. Two tensors
whose lives overlap never share bytes. WebGPU also forbids one dispatch to bind a buffer both for
reading and for writing, so what a step reads and what it writes lie in different arenas.
Sizes are the bounds of symbolic shapes, so the peak is known before the first dispatch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

ALIGNMENT = 256  # minStorageBufferOffsetAlignment's default limit


@dataclass(frozen=True, slots=True)
class Life:
    """One tensor: its name, size in bytes, and first and last step (inclusive)."""

    name: str
    nbytes: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a tensor lies: the arena's number and the byte offset in it."""

    arena: int
    offset: int


@dataclass(frozen=True, slots=True)
class Memory:
    """Placements by tensor name, each arena's bytes, and the largest sum of live bytes."""

    placements: Mapping[str, Placement]
    arenas: tuple[int, ...]
    peak_live: int


def aligned(nbytes: int) -> int:
    """`nbytes` rounded up to the binding alignment; nothing is smaller than one unit."""
    return max(-(-nbytes // ALIGNMENT), 1) * ALIGNMENT


def plan_memory(lives: Sequence[Life], conflicts: Iterable[tuple[str, str]]) -> Memory:
    """Place every life; pairs in `conflicts` go to different arenas.

    Largest first, each at the lowest free offset of its arena (best known greedy order for
    such interval packing: Pisarchyk & Lee 2020, arXiv:2001.03288, "greedy by size").
    """
    colour = _colour(lives, conflicts)
    placed: dict[str, Placement] = {}
    by_arena: dict[int, list[tuple[Life, int]]] = {}
    for life in sorted(lives, key=lambda life: (-life.nbytes, life.first, life.name)):
        neighbours = by_arena.setdefault(colour[life.name], [])
        offset = _lowest_gap(life, neighbours)
        neighbours.append((life, offset))
        placed[life.name] = Placement(colour[life.name], offset)
    arenas = tuple(
        max((offset + aligned(life.nbytes) for life, offset in by_arena[arena]), default=0)
        for arena in sorted(by_arena)
    )
    return Memory(placed, arenas, _peak(lives))


def _colour(lives: Sequence[Life], conflicts: Iterable[tuple[str, str]]) -> dict[str, int]:
    """The lowest arena number that no conflicting, already coloured tensor has."""
    against: dict[str, set[str]] = {life.name: set() for life in lives}
    for a, b in conflicts:
        if a in against and b in against and a != b:
            against[a].add(b)
            against[b].add(a)
    colour: dict[str, int] = {}
    for life in sorted(lives, key=lambda life: (life.first, life.name)):
        taken = {colour[other] for other in against[life.name] if other in colour}
        colour[life.name] = next(n for n in range(len(lives) + 1) if n not in taken)
    return colour


def _lowest_gap(life: Life, neighbours: Sequence[tuple[Life, int]]) -> int:
    overlapping = sorted(
        (offset, offset + aligned(other.nbytes))
        for other, offset in neighbours
        if other.first <= life.last and life.first <= other.last
    )
    at = 0
    for start, end in overlapping:
        if start - at >= aligned(life.nbytes):
            break
        at = max(at, end)
    return at


def _peak(lives: Sequence[Life]) -> int:
    changes: dict[int, int] = {}
    for life in lives:
        changes[life.first] = changes.get(life.first, 0) + aligned(life.nbytes)
        changes[life.last + 1] = changes.get(life.last + 1, 0) - aligned(life.nbytes)
    peak = live = 0
    for step in sorted(changes):
        live += changes[step]
        peak = max(peak, live)
    return peak
