"""The browser's own models through `shims/builtin.js`, which the page's window serves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import js
from pyodide.ffi import create_proxy, to_js

from ..builtins import AVAILABILITIES, Availability, Interface, Prompt
from .bridge import answer, plain

#: The method of each interface that does its work; `stream` adds "Streaming" to it.
METHODS: Mapping[Interface, str] = {
    "LanguageModel": "prompt",
    "Translator": "translate",
    "Summarizer": "summarize",
    "LanguageDetector": "detect",
}


class BrowserBuiltins:
    """`host.builtins.Builtins`; `shim` is shims/builtin_port.js."""

    def __init__(self, shim: Any) -> None:
        self._shim = shim

    async def availability(
        self, interface: Interface, options: Mapping[str, object]
    ) -> Availability:
        """What the browser says of it."""
        said = str(await answer(self._shim.availability(interface, plain(options))))
        return next((each for each in AVAILABILITIES if each == said), "unavailable")

    async def open(
        self,
        interface: Interface,
        options: Mapping[str, object],
        on_progress: Callable[[float], None] = lambda share: None,
    ) -> BrowserBuiltin:
        """Have the browser get it ready."""
        handle = await _asked(self._shim.create, interface, plain(options), hear=on_progress)
        return BrowserBuiltin(self._shim, handle, METHODS[interface])


class BrowserBuiltin:
    """One that was opened; `handle` is the shim's."""

    def __init__(self, shim: Any, handle: int, method: str) -> None:
        self._shim, self._handle, self._method = shim, handle, method

    async def run(self, given: Prompt) -> str:
        """The whole answer."""
        return str(await _asked(self._shim.call, self._handle, self._method, _given(given)))

    async def stream(self, given: Prompt) -> AsyncIterator[str]:
        """The answer, piece by piece."""
        pieces: asyncio.Queue[str | None] = asyncio.Queue()
        method = f"{self._method}Streaming"
        running = asyncio.ensure_future(
            _asked(self._shim.stream, self._handle, method, _given(given), hear=pieces.put_nowait)
        )
        running.add_done_callback(lambda _: pieces.put_nowait(None))
        try:
            while (piece := await pieces.get()) is not None:
                yield piece
            await running
        finally:
            if not running.done():
                running.cancel()
                await asyncio.wait([running])

    async def detect(self, text: str) -> list[tuple[str | None, float]]:
        """Likely languages, the likeliest first."""
        found = (await _asked(self._shim.call, self._handle, self._method, text)).to_py()
        return [
            (None if language in (None, "und") else str(language), float(confidence))
            for language, confidence in ((e["detectedLanguage"], e["confidence"]) for e in found)
        ]

    async def close(self) -> None:
        """Destroy it."""
        await answer(self._shim.destroy(self._handle))


def _given(given: Prompt) -> Any:
    if isinstance(given, str):
        return given
    return to_js([dict(each) for each in given], dict_converter=js.Object.fromEntries)


async def _asked(
    ask: Callable[..., Any], *args: object, hear: Callable[[Any], None] = lambda said: None
) -> Any:
    """What a function of the shim gives; when this is cancelled, so is the browser's work."""
    stop, heard = js.AbortController.new(), create_proxy(hear)
    try:
        return await answer(ask(*args, plain({"signal": stop.signal, "hear": heard})))
    finally:
        stop.abort()
        heard.destroy()
