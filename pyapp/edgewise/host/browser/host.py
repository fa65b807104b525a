"""The host of a page's worker: devices, store, text over HTTP, tokenizer, clock."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from typing import Any

import js
from pyodide.ffi import JsException, can_run_sync, run_sync

from ...errors import DownloadError, NoDeviceError
from ..answers import cannot_wait, missing_object, refusal, unreachable
from ..base import Device, T, Target
from ..reference import reference_device
from .bridge import answer, error_of, plain
from .device import BrowserDevice, facts_of
from .http import fetch, lines_of
from .store import BrowserStore
from .tokenizer import BrowserTokenizer
from .window import Environment


class BrowserHost:
    """A page's worker. `shims` is the object that worker.js passes to the page's main()."""

    name = "browser"

    def __init__(self, shims: Any) -> None:
        self._shims = shims
        self.store = BrowserStore(shims)

    async def open_device(self, target: Target | None = None) -> Device:
        """The GPU that the browser offers, or what `target` names. Raises NoDeviceError."""
        if target == "reference":
            return reference_device(self._object)
        if target == "webnn":
            raise NoDeviceError("WebNN", got="no way to it yet", need="target 'webgpu'")
        opened = await answer(self._shims.webgpu.open())
        return BrowserDevice(
            self._shims.webgpu, self._shims.file, opened.handle, facts_of(opened.facts)
        )

    async def _object(self, hash: str) -> bytes:
        data = await answer(self._shims.store.get(hash))
        if data is None:
            raise missing_object(hash)
        return bytes(data.to_bytes())

    async def fetch_text(self, url: str) -> str:
        """A small document. Raises DownloadError."""
        response = await fetch(url, {})
        return str(await response.text())

    async def fetch_range(self, url: str, offset: int, nbytes: int) -> tuple[bytes, int]:
        """At most `nbytes` bytes from `offset`, and the file's size. Raises DownloadError."""
        header = f"bytes={offset}-{offset + nbytes - 1}"
        response = await fetch(url, {"headers": {"range": header}})
        total = str(response.headers.get("content-range") or "").rpartition("/")[2]
        if response.status != 206 or not total.isdigit():
            raise DownloadError(
                f"the beginning of {url}", got=f"HTTP {response.status} without its range",
                need=f"206 with content-range for {header}",
                fix="serve the file with Range support, and expose content-range across origins",
            )  # fmt: skip
        return (await response.arrayBuffer()).to_bytes(), int(total)

    async def stream_lines(
        self, url: str, body: Mapping[str, object], headers: Mapping[str, str]
    ) -> AsyncIterator[str]:
        """POST; the answer's lines as they arrive. Raises ServerError."""
        stop = js.AbortController.new()
        options = {
            "method": "POST",
            "headers": {"content-type": "application/json", **headers},
            "body": json.dumps(body),
            "signal": stop.signal,
        }
        try:
            response = await js.fetch(url, plain(options))
            if response.status != 200:
                raise refusal(url, int(response.status), str(await response.text()))
            async for line in lines_of(response.body.getReader()):
                yield line
        except JsException as error:
            raise unreachable(url, str(error.message)) from None
        finally:
            stop.abort()

    def tokenizer(self, tokenizer_json: str) -> BrowserTokenizer:
        """A tokenizer.json made usable. Raises FormatError."""
        return BrowserTokenizer(self._shims.tokenizer, tokenizer_json)

    def render(
        self, template: str, messages: Sequence[Mapping[str, str]], *, bos: str, eos: str
    ) -> str:
        """A chat template's prompt. Raises FormatError, InputError."""
        try:
            text = self._shims.tokenizer.render(template, json.dumps(list(messages)), bos, eos)
        except JsException as error:
            raise error_of(error) from None
        return str(text)

    def wait(self, work: Coroutine[Any, Any, T], instead: str) -> T:
        """Suspend the page's JavaScript until `work` is done, where the browser can (JSPI)."""
        if not can_run_sync():
            work.close()
            raise cannot_wait("a browser or a call without JSPI's stack switching", instead)
        result: T = run_sync(work)
        return result

    def clock(self) -> float:
        """Milliseconds since the worker started."""
        return float(js.performance.now())

    async def environment(self) -> Environment:
        """What the browser says of itself beyond its GPU."""
        return Environment(
            isolated=bool(js.crossOriginIsolated),
            cores=int(js.navigator.hardwareConcurrency),
            room=await self.store.estimate(),
            persistent=await self.store.persist(),
            timings=dict(self._shims.about.timings.to_py()),
        )
