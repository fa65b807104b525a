"""Reading JSON that someone else wrote: every access checks, every complaint names its place."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import cast

from ..errors import FormatError

_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Kind:
    """What a document is called, and what to do about one that is wrong."""

    name: str
    fix: str


MANIFEST = Kind("manifest", "write it again with `edgewise pack`")


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a document and the path to it, such as `$.segments[3][1]`."""

    data: object
    path: str = "$"
    kind: Kind = MANIFEST

    def wrong(self, need: str) -> FormatError:
        got = repr(self.data)
        return FormatError(
            f"{self.kind.name} does not hold what it must",
            got=got if len(got) <= 60 else f"{got[:57]}...",
            need=need,
            where=self.path,
            fix=self.kind.fix,
        )

    def field(self, key: str) -> Value:
        """The member `key`; a missing one is read as null."""
        return self._at(self.mapping().get(key), f".{key}")

    def _at(self, data: object, step: str) -> Value:
        return Value(data, self.path + step, self.kind)

    def mapping(self) -> dict[str, object]:
        if not isinstance(self.data, dict):
            raise self.wrong("an object")
        return self.data

    def members(self) -> list[tuple[str, Value]]:
        return [(key, self._at(item, f".{key}")) for key, item in self.mapping().items()]

    def items(self, count: int | None = None, most: int | None = None) -> list[Value]:
        if not isinstance(self.data, list) or count not in (None, len(self.data)):
            raise self.wrong("an array" if count is None else f"an array of {count}")
        if most is not None and len(self.data) > most:
            raise self.wrong(f"an array of at most {most}")
        return [self._at(item, f"[{i}]") for i, item in enumerate(self.data)]

    def text(self) -> str:
        if not isinstance(self.data, str) or not self.data:
            raise self.wrong("a string")
        return self.data

    def text_or_none(self) -> str | None:
        return None if self.data is None else self.text()

    def integer(self, low: int = 0, high: int = 2**53 - 1) -> int:
        """A whole number from low to high; 2**53 - 1 is the last that JavaScript keeps."""
        if type(self.data) is not int or not low <= self.data <= high:
            raise self.wrong(f"a whole number from {low} to {high}")
        return self.data

    def share(self) -> float:
        """A number from 0 to 1."""
        if type(self.data) not in (int, float) or not 0 <= cast("float", self.data) <= 1:
            raise self.wrong("a number from 0 to 1")
        return float(cast("float", self.data))

    def matching(self, pattern: str, need: str) -> str:
        """A string that all of `pattern` fits; `need` says so in words."""
        if not isinstance(self.data, str) or not re.fullmatch(pattern, self.data):
            raise self.wrong(need)
        return self.data

    def sha256(self) -> str:
        if not isinstance(self.data, str) or not _HASH.fullmatch(self.data):
            raise self.wrong("64 lower-case hexadecimal digits")
        return self.data

    def sha256_or_none(self) -> str | None:
        return None if self.data is None else self.sha256()


def parse(text: str, kind: Kind = MANIFEST) -> Value:
    """The document's root. Raises FormatError where it is no JSON."""
    try:
        return Value(json.loads(text), kind=kind)
    except (ValueError, RecursionError) as error:
        raise FormatError(
            f"{kind.name} is no JSON",
            got=str(error),
            need="a JSON object",
            where="$",
            fix=kind.fix,
        ) from None
