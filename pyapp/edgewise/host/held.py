"""Weights that several plans of one file use, each on its device once.

Think of a reference count that knows its owner: the first user counts a weight's bytes as its own,
and when it closes, the next one does. The twin of shims/held.js.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class _Weight(Generic[T]):
    data: T
    nbytes: int
    users: list[Held[T]]


class Held(Generic[T]):
    """The weights of one loaded plan, by the names that the plan gives them."""

    def __init__(self) -> None:
        self._weights: dict[str, _Weight[T]] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of what no plan that was loaded earlier holds as well."""
        return sum(each.nbytes for each in self._weights.values() if each.users[0] is self)

    def __getitem__(self, name: str) -> T:
        return self._weights[name].data

    def share(self, name: str, nbytes: int, others: Iterable[Self]) -> bool:
        """Use what one of `others` has under this name, if it has that many bytes."""
        for other in others:
            found = other._weights.get(name)
            if found is not None and found.nbytes == nbytes:
                found.users.append(self)
                self._weights[name] = found
                return True
        return False

    def add(self, name: str, nbytes: int, data: T) -> None:
        """Hold what nobody held before."""
        self._weights[name] = _Weight(data, nbytes, [self])

    def close(self) -> list[T]:
        """Let all go; what nobody else uses."""
        unused = []
        for each in self._weights.values():
            each.users = [user for user in each.users if user is not self]
            if not each.users:
                unused.append(each.data)
        self._weights.clear()
        return unused
