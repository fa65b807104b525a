"""Semantic versions, and which of them a specifier such as ">=1.3,<2" allows.

Pure. Specifiers are read as Python's packages read theirs, over the versions of semver.org.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import InputError

_NUMBER = r"(?:0|[1-9][0-9]*)"
_PRE = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
VERSION = rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-{_PRE})?(?:\+{_PRE})?"

_VERSION = re.compile(rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-({_PRE}))?(?:\+{_PRE})?")
_CLAUSE = re.compile(
    rf"\s*(==|!=|<=|>=|<|>|~=)\s*({_NUMBER}(?:\.{_NUMBER}){{0,2}})(?:-({_PRE})|(\.\*))?\s*"
)
Key = tuple[tuple[int, ...], tuple[tuple[int, int, str], ...]]
_ORDERED: dict[str, Callable[[Key, Key], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<=": operator.le, ">=": operator.ge,
    "<": operator.lt, ">": operator.gt,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Version:
    """1.4.0-rc.1 -> release (1, 4, 0), pre ("rc", "1"). What follows a "+" counts for nothing."""

    release: tuple[int, ...]
    pre: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """Sorts as semver.org, section 11, says: a pre-release before its release."""
        if not self.pre:
            return self.release, ((2, 0, ""),)
        parts = ((0, int(each), "") if each.isdigit() else (1, 0, each) for each in self.pre)
        return self.release, tuple(parts)


def parse(text: str) -> Version:
    """The version in `text`. Raises InputError."""
    found = _VERSION.fullmatch(text)
    if found is None:
        raise InputError(
            "version", got=repr(text), need="MAJOR.MINOR.PATCH, as 1.4.0 or 1.4.0-rc.1"
        )
    *release, pre = found.groups()
    return Version(tuple(map(int, release)), tuple(pre.split(".")) if pre else ())


@dataclass(frozen=True, slots=True)
class Clause:
    """One comparison. given: the numbers that it names; wild: it ends with ".*"."""

    relation: str
    given: tuple[int, ...]
    pre: tuple[str, ...]
    wild: bool

    def allows(self, version: Version) -> bool:
        """Whether `version` satisfies it; pre-releases are `Specifier`'s."""
        if self.wild:
            return self._begins(version, len(self.given)) is (self.relation == "==")
        own = Version((*self.given, 0, 0)[:3], self.pre)
        if self.relation == "~=":
            return version.key >= own.key and self._begins(version, len(self.given) - 1)
        if self.relation == "<" and version.pre and not self.pre and version.release == own.release:
            return False  # <2 does not mean 2.0.0-rc.1
        return _ORDERED[self.relation](version.key, own.key)

    def _begins(self, version: Version, count: int) -> bool:
        return version.release[:count] == self.given[:count]


@dataclass(frozen=True, slots=True)
class Specifier:
    """Comparisons that all must hold; none of them: every version but pre-releases."""

    text: str
    clauses: tuple[Clause, ...]

    @staticmethod
    def parse(text: str) -> Specifier:
        """ ">=1.3,<2", "~=1.4", "==1.3.*", "!=1.3.5". Raises InputError."""
        return Specifier(text, tuple(map(_clause, text.split(","))) if text.strip() else ())

    def allows(self, version: Version) -> bool:
        """Whether all hold. A pre-release must be named by one of them to be meant at all."""
        if version.pre and not any(clause.pre for clause in self.clauses):
            return False
        return all(clause.allows(version) for clause in self.clauses)


def _clause(text: str) -> Clause:
    found = _CLAUSE.fullmatch(text)
    if found is not None:
        relation, numbers, pre, wild = found.groups()
        given = tuple(map(int, numbers.split(".")))
        short = len(given) < 3 if pre else len(given) < 2 and relation == "~="
        if not short and (not wild or (relation in ("==", "!=") and len(given) < 3)):
            return Clause(relation, given, tuple(pre.split(".")) if pre else (), bool(wild))
    raise InputError(
        "version specifier", got=repr(text.strip()),
        need="comparisons with commas between them, as >=1.3,<2 or ~=1.4 or ==1.3.*",
    )  # fmt: skip
