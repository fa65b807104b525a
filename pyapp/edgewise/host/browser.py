"""The host of a page's worker: Pyodide over the shims.

The shims do the work on bytes and devices; this turns their plain data into Edgewise's types and
their errors into Edgewise's classes. Weight bytes never enter Python: a device gets a JavaScript
function that reads them from the store. Each proxy made here is destroyed where it was made.
This is the only file that imports `js` and `pyodide`.
"""

from __future__ import annotations

import asyncio
import codecs
import json
from array import array
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Container,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, replace
from itertools import compress, groupby
from typing import Any

import js
from pyodide.ffi import JsException, create_proxy, jsnull, to_js

from ..errors import DownloadError, EdgewiseError, NoDeviceError, from_dict
from ..store.base import Estimate, Run, RunResult
from ..targets.device import DeviceFacts
from .answers import refusal, unreachable
from .base import GenerateRequest, WeightFile


def error_of(error: Any) -> EdgewiseError:
    """The Edgewise error behind one that a shim threw (worker.js put its fields into JSON)."""
    fields = getattr(error, "fields", None)
    if not isinstance(fields, str):
        return from_dict({"code": str(error.name), "what": str(error.message)})
    return from_dict(json.loads(fields))


async def _answer(promise: Awaitable[Any]) -> Any:
    """What a shim's promise gives; null and undefined are None."""
    try:
        value = await promise
    except JsException as error:
        raise error_of(error) from None
    return None if value is jsnull else value


def _object(data: Mapping[str, object]) -> Any:
    return to_js(data, dict_converter=js.Object.fromEntries)


class BrowserHost:
    """A page's worker. `shims` is the object that worker.js passes to the page's main()."""

    name = "browser"

    def __init__(self, shims: Any) -> None:
        self._shims = shims
        self.store = BrowserStore(shims)

    async def open_device(self) -> BrowserDevice:
        """The GPU that the browser offers. Raises NoDeviceError."""
        opened = await _answer(self._shims.webgpu.open())
        if opened is None:
            raise NoDeviceError("no WebGPU device", fix="use a browser with WebGPU")
        return BrowserDevice(self._shims, opened.handle, _facts(opened.facts))

    async def fetch_text(self, url: str) -> str:
        """A small document. Raises DownloadError."""
        response = await _fetch(url, {})
        return str(await response.text())

    async def fetch_range(self, url: str, offset: int, nbytes: int) -> tuple[bytes, int]:
        """At most `nbytes` bytes from `offset`, and the file's size. Raises DownloadError."""
        header = f"bytes={offset}-{offset + nbytes - 1}"
        response = await _fetch(url, {"headers": {"range": header}})
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
            response = await js.fetch(url, _object(options))
            if response.status != 200:
                raise refusal(url, int(response.status), str(await response.text()))
            async for line in _lines(response.body.getReader()):
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


class BrowserStore:
    """Cache Storage through shims/store.js: `store.base.ObjectStore`."""

    def __init__(self, shims: Any) -> None:
        self._store, self._prefetch = shims.store, shims.prefetch

    async def has(self, hashes: Sequence[str]) -> list[bool]:
        """Which objects are there."""
        return list(await _answer(self._store.has(to_js(list(hashes)))))

    async def list(self) -> Sequence[str]:
        """The hashes of all objects."""
        return tuple(await _answer(self._store.list()))

    async def remove(self, hash: str) -> bool:
        """Deletes an object; False when it was not there."""
        return bool(await _answer(self._store.remove(hash)))

    async def fetch_run(
        self, run: Run, *, on_bytes: Callable[[int], None], etag: str | None = None
    ) -> RunResult:
        """Fetches what the worker's prefetch does not bring. Errors are in the result."""
        stop = js.AbortController.new()
        arrived = create_proxy(on_bytes)
        options = _object({"signal": stop.signal, "onBytes": arrived, "etag": etag or jsnull})
        try:
            await _answer(
                self._prefetch.wait(run.url, run.offset, run.nbytes, arrived, stop.signal)
            )
            result = RunResult(())
            stored = await self.has(_hashes(run))
            for part, there in _parts(run, set(compress(_hashes(run), stored))):
                got = RunResult(_hashes(part)) if there else await self._fetch(part, options)
                result = replace(got, done=result.done + got.done)
                if result.error is not None:
                    break
            return result
        finally:
            stop.abort()
            arrived.destroy()

    async def _fetch(self, run: Run, options: Any) -> RunResult:
        segments = to_js([[s.hash or jsnull, s.nbytes] for s in run.segments])
        return _run_result(
            await _answer(self._store.fetchRun(run.url, run.offset, segments, options))
        )

    async def get_text(self, name: str) -> str | None:
        """A small document, verified."""
        text = await _answer(self._store.getText(name))
        return None if text is None else str(text)

    async def put_text(self, name: str, text: str) -> None:
        """Stores or replaces a document. Raises QuotaError."""
        await _answer(self._store.putText(name, text))

    async def remove_text(self, name: str) -> bool:
        """Deletes a document; False when it was not there."""
        return bool(await _answer(self._store.removeText(name)))

    async def estimate(self) -> Estimate:
        """How much room there is."""
        found = await _answer(self._store.estimate())
        return Estimate(_int_or_none(found.usage), _int_or_none(found.quota))

    async def persist(self) -> bool:
        """Whether the browser keeps the store under pressure."""
        return bool(await _answer(self._store.persist()))


class BrowserTokenizer:
    """@huggingface/tokenizers through shims/tokenizer.js."""

    def __init__(self, shim: Any, tokenizer_json: str) -> None:
        self._shim = shim
        try:
            self._handle = shim.load(tokenizer_json)
        except JsException as error:
            raise error_of(error) from None

    def encode(self, text: str) -> list[int]:
        """The ids of `text`; special tokens in it are recognised, none is added."""
        return list(self._shim.encode(self._handle, text).to_py())

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`, special tokens left out."""
        return str(self._shim.decode(self._handle, to_js(array("i", ids))))

    def close(self) -> None:
        """Free its tables."""
        self._shim.close(self._handle)


class BrowserDevice:
    """A GPUDevice behind shims/webgpu.js."""

    def __init__(self, shims: Any, handle: int, facts: DeviceFacts) -> None:
        self._shims, self._handle, self.facts = shims, handle, facts

    async def load(
        self, plan: str, weights: WeightFile, on_progress: Callable[[int, int], None]
    ) -> BrowserExecutable:
        """Make a plan runnable. Raises StoreError, HostError."""
        segments = json.dumps([[s.hash, s.nbytes] for s in weights.segments])
        made = json.loads(plan)
        on_progress(0, sum(nbytes for _, _, nbytes, _ in made["weights"]))  # kernels come first
        progress = create_proxy(on_progress)
        try:
            handle = await _answer(self._shims.webgpu.load(
                self._handle, plan, self._shims.file.reader(segments), progress
            ))  # fmt: skip
        finally:
            progress.destroy()
        nbytes = sum(nbytes for _, kind, nbytes in made["buffers"] if kind != "staging")
        return BrowserExecutable(self._shims.webgpu, handle, nbytes)

    async def close(self) -> None:
        """Give the device back."""
        await _answer(self._shims.webgpu.close(self._handle))


class BrowserExecutable:
    """A loaded plan behind shims/webgpu.js."""

    def __init__(self, webgpu: Any, handle: int, nbytes: int) -> None:
        self._webgpu, self._handle, self.nbytes = webgpu, handle, nbytes

    async def write(self, name: str, data: bytes) -> None:
        """Set an input or a state."""
        await _answer(self._webgpu.write(self._handle, name, to_js(data)))

    async def read(self, name: str) -> bytes:
        """The bytes of an output or a state."""
        return bytes((await _answer(self._webgpu.read(self._handle, name))).to_bytes())

    async def clear(self, name: str) -> None:
        """Zero a state."""
        await _answer(self._webgpu.clear(self._handle, name))

    async def run(self, program: str, bindings: Mapping[str, int]) -> None:
        """Run one program."""
        await _answer(self._webgpu.run(self._handle, program, _object(bindings)))

    async def generate(self, request: GenerateRequest) -> AsyncIterator[list[int]]:
        """Read and decode in the shim; yields batches of new ids."""
        batches: asyncio.Queue[list[int] | None] = asyncio.Queue()
        on_tokens = create_proxy(lambda ids: batches.put_nowait(ids.to_py().tolist()))
        options = _object({
            "tokens": to_js(array("i", request.tokens)),
            "past": request.past,
            "maxNewTokens": request.max_new_tokens,
            "stopIds": to_js(sorted(request.stop_ids)),
            "uniforms": to_js(array("f", request.uniforms)),
            "batch": request.batch,
            "inFlight": request.in_flight,
        })  # fmt: skip
        running = asyncio.ensure_future(
            _answer(self._webgpu.generate(self._handle, options, on_tokens))
        )
        running.add_done_callback(lambda _: batches.put_nowait(None))
        try:
            while (batch := await batches.get()) is not None:
                yield batch
            await running
        finally:
            if not running.done():
                self.cancel()
                await asyncio.wait([running])
            on_tokens.destroy()

    def cancel(self) -> None:
        """The running `generate` ends after the steps in flight."""
        self._webgpu.cancel(self._handle)

    async def close(self) -> None:
        """Free the device memory."""
        await _answer(self._webgpu.close(self._handle))


def _facts(facts: Any) -> DeviceFacts:
    return DeviceFacts.from_dict(json.loads(js.JSON.stringify(facts)))


def _parts(run: Run, stored: Container[str | None]) -> Iterator[tuple[Run, bool]]:
    """The run cut where stored and missing segments meet, and which of both each part is."""
    offset = run.offset
    for there, group in groupby(run.segments, lambda segment: segment.hash in stored):
        part = Run(run.url, offset, tuple(group))
        yield part, there
        offset += part.nbytes


def _hashes(run: Run) -> tuple[str, ...]:
    return tuple(segment.hash for segment in run.segments if segment.hash)


def _run_result(result: Any) -> RunResult:
    data = json.loads(js.JSON.stringify(result))
    error = data.get("error")
    return RunResult(tuple(data["done"]), from_dict(error) if error else None, data["retry"],
                     data["ranged"], data["etag"])  # fmt: skip


def _int_or_none(value: Any) -> int | None:
    return None if value is None or value is jsnull else int(value)


async def _fetch(url: str, options: Mapping[str, object]) -> Any:
    what = f"download of {url}"
    fix = "check the address, the network, and that the server allows this page's origin"
    try:
        response = await js.fetch(url, _object(options))
    except JsException as error:
        raise DownloadError(what, got=str(error.message), need="an answer", fix=fix) from None
    if not response.ok:
        raise DownloadError(what, got=f"HTTP {response.status}", need="200 or 206", fix=fix)
    return response


async def _lines(reader: Any) -> AsyncIterator[str]:
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    rest = ""
    while not (step := await reader.read()).done:
        *lines, rest = (rest + decode(step.value.to_bytes())).split("\n")
        for line in lines:
            yield line.removesuffix("\r")
    if rest:
        yield rest
