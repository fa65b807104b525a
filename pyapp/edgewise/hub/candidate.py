"""One way to do a task: what it is, what it takes, where it ranks. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from ..host.builtins import Availability, Interface
from .index import Entry, Server, Variant
from .words import megabytes, seconds

#: Qualities nearer to each other than this are the same to whoever reads the answers.
QUALITY_STEP = 0.05
HERE, ELSEWHERE, SERVER = range(3)


@dataclass(frozen=True, slots=True)
class Candidate:
    """What an entry offers, on this machine.

    offer      a variant of weights, a server, or an interface of the browser.
    base       of an adapter: what it goes on; download, quality and seconds are of both.
    download   bytes to fetch; None where the browser fetches and does not say how many.
    kept       how much of the published weights it has.
    seconds    predicted time of a typical answer; None: not known.
    preferred  place of the first of the caller's preferences that it fulfils, and that word.
    lacks      why there is nothing for an adapter to go on.
    age        how many newer versions could do it too, as near as this one.
    """

    entry: Entry
    offer: Variant | Server | Interface
    download: int | None
    available: Availability | None = None
    base: Candidate | None = None
    lacks: str | None = None
    kept: float = 1.0
    seconds: float | None = None
    preferred: tuple[int, str] | None = None
    age: int = 0

    @property
    def name(self) -> str:
        """Which it is, for people: "smollm2-135m-instruct 1.0.0 q4_1"."""
        if isinstance(self.offer, Variant):
            on = f" on {self.base.name}" if self.base else ""
            return f"{self.entry.title} {self.offer.name}{on}"
        if isinstance(self.offer, Server):
            return f"{self.entry.title} at {self.offer.url}"
        return f"{self.entry.title} ({self.offer})"

    @property
    def variants(self) -> tuple[Variant, ...]:
        """The weights that it takes: an adapter's after those of what it goes on."""
        own = (self.offer,) if isinstance(self.offer, Variant) else ()
        return (*self.base.variants, *own) if self.base else own

    @property
    def manifests(self) -> tuple[str, ...]:
        """Addresses of what has to be opened, each once."""
        parts = (part for variant in self.variants for part in variant.parts)
        return tuple(dict.fromkeys(part.manifest for part in parts))

    @property
    def quality(self) -> float | None:
        """Predicted: the entry's, by what is kept of it; None: not known."""
        return None if self.entry.quality is None else self.entry.quality * self.kept

    @property
    def nbytes(self) -> int:
        """Weights that it takes, here or not; what variants share counts once."""
        sizes = {p.manifest: p.nbytes for variant in self.variants for p in variant.parts}
        return sum(sizes.values())

    @property
    def memory(self) -> int:
        """Bytes on the device."""
        return sum(variant.memory for variant in self.variants)

    @property
    def where(self) -> int:
        """HERE: nothing has to be fetched. ELSEWHERE: something has. SERVER: it is not here."""
        if isinstance(self.offer, Server):
            return SERVER
        return HERE if self.download == 0 else ELSEWHERE

    @property
    def rank(self) -> tuple[float, int, int, int, float, float, str]:
        """Less is better; `behind` says why, by the first that differs.

        Qualities that are not known come after those that are, by what is kept of them.
        """
        quality = self.quality
        return (
            self.preferred[0] if self.preferred else inf,
            self.where,
            self.age,
            _steps(1) + 1 - _steps(self.kept) if quality is None else -_steps(quality),
            inf if self.seconds is None else self.seconds,
            inf if self.download is None else self.download,
            self.name,
        )

    def facts(self) -> str:
        """What is known of it, as a part of a sentence."""
        told = [self._source()]
        if self.preferred:
            told.insert(0, f"preferred as {self.preferred[1]!r}")
        if self.quality is not None:
            told.append(f"quality {self.quality:.2f}")
        if self.seconds is not None:
            told.append(f"an answer in about {seconds(self.seconds)}")
        return ", ".join(told)

    def _source(self) -> str:
        if isinstance(self.offer, Server):
            return "a server, which gets what is asked"
        if not isinstance(self.offer, Variant):
            ready = self.available == "available"
            return "built into this browser" + ("" if ready else ", which has to download it first")
        if not self.download:
            return "everything is here"
        if self.download == self.nbytes:
            return f"{megabytes(self.download)} to download"
        return f"{megabytes(self.download)} of {megabytes(self.nbytes)} to download"


def _steps(quality: float) -> int:
    return round(quality / QUALITY_STEP)


_OUTDATED = "of which there are fewer newer versions"


def behind(better: Candidate, other: Candidate) -> str:
    """Why `other` ranks after `better`: the first of the rules that tells them apart."""
    pairs = zip(better.rank, other.rank, strict=True)
    rule = next((index for index, (a, b) in enumerate(pairs) if a != b), -1)
    why = (
        lambda: f"which is preferred as {better.preferred and better.preferred[1]!r}",
        lambda: "which is here already" if better.where == HERE else "which runs on this machine",
        lambda: "which is newer" if better.entry.name == other.entry.name else _OUTDATED,
        lambda: _better(better, other),
        lambda: _than("which is faster", better.seconds, other.seconds, seconds),
        lambda: _than("which is less to download", better.download, other.download, megabytes),
        lambda: "which comes first by its name, all else being equal",
    )[rule]()
    return f"after {better.name}, {why}"


def _better(better: Candidate, other: Candidate) -> str:
    shown = "{:.2f}".format
    if better.quality is None:
        return _than("which keeps more of its weights", better.kept, other.kept, shown)
    return _than("of better quality", better.quality, other.quality, shown)


def _than(
    better: str, one: float | None, other: float | None, shown: Callable[[float], str]
) -> str:
    """ "which is faster (2.1 s against 3.4 s)"."""
    first, second = ("not known" if each is None else shown(each) for each in (one, other))
    return f"{better} ({first} against {second})"
