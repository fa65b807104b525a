"""The page that a worker belongs to, and what the browser says of itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyodide.ffi import create_proxy

from ...store.base import Estimate


@dataclass(frozen=True, slots=True)
class Environment:
    """What a page can count on; `timings` are the worker's boot phases in milliseconds."""

    isolated: bool
    cores: int
    room: Estimate
    persistent: bool
    timings: Mapping[str, float]


class Window:
    """The page that this worker belongs to: view updates go out, events come in."""

    def __init__(self, shims: Any) -> None:
        self._page = shims.page
        self.address = str(shims.about.base)
        self.default_model = str(shims.about.model)

    def post(self, updates: Sequence[Sequence[object]]) -> None:
        """Have the page apply these updates at once (see shims/page.js)."""
        self._page.post(json.dumps(updates))

    def listen(self, on_event: Callable[[dict[str, Any]], None]) -> None:
        """Call `on_event` for each event from now on, and for those that waited."""
        # lives as long as the worker: the page may send at any time
        self._page.listen(create_proxy(lambda event: on_event(json.loads(event))))
