"""Symbolic dimensions: integers that are known only when a program runs.

A `Dim` is an int or an `Expr`, an affine sum such as `past + seq` or `3*seq + 1` over `Symbol`s
that have an upper bound. Memory is planned at the bound; shapes and dispatch sizes are evaluated
with the bindings of one run. Affine is enough: what is not (a ceiling division for a dispatch)
is made by the target from an affine dimension.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .errors import ShapeError


@dataclass(frozen=True, slots=True)
class Expr:
    """A sum `constant + Σ factor·symbol`, with `factor != 0` and symbols in sorted order.

    `bounds` holds the largest value of each symbol; its smallest is 0.
    """

    terms: tuple[tuple[str, int], ...]
    constant: int
    bounds: tuple[tuple[str, int], ...]

    def __add__(self, other: Dim) -> Dim:
        return _combine(self, other, 1)

    __radd__ = __add__

    def __sub__(self, other: Dim) -> Dim:
        return _combine(self, other, -1)

    def __rsub__(self, other: int) -> Dim:
        return _combine(self * -1, other, 1)

    def __mul__(self, factor: int) -> Dim:
        terms = {name: value * factor for name, value in self.terms}
        return _make(terms, self.constant * factor, dict(self.bounds))

    __rmul__ = __mul__

    def __str__(self) -> str:
        parts = [f"{factor}*{name}" if factor != 1 else name for name, factor in self.terms]
        if self.constant or not parts:
            parts.append(str(self.constant))
        return "+".join(parts).replace("+-", "-")


Dim = int | Expr


def symbol(name: str, bound: int) -> Expr:
    """A dimension called `name`, at most `bound`. Raises ShapeError for a bad name or bound."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or bound < 0:
        raise ShapeError(f"symbol {name!r}", got=f"bound {bound}",
                         need="a lower-case word and a bound of at least 0")  # fmt: skip
    return Expr(((name, 1),), 0, ((name, bound),))


def _make(terms: Mapping[str, int], constant: int, bounds: Mapping[str, int]) -> Dim:
    kept = tuple(sorted((name, factor) for name, factor in terms.items() if factor))
    if not kept:
        return constant
    return Expr(kept, constant, tuple((name, bounds[name]) for name, _ in kept))


def _combine(a: Expr | Dim, b: Dim, sign: int) -> Dim:
    terms: dict[str, int] = {}
    bounds: dict[str, int] = {}
    constant = 0
    for dim, factor in ((a, 1), (b, sign)):
        if isinstance(dim, int):
            constant += factor * dim
            continue
        constant += factor * dim.constant
        for name, value in dim.terms:
            terms[name] = terms.get(name, 0) + factor * value
        for name, bound in dim.bounds:
            if bounds.setdefault(name, bound) != bound:
                raise ShapeError(f"symbol {name!r}", got=f"bounds {bounds[name]} and {bound}",
                                 need="one bound in one graph")  # fmt: skip
    return _make(terms, constant, bounds)


def bound(dim: Dim) -> int:
    """The largest value that `dim` can take."""
    if isinstance(dim, int):
        return dim
    bounds = dict(dim.bounds)
    return dim.constant + sum(max(factor, 0) * bounds[name] for name, factor in dim.terms)


def evaluate(dim: Dim, bindings: Mapping[str, int]) -> int:
    """The value of `dim` under `bindings`. Raises ShapeError for a symbol without a value."""
    if isinstance(dim, int):
        return dim
    missing = [name for name, _ in dim.terms if name not in bindings]
    if missing:
        raise ShapeError(f"dimension {dim}", got=f"values for {sorted(bindings)}",
                         need=f"a value for {missing}")  # fmt: skip
    return dim.constant + sum(factor * bindings[name] for name, factor in dim.terms)


def substitute(dim: Dim, bindings: Mapping[str, int]) -> Dim:
    """`dim` with the symbols in `bindings` replaced by their values."""
    if isinstance(dim, int):
        return dim
    fixed = sum(factor * bindings[name] for name, factor in dim.terms if name in bindings)
    rest = {name: factor for name, factor in dim.terms if name not in bindings}
    return _make(rest, dim.constant + fixed, dict(dim.bounds))


def product(dims: tuple[Dim, ...]) -> Dim:
    """The number of elements of a shape with at most one symbolic dimension that is not 1."""
    total: Dim = 1
    for dim in dims:
        if isinstance(total, int):
            total = dim * total
        elif isinstance(dim, int):
            total = total * dim
        else:
            raise ShapeError("number of elements", got=f"shape {dims}",
                             need="at most one symbolic dimension")  # fmt: skip
    return total


def parse(text: str, bounds: Mapping[str, int]) -> Dim:
    """The inverse of `str(dim)`: `3*seq+past-1`. Raises ShapeError at what it cannot read."""
    total: Dim = 0
    rest = text
    while rest:
        match = re.match(r"([+-]?)(?:(-?\d+)\*)?(?:([a-z][a-z0-9_]*)|(\d+))", rest)
        if match is None:
            raise ShapeError(f"dimension {text!r}", got=repr(rest), need="a sum such as 'past+seq'")
        sign, factor, name, number = match.groups()
        if name is not None and name not in bounds:
            raise ShapeError(f"dimension {text!r}", got=f"symbol {name!r}",
                             need=f"one of {sorted(bounds)}")  # fmt: skip
        term: Dim = int(number) if name is None else symbol(name, bounds[name])
        total = total + term * (int(factor or 1) * (-1 if sign == "-" else 1))
        rest = rest[match.end() :]
    return total
