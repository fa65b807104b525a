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
from ..device import DeviceFacts

TARGET = "webnn"


@dataclass(frozen=True, slots=True)
class WebnnFacts(DeviceFacts):
    """One WebNN context, and what is there for what it does not take.

    device_type  what was asked for: "cpu", "gpu" or "npu"
    browser      its user agent
    operators    opSupportLimits(): operator -> operand -> {dataTypes, rankRange: {min, max}}
    options      method -> the members of its options that the browser reads; None: no such method
    rest         other devices of this machine, the preferred one first
    """

    device_type: str
    browser: str
    operators: Mapping[str, Any]
    options: Mapping[str, frozenset[str] | None]
    rest: tuple[DeviceFacts, ...] = ()

    @property
    def chromium(self) -> int:
        """The major version of Chromium and what is built on it; 0 in other browsers."""
        return _chromium(self.browser)

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> WebnnFacts:
        """The facts that the shim wrote. Raises FormatError where one is missing."""
        operators, options = data.get("operators"), data.get("options")
        if not isinstance(operators, Mapping) or not isinstance(options, Mapping):
            raise FormatError(
                "facts of WebNN", got=str(sorted(data)), need="operators and options among them"
            )
        device_type, browser = str(data.get("device_type", "cpu")), str(data.get("browser", ""))
        most = operators.get("maxTensorByteLength")
        version = _chromium(browser)
        return WebnnFacts(
            target=TARGET,
            name=f"WebNN {device_type} of {f'Chromium {version}' if version else 'a browser'}",
            features=frozenset(name for name, members in options.items() if members is not None),
            limits={} if most is None else {"maxTensorByteLength": int(most)},
            subgroup_min=0,
            subgroup_max=0,
            fallback=False,
            device_type=device_type,
            browser=browser,
            operators=operators,
            options={n: None if m is None else frozenset(m) for n, m in options.items()},
        )


def _chromium(browser: str) -> int:
    found = re.search(r"Chrome/(\d+)", browser)
    return int(found[1]) if found else 0


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
