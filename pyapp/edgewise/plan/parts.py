"""A plan in parts for several targets: run in order, values handed on by name.

    {"format": "edgewise-parts/1", "target": …, "inputs": [name, …], "outputs": {public: value},
     "parts": [{"target": …, "plan": the part's own plan as text, "inputs": [value, …],
                "outputs": {value: bytes}}, …]}

A part's plan calls its inputs and outputs by the values' names. An output of the whole may be one
of its inputs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import FormatError

FORMAT = "edgewise-parts/1"


@dataclass(frozen=True, slots=True)
class PartPlan:
    """One part: what runs it, its plan's text, and the values that it takes and gives.

    outputs  value -> its bytes; a device may give more, up to its buffer's end
    """

    target: str
    plan: str
    inputs: tuple[str, ...]
    outputs: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PartsPlan:
    """All parts in order. `target` is the one that was asked for."""

    target: str
    inputs: tuple[str, ...]
    outputs: Mapping[str, str]
    parts: tuple[PartPlan, ...]

    def to_json(self) -> str:
        """One line of JSON."""
        parts = [
            {
                "target": p.target,
                "plan": p.plan,
                "inputs": p.inputs,
                "outputs": dict(p.outputs),
            }
            for p in self.parts
        ]
        return json.dumps({
            "format": FORMAT, "target": self.target, "inputs": self.inputs,
            "outputs": dict(self.outputs), "parts": parts,
        })  # fmt: skip

    @staticmethod
    def from_json(text: str) -> PartsPlan:
        """The inverse of `to_json`. Raises FormatError."""
        data = json.loads(text)
        if data.get("format") != FORMAT:
            raise FormatError("a plan in parts", got=repr(data.get("format")), need=FORMAT)
        parts = tuple(
            PartPlan(each["target"], each["plan"], tuple(each["inputs"]), each["outputs"])
            for each in data["parts"]
        )
        return PartsPlan(data["target"], tuple(data["inputs"]), data["outputs"], parts)
