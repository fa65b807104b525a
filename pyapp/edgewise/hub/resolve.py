"""Which model to use for a task: every way that an index has, ranked, with the reason of each.

Pure: the index, what is known of the machine and the caller's wishes go in. What is refused is
refused by the first rule that it breaks; what is accepted ranks

    1. by the caller's preferences,
    2. what is here already or built in, then what has to be fetched, then servers,
    3. the newest version of an entry before its older ones,
    4. by predicted quality, in steps that a reader notices,
    5. by predicted time,
    6. by bytes to fetch,
    7. by name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod

from ..errors import UnsupportedError
from .candidate import SERVER, Candidate, behind
from .index import Entry, Index, Server, Variant
from .language import check, lacking
from .machine import Machine
from .version import Specifier, parse
from .words import megabytes


@dataclass(frozen=True, slots=True)
class Choice:
    """A candidate, whether it can be used, and why it can or why it ranks where it does."""

    candidate: Candidate
    accepted: bool
    reason: str

    def __str__(self) -> str:
        return f"{self.candidate.name}: {self.reason}"


def resolve(
    task: str,
    *,
    index: Index,
    machine: Machine | None = None,
    languages: Sequence[str] = (),
    version: str = "",
    prefer: Sequence[str] = (),
    max_bytes: int | None = None,
    licences: Collection[str] | None = None,
    local: bool = False,
) -> tuple[Choice, ...]:
    """Every way to do `task`: first those that can be used, the best first.

    machine    what is known of this one; nothing unless given.
    languages  BCP 47 tags that the model must know; of a translation: from, to.
    version    a specifier, such as ">=1.3,<2"; pre-releases only where one is named.
    prefer     words, the most wanted first: an entry's or a variant's name, a format, a
               quantisation, an interface of the browser, "built-in", "weights" or "server".
    max_bytes  the most to be fetched.
    licences   SPDX identifiers that will do; what states no licence then will not.
    local      nothing may be sent to a server.

    Raises  InputError for a version that is no specifier, and for languages of a translation that
            are not two.
    """
    check(task, languages)
    query = _Query(
        index, machine or Machine(), tuple(languages), Specifier.parse(version), tuple(prefer),
        max_bytes, licences and {each.lower() for each in licences}, local,
    )  # fmt: skip
    entries = [entry for entry in index.entries if entry.task == task]
    return query.ranked([choice for entry in entries for choice in query.choices(entry)])


def best(task: str, choices: Sequence[Choice]) -> Candidate:
    """The first that can be used. Raises UnsupportedError, which says why none can."""
    for choice in choices:
        if choice.accepted:
            return choice.candidate
    raise UnsupportedError(
        f"no model for {task!r}",
        got="; ".join(map(str, choices)) or "an index without any",
        fix="ask for less, or add an index that has one",
    )


@dataclass(frozen=True, slots=True)
class _Query:
    """What is asked, and of what."""

    index: Index
    machine: Machine
    languages: tuple[str, ...]
    version: Specifier
    prefer: tuple[str, ...]
    max_bytes: int | None
    licences: Collection[str] | None
    local: bool

    def choices(self, entry: Entry) -> Iterator[Choice]:
        """What the entry offers, with why not where that is so."""
        for made in self.offers(entry):
            why = next(filter(None, (rule(made) for rule in self.rules)), None)
            yield Choice(self._preferred(made), why is None, why or "")

    def ranked(self, choices: Sequence[Choice]) -> tuple[Choice, ...]:
        """The accepted by rank, each with a reason; then the others, by name."""
        able = [choice.candidate for choice in choices if choice.accepted]
        aged = sorted((_aged(each, able) for each in able), key=lambda each: each.rank)
        before = (None, *aged)
        accepted = (
            Choice(each, True, f"{each.facts()}; {behind(last, each)}" if last else each.facts())
            for last, each in zip(before, aged, strict=False)
        )
        refused = (choice for choice in choices if not choice.accepted)
        return (*accepted, *sorted(refused, key=lambda choice: choice.candidate.name))

    def offers(self, entry: Entry) -> Iterator[Candidate]:
        """Each way to have the entry, as this machine would."""
        bases, lacks = self._bases(entry) if entry.base else ([None], None)
        for variant, base in _fitting(entry.variants, bases):
            why = lacks or (_OTHER_WEIGHTS if entry.base and base is None else None)
            made = Candidate(entry, variant, None, base=base, lacks=why)
            sizes = {p.manifest: p.nbytes for each in made.variants for p in each.parts}
            left = (self.machine.missing.get(url, nbytes) for url, nbytes in sizes.items())
            times = [self.machine.seconds(each) for each in made.variants]
            yield replace(
                made,
                download=sum(left),
                kept=prod(each.fidelity for each in made.variants),
                seconds=None if None in times else sum(filter(None, times)),
            )
        for server in entry.servers:
            yield Candidate(entry, server, 0)
        if entry.builtin:
            said = self.machine.builtins.get(entry.builtin, "unavailable")
            download = 0 if said == "available" else None
            yield Candidate(entry, entry.builtin, download, said)

    def _bases(self, entry: Entry) -> tuple[Sequence[Candidate | None], str | None]:
        """What an adapter can go on here; or nothing, and why."""
        asked = entry.base
        assert asked is not None, entry.title
        own = entry.languages or entry.pairs  # what an adapter adds, its base need not know
        among = replace(self, version=Specifier.parse(asked.version), prefer=(),
                        languages=() if own else self.languages)  # fmt: skip
        found = [each for each in self.index.entries if each.name == asked.name and not each.base]
        weights = [replace(each, servers=(), builtin=None) for each in found]
        choices = among.ranked([choice for each in weights for choice in among.choices(each)])
        able = [choice.candidate for choice in choices if choice.accepted]
        why = f": {choices[0]}" if choices else ", which no index has"
        return able or [None], None if able else f"it goes on {asked.name} {asked.version}{why}"

    @property
    def rules(self) -> tuple[Callable[[Candidate], str | None], ...]:
        """Each says why a candidate cannot be used, or None; the first that does is told."""
        return (
            self._language, self._version, self._licence, self._server, self._builtin,
            lambda made: made.lacks, self._needs, self._memory, self._bytes, self._room,
        )  # fmt: skip

    def _language(self, made: Candidate) -> str | None:
        entry = made.entry
        return lacking(entry.task, self.languages, entry.languages, entry.pairs)

    def _version(self, made: Candidate) -> str | None:
        stated = made.entry.version
        if stated is None:
            asked = self.version.text
            return f"it states no version, and {asked} is asked" if asked else None
        if self.version.allows(parse(stated)):
            return None
        if parse(stated).pre and not self.version.clauses:
            return "it is a pre-release, which has to be asked for by its version"
        return f"{stated} is not {self.version.text}"

    def _licence(self, made: Candidate) -> str | None:
        stated = made.entry.license
        if self.licences is None or (stated and stated.lower() in self.licences):
            return None
        will_do = " or ".join(sorted(self.licences))
        need = f"not {will_do}" if will_do else "and none will do"
        return f"its licence is {stated or 'not stated'}, {need}"

    def _server(self, made: Candidate) -> str | None:
        sends = self.local and made.where == SERVER
        return "nothing may be sent to a server" if sends else None

    def _builtin(self, made: Candidate) -> str | None:
        if made.available != "unavailable":
            return None
        wanted = "" if not self.languages else f" for {', '.join(self.languages)}"
        return f"this browser has no {made.offer}{wanted}"

    def _needs(self, made: Candidate) -> str | None:
        needs = {each for variant in made.variants for each in variant.needs}
        lacks = sorted(needs - self.machine.features)
        return f"it needs {', '.join(lacks)}, which this machine lacks" if lacks else None

    def _memory(self, made: Candidate) -> str | None:
        most = self.machine.memory
        if most is None or made.memory <= most:
            return None
        return f"it takes {megabytes(made.memory)} of memory, and there are {megabytes(most)}"

    def _bytes(self, made: Candidate) -> str | None:
        most = self.max_bytes
        if most is None or (made.download is not None and made.download <= most):
            return None
        if made.download is None:
            return f"how much its browser downloads is not known, and {megabytes(most)} is the most"
        return f"{megabytes(made.download)} to download is more than {megabytes(most)}"

    def _room(self, made: Candidate) -> str | None:
        room = self.machine.room
        if room is None or made.download is None or made.download <= room:
            return None
        return f"{megabytes(made.download)} to download, and there is room for {megabytes(room)}"

    def _preferred(self, made: Candidate) -> Candidate:
        words = _words(made)
        for place, word in enumerate(self.prefer):
            if word.lower() in words:
                return replace(made, preferred=(place, word))
        return made


_OTHER_WEIGHTS = "it was made for other weights than those of its base that can be used here"


def _fitting(
    variants: Sequence[Variant], bases: Sequence[Candidate | None]
) -> Iterator[tuple[Variant, Candidate | None]]:
    """Each variant with each base that it was made for, as far as is stated; None: with none."""
    for variant in variants:
        fitting = [base for base in bases if _fits(variant, base)]
        yield from product([variant], fitting or [None])


def _fits(variant: Variant, base: Candidate | None) -> bool:
    tensors = {each.tensors for each in base.variants} if base else {None}
    return None in (variant.base, *tensors) or variant.base in tensors


def _words(made: Candidate) -> set[str]:
    """What a caller may prefer it by, in lower case."""
    words = [made.entry.name]
    for variant in made.variants:
        words += ["weights", variant.name, variant.format, variant.quantisation or ""]
    if isinstance(made.offer, Server):
        words.append("server")
    elif not isinstance(made.offer, Variant):
        words += ["built-in", made.offer]
    return {word.lower() for word in words}


def _aged(made: Candidate, able: Sequence[Candidate]) -> Candidate:
    """With the number of newer versions, of its entry and of its base, that are as near."""
    own = made.entry.version
    alike = (each.entry for each in able if each.where == made.where)
    versions = {entry.version for entry in alike if entry.name == made.entry.name}
    newer = [v for v in versions if v and own and parse(v).key > parse(own).key]
    return replace(made, age=len(newer) + (made.base.age if made.base else 0))
