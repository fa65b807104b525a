"""The page that a worker belongs to, and what the browser says of itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyodide.ffi import JsException, create_proxy

from ...errors import HostError
from ...store.base import Estimate


@dataclass(frozen=True, slots=True)
class Environment:
    """What a page can count on; `timings` are the worker's boot phases in milliseconds."""

    isolated: bool
    cores: int
    room: Estimate
    persistent: bool
    timings: Mapping[str, float]


class PageFile:
    """A file that a person gave to the page; nothing of it is read before `read`."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.name, self.nbytes = str(file.name), int(file.size)

    async def read(self) -> bytes:
        """All of it. Raises HostError for a folder, or a file that changed or went away."""
        try:
            data: bytes = (await self._file.arrayBuffer()).to_bytes()
        except JsException as error:
            raise HostError("the file cannot be read", got=str(error.message), need="a file",
                            where=self.name, fix="choose it again; a folder's files one by one",
                            ) from None  # fmt: skip
        return data


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
        """Call `on_event` for each event from now on, and for those that waited.

        `files` of an event has a PageFile for each file that came with it.
        """

        def hear(event: str, files: Any) -> None:
            on_event({**json.loads(event), "files": [PageFile(file) for file in files]})

        # lives as long as the worker: the page may send at any time
        self._page.listen(create_proxy(hear))
