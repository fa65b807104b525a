"""The specification's Web IDL, tests/data/webnn.idl, as data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).parent.parent / "data" / "webnn.idl"


@dataclass(frozen=True)
class Field:
    """An argument of a method or a member of a dictionary. `default` is its text, if it has one."""

    name: str
    type: str
    default: str | None


@dataclass(frozen=True)
class Idl:
    """What a builder takes. methods: name -> what it returns, and its arguments."""

    methods: dict[str, tuple[str, list[Field]]]
    dictionaries: dict[str, tuple[str, dict[str, Field]]]
    enums: dict[str, list[str]]

    def options(self, dictionary: str) -> dict[str, Field]:
        """The members of a dictionary and of those that it inherits from, but for the label."""
        base, members = self.dictionaries[dictionary]
        inherited = self.options(base) if base else {}
        return {name: each for name, each in (inherited | members).items() if name != "label"}


def read() -> Idl:
    """Parse the file: of Web IDL's grammar, what is in it."""
    text = re.sub(r"//[^\n]*", "", FILE.read_text())
    text = re.sub(r"\[[A-Z][^\]]*\]\s*", "", text)  # extended attributes
    methods: dict[str, tuple[str, list[Field]]] = {}
    for body in re.findall(r"interface MLGraphBuilder \{(.*?)\n\};", text, re.S):
        for returns, name, arguments in re.findall(r"([\w<>]+)\s+(\w+)\(((?:[^()]|\([^()]*\))*)\);",
                                                   body):  # fmt: skip
            methods[name] = (returns, [_field(each) for each in _commas(arguments)])
    dictionaries = {
        name: (base, {field.name: field for field in map(_field, body.split(";")[:-1])})
        for name, base, body in re.findall(
            r"\bdictionary (\w+)(?: : (\w+))? \{(.*?)\n\};", text, re.S)
    }  # fmt: skip
    enums = {
        name: re.findall(r'"([^"]*)"', body)
        for name, body in re.findall(r"\benum (\w+) \{(.*?)\n\};", text, re.S)
    }
    return Idl(methods, dictionaries, enums)


def _commas(arguments: str) -> list[str]:
    return [each for each in re.split(r",(?![^<(]*[>)])", arguments) if each.strip()]


def _field(text: str) -> Field:
    declared, _, default = (part.strip() for part in text.partition("="))
    *type, name = declared.split()
    return Field(name, " ".join(type).removeprefix("optional "), default or None)
