"""What the browser's WebNN says of itself, and the questions that it is asked when it is opened."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import FormatError
from ...ops import OPS
from ...ops.base import REQUIRED, Op, Param

TARGET = "webnn"


@dataclass(frozen=True, slots=True)
class WebnnFacts:
    """One WebNN context.

    device_type  what was asked for: "cpu", "gpu" or "npu"
    browser      its user agent
    limits       opSupportLimits(): operator -> operand -> {dataTypes, rankRange: {min, max}}
    options      method -> the members of its options that the browser reads; None: no such method
    """

    device_type: str
    browser: str
    limits: Mapping[str, Any]
    options: Mapping[str, frozenset[str] | None]

    @property
    def target(self) -> str:
        """Which kind of plan it runs."""
        return TARGET

    @property
    def name(self) -> str:
        """For a person: "WebNN cpu in Chromium 147"."""
        return f"WebNN {self.device_type} in Chromium {self.chromium or 'unknown'}"

    @property
    def chromium(self) -> int:
        """The major version of Chromium and what is built on it; 0 in other browsers."""
        found = re.search(r"Chrome/(\d+)", self.browser)
        return int(found[1]) if found else 0

    def to_dict(self) -> dict[str, object]:
        """Plain data, as `from_dict` and the shim have it."""
        options = {name: m if m is None else sorted(m) for name, m in self.options.items()}
        return {"target": TARGET, "device_type": self.device_type, "browser": self.browser,
                "limits": dict(self.limits), "options": options}  # fmt: skip

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> WebnnFacts:
        """The facts that `to_dict` or the shim wrote. Raises FormatError where one is missing."""
        limits, options = data.get("limits"), data.get("options")
        if not isinstance(limits, Mapping) or not isinstance(options, Mapping):
            raise FormatError(
                "facts of WebNN", got=str(sorted(data)), need="limits and options among them"
            )
        return WebnnFacts(
            device_type=str(data.get("device_type", "cpu")),
            browser=str(data.get("browser", "")),
            limits=limits,
            options={n: None if m is None else frozenset(m) for n, m in options.items()},
        )


def probes() -> str:
    """For the shim's `open`: a call of each method with just what must be given (JSON).

    The arguments need the right types only: the browser reads the options before it looks closer.
    """
    return json.dumps([[op.name, _arguments(op)] for op in OPS.values() if op.spec])


def _arguments(op: Op) -> list[object]:
    operand = {"operand": 0}
    inputs = [[operand] if row.variadic else operand for row in op.inputs if not row.optional]
    return [*inputs, *(_example(param) for param in op.attrs if param.default == REQUIRED)]


def _example(param: Param) -> object:
    if param.kind == "dtype":
        return "float32"
    return [1] if param.kind in ("ints", "dims") else 1
