"""The host of a page's worker: devices, store, text over HTTP, tokenizer, clock."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from typing import Any
from urllib.parse import urljoin

import js
from pyodide.ffi import JsException, can_run_sync, run_sync

from ...errors import DownloadError, NoDeviceError
from ...store.base import Segment
from ...store.huggingface import Head
from ...store.progress import Progress
from ...targets.device import DeviceFacts
from ...targets.webnn.facts import WebnnFacts, probes
from ..answers import cannot_wait, missing_object, refusal, unreachable
from ..base import Device, T, Target, WeightFile
from ..best import best_device
from ..packages import load
from ..parts import PartsDevice
from ..reference import reference_device
from ..segments import SegmentReader, digest
from .bridge import answer, error_of, plain
from .builtins import BrowserBuiltins
from .device import BrowserDevice, facts_of
from .http import fetch, head, lines_of
from .share import ladder
from .store import BrowserStore
from .tokenizer import BrowserTokenizer
from .window import Environment


class BrowserHost:
    """A page's worker. `shims` is the object that worker.js passes to the page's main()."""

    name = "browser"

    def __init__(self, shims: Any) -> None:
        self._shims = shims
        self.store = BrowserStore(shims)
        self.builtins = BrowserBuiltins(shims.builtin)
        self.ladder = ladder(shims)

    async def open_device(self, target: Target | None = None) -> Device:
        """The best device (`best_device`), or the one for `target`. Raises NoDeviceError."""
        if target is None:
            return await best_device(self.open_device)
        if target == "reference":
            return reference_device(self._object)
        if target == "webnn":
            return await self._open_webnn()
        return await self._open(self._shims.wasm if target == "wasm" else self._shims.webgpu)

    async def _open(self, shim: Any) -> BrowserDevice:
        opened = await answer(shim.open())
        facts = DeviceFacts.from_dict(facts_of(opened.facts))
        return BrowserDevice(shim, self._shims.file, opened.handle, facts)

    async def _open_webnn(self) -> PartsDevice:
        """WebNN, helped by a GPU, else by the reference, else by a GPU in software."""
        opened = await answer(self._shims.webnn.open("gpu", probes()))
        others: list[Device] = []
        with suppress(NoDeviceError):
            others.append(await self._open(self._shims.webgpu))
        with suppress(NoDeviceError):
            others.append(reference_device(self._object))
        others.sort(key=lambda device: (device.facts.fallback, device.facts.target))
        facts = replace(WebnnFacts.from_dict(facts_of(opened.facts)),
                        rest=tuple(device.facts for device in others))  # fmt: skip
        native = BrowserDevice(self._shims.webnn, self._shims.file, opened.handle, facts)
        return PartsDevice(facts, [native, *others])

    async def _object(self, hash: str) -> bytes:
        data = await self.store.read(hash)
        if data is None:
            raise missing_object(hash)
        return data

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

    async def digest(self, pieces: Sequence[str | bytes]) -> str:
        """The SHA-256 of bytes and objects in order. Raises StoreError."""
        return await digest(pieces, self._object)

    async def fetch_head(self, url: str) -> Head:
        """The last answer after redirects, whatever the status. Raises DownloadError."""
        return await head(url)

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

    async def load_package(
        self, name: str, on_progress: Callable[[Progress], None] | None = None
    ) -> None:
        """Fetch a package's wheels into the store, those that build.json lists under its name.

        Raises HostError, StoreError; the next call tries again.
        """
        if find_spec(name) is None:
            base = str(self._shims.about.base)
            build = await self.fetch_text(urljoin(base, "build.json"))
            await load(name, build, base, self.store, self._stored, on_progress)

    async def _stored(self, segments: Sequence[Segment]) -> bytes:
        reader = SegmentReader(self._object, WeightFile(tuple(segments)))
        nbytes = sum(segment.nbytes for segment in segments)
        return b"".join([piece async for piece in reader.range(0, nbytes)])

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
