"""Why this browser's WebNN does not take an operator as it stands, or None.

The browser's own word (`opSupportLimits`, the options that it reads) and what it takes but gets
wrong (guards.py) are one question here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from ...dims import evaluate
from ...dtypes import DType
from ...ops.base import REQUIRED, Type, Value
from .facts import WebnnFacts
from .guards import GUARDS, Use

#: One option under two names: the specification renamed it, browsers follow one by one.
SPELLINGS = {"outputShapeRounding": "roundingType", "roundingType": "outputShapeRounding"}


def refusal(facts: WebnnFacts, use: Use) -> str | None:
    """Why the browser does not take `use`, or None."""
    if not use.op.spec or facts.options.get(use.op.name) is None:
        return "no operator of this WebNN"
    return _types(facts, use) or _options(facts, use) or _guarded(facts, use)


def _guarded(facts: WebnnFacts, use: Use) -> str | None:
    for guard in GUARDS:
        if guard.op == use.op.name and guard.browsers(facts) and guard.applies(use):
            return guard.reason
    return None


def constant_refusal(facts: WebnnFacts, value: Value) -> str | None:
    """Why the browser does not take a constant of this type, or None."""
    sizes = [evaluate(dim, {}) for dim in value.shape]
    return _tensor(value.dtype, sizes, facts.operators.get("constant"), facts)


def spelled(facts: WebnnFacts, method: str, name: str) -> str | None:
    """The name under which this browser reads the option `name`, or None."""
    members = facts.options.get(method) or frozenset()
    known = [each for each in (name, SPELLINGS.get(name)) if each in members]
    return known[0] if known else None


def _types(facts: WebnnFacts, use: Use) -> str | None:
    limits = facts.operators.get(use.op.name, {})
    for name, (dtype, shape) in _operands(use, limits):
        sizes = [evaluate(dim, {}) for dim in shape]
        reason = _tensor(dtype, sizes, limits.get(name), facts)
        if reason:
            return f"{name} {reason}"
    return None


def _operands(use: Use, limits: Mapping[str, object]) -> list[tuple[str, Type]]:
    """Inputs and outputs with the names that opSupportLimits gives them."""
    rows, variadic = use.op.inputs, use.op.inputs[0].variadic
    found = [
        (rows[0 if variadic else index].name, (value.dtype, value.shape))
        for index, value in enumerate(use.inputs)
        if value is not None
    ]
    names = ["output"]
    if use.op.several:
        # split has `outputs`, the recurrent ones output0, output1, …
        one = "outputs" in limits
        names = ["outputs" if one else f"output{index}" for index in range(len(use.outputs))]
    return [*found, *zip(names, use.outputs, strict=True)]


def _tensor(dtype: DType, shape: Sequence[int], limits: Any, facts: WebnnFacts) -> str | None:
    """What is wrong with a tensor of this type, or None. Without limits, any type will do."""
    if 0 in shape:
        return f"has no elements: {list(shape)}"
    nbytes, most = dtype.nbytes(prod(shape)), facts.limits.get("maxTensorByteLength")
    if most is not None and nbytes > most:
        return f"has {nbytes} bytes, not at most {most}"
    if limits is None:
        return None
    if dtype not in limits["dataTypes"]:
        return f"is {dtype}, not one of {', '.join(limits['dataTypes'])}"
    rank = limits["rankRange"]
    if not rank["min"] <= len(shape) <= rank["max"]:
        return f"has rank {len(shape)}, not {rank['min']} to {rank['max']}"
    return None


def _options(facts: WebnnFacts, use: Use) -> str | None:
    """An option with a meaning that the browser would ignore."""
    inputs = zip(use.op.inputs, use.inputs, strict=False)
    given = [row.name for row, value in inputs if row.optional and value is not None]
    for param in use.op.attrs:
        if param.default != REQUIRED and use.attrs.get(param.name) not in (None, param.default):
            given.append(param.name)
    unread = [name for name in given if spelled(facts, use.op.name, name) is None]
    return f"option {unread[0]} is not read by this browser" if unread else None
