"""From a task to the ways to do it here: read the indices, look at the machine, rank."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ..host.base import Host
from ..hub.candidate import Candidate
from ..hub.merge import Conflict
from ..hub.resolve import Choice, best, resolve
from ..hub.sources import load_index
from .look import look


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found: `choices` as of `resolve`; `conflicts` between the indices."""

    task: str
    choices: tuple[Choice, ...]
    conflicts: tuple[Conflict, ...]

    @property
    def best(self) -> Candidate:
        """The first that can be used. Raises UnsupportedError, which says why none can."""
        return best(self.task, self.choices)


async def find(
    host: Host,
    task: str,
    indices: Sequence[str],
    *,
    languages: Sequence[str] = (),
    version: str = "",
    prefer: Sequence[str] = (),
    max_bytes: int | None = None,
    licences: Collection[str] | None = None,
    local: bool = False,
) -> Finding:
    """Every way to do `task` on this machine, the best first, and why; downloads nothing.

    indices  addresses; of several the first is believed. The rest as of `hub.resolve.resolve`.

    Raises DownloadError and FormatError of an index, and InputError as `resolve`.
    """
    index, conflicts = await load_index(host, indices)
    machine = await look(host, index, task, languages)
    choices = resolve(
        task, index=index, machine=machine, languages=languages, version=version, prefer=prefer,
        max_bytes=max_bytes, licences=licences, local=local,
    )  # fmt: skip
    return Finding(task, choices, conflicts)
