"""The WGSL expressions of element-wise rows, read into trees for a target without WGSL.

Of the language it knows what rows use: numbers, the row's inputs and attributes in braces, calls,
arithmetic, comparisons and logic. What functions are called is left to whoever walks the tree; the
type at the end of their names (`max_{T}`, `log_f32`) is taken away.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Name:
    """An input or an attribute."""

    name: str


@dataclass(frozen=True, slots=True)
class Number:
    """A literal, of the type of what it meets."""

    value: float


@dataclass(frozen=True, slots=True)
class Call:
    """A function or an operator, by its function's name (`a + b` is add)."""

    name: str
    args: tuple[Tree, ...]


Tree: TypeAlias = Name | Number | Call

TOKEN = re.compile(r"\s*(?:\{(\w+)\}|(\d+(?:\.\d+)?)[uif]?|(\w+)|(&&|\|\||[=!<>]=|[-+*/<>!(),]))")
#: From the weakest: what stands between two operands, and the function that it is.
LEVELS: tuple[dict[str, str], ...] = (
    {"||": "or"}, {"&&": "and"},
    {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"},
    {"+": "add", "-": "sub"}, {"*": "mul", "/": "div"},
)  # fmt: skip
PREFIXES = {"-": "neg", "!": "not"}


@cache
def parse(text: str) -> Tree:
    """The tree of an expression such as `select({input}, {T}(0), is_negative_{T}({input}))`."""
    plain = text.replace("_{T}", "").replace("{T}", "T")
    reader = _Reader(re.sub(r"_(?:f32|i32|u32)\b", "", plain))
    tree = reader.binary(0)
    assert reader.symbol() == "", f"not an expression of rows {text=}"
    return tree


class _Reader:
    """What is left of a text."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text.strip(), 0

    def symbol(self) -> str:
        """The operator or bracket that comes next, or nothing."""
        match = TOKEN.match(self.text, self.at)
        return "" if match is None else match[4] or ""

    def take(self) -> tuple[str | None, ...]:
        match = TOKEN.match(self.text, self.at)
        assert match is not None, f"cannot read {self.text[self.at :]!r}"
        self.at = match.end()
        return match.groups()

    def binary(self, level: int) -> Tree:
        if level == len(LEVELS):
            return self.unary()
        left = self.binary(level + 1)
        while self.symbol() in LEVELS[level]:
            name = LEVELS[level][self.take()[3] or ""]
            left = Call(name, (left, self.binary(level + 1)))
        return left

    def unary(self) -> Tree:
        if self.symbol() in PREFIXES:
            name = PREFIXES[self.take()[3] or ""]
            inner = self.unary()
            return Number(-inner.value) if isinstance(inner, Number) else Call(name, (inner,))
        given, number, function, bracket = self.take()
        if given is not None:
            return Name(given)
        if number is not None:
            return Number(float(number))
        if function is not None:
            self.take()  # its bracket
            args = [self.binary(0)]
            while self.take()[3] == ",":
                args.append(self.binary(0))
            return Call(function, tuple(args))
        assert bracket == "(", f"cannot read {bracket!r} in {self.text!r}"
        inner = self.binary(0)
        self.take()
        return inner
