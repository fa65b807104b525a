"""A plan for the browser's own WebNN: the calls that build its graph. JSON for shims/webnn.js.

    inputs     [id, name, dtype, shape]
    constants  [id, dtype, shape, from, form]: from is base64, or [start, nbytes] in the model's
               file; form is "plain", or "bf16" for bytes to be widened to float32
    calls      [method, arguments, options, ids of the results]
    outputs    [name, id]

In arguments and options, {"operand": id} is an operand, {"number": "-Infinity"} what JSON has no
literal for, {"bigint": "9223372036854775807"} an integer that no double holds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TypeAlias

from .facts import TARGET

FORMAT = "edgewise-webnn/1"

Shape: TypeAlias = tuple[int, ...]
Input: TypeAlias = tuple[int, str, str, Shape]
Constant: TypeAlias = tuple[int, str, Shape, str | tuple[int, int], str]
Call: TypeAlias = tuple[str, list[object], dict[str, object], list[int]]


@dataclass(frozen=True, slots=True)
class WebnnPlan:
    """One MLGraph. `nbytes`: its constants, inputs and outputs; the rest is WebNN's affair."""

    name: str
    inputs: tuple[Input, ...]
    constants: tuple[Constant, ...]
    calls: tuple[Call, ...]
    outputs: tuple[tuple[str, int], ...]
    nbytes: int

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps({
            "format": FORMAT, "target": TARGET, "name": self.name, "inputs": self.inputs,
            "constants": self.constants, "calls": self.calls, "outputs": self.outputs,
            "nbytes": self.nbytes,
        })  # fmt: skip
