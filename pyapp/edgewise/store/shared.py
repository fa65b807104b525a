"""How much of one model somebody has already who has another one, or a whole store."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from .manifest import Manifest
from .runs import missing, wanted


@dataclass(frozen=True, slots=True)
class Shared:
    """Bytes of a model's objects, and how many of them are there."""

    nbytes: int
    shared_nbytes: int


def shared(manifest: Manifest, there: Container[str]) -> Shared:
    """What a download of a packed model finds where the objects `there` are."""
    indices = wanted(manifest)
    total = sum(manifest.segments[index].nbytes for index in indices)
    absent = sum(manifest.segments[index].nbytes for index in missing(manifest, indices, there))
    return Shared(total, total - absent)
