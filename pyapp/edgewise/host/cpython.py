"""The host of a CPython process: native WebGPU, Wasm, a folder as store, files and sockets.

What is heavy (wgpu, tokenizers, httpx) is imported when it is first used, so that `edgewise
--help` is quick and a server without a GPU driver still starts.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DownloadError, FormatError, NoDeviceError
from ..store.huggingface import Head
from ..store.progress import Progress
from ..store.share import Ladder, Own
from .answers import cannot_wait, lacking, missing_object, refusal, unreachable
from .base import Device, T, Target
from .best import best_device
from .builtins import NoBuiltins
from .files import FileStore, is_remote, local_path, read_range
from .segments import digest
from .template import render

if TYPE_CHECKING:
    import ssl

    import httpx

# A queued request hears nothing until its turn, and a first token on a CPU takes seconds.
TIMEOUT_CONNECT_S, TIMEOUT_READ_S = 10.0, 600.0
MOST_REDIRECTS = 5


def default_store() -> Path:
    """`EDGEWISE_STORE`, or a folder in the user's cache."""
    named = os.environ.get("EDGEWISE_STORE")
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(cache) / "edgewise"


class CPythonTokenizer:
    """The `tokenizers` package behind the host's protocol."""

    def __init__(self, tokenizer_json: str) -> None:
        from tokenizers import Tokenizer

        try:
            self._inner = Tokenizer.from_str(tokenizer_json)
        except Exception as error:  # noqa: BLE001  the package raises bare Exception
            raise FormatError("not a tokenizer.json", got=str(error)) from None
        self._inner.no_truncation()  # a file may ask for either, for one use of its model
        self._inner.no_padding()

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        """Ids of `text`, whole; special tokens in it are read as such, others added if asked."""
        return list(self._inner.encode(text, add_special_tokens=add_special_tokens).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids` without special tokens; bytes that are no character become U+FFFD."""
        return str(self._inner.decode(list(ids), skip_special_tokens=True))


async def _own() -> Own:
    return Own("This machine's own store")


class CPythonHost:
    """See the module. `store` defaults to the user's own (`default_store`)."""

    name = "cpython"
    builtins = NoBuiltins()

    def __init__(self, store: Path | None = None) -> None:
        self.store = FileStore(store or default_store())
        self.ladder = Ladder((), _own)

    async def open_device(self, target: Target | None = None) -> Device:
        """The best device (`best_device`), or the one for `target`, or NoDeviceError."""
        if target is None:
            return await best_device(self.open_device)
        if target == "webnn":
            raise NoDeviceError("WebNN", got="CPython", need="a browser that has it",
                                fix="choose target 'webgpu', 'wasm' or 'reference'")  # fmt: skip
        if target == "reference":
            from .reference import reference_device

            return reference_device(self._object)
        if target == "wasm":
            from .wasm import WasmDevice

            return WasmDevice(self._object)
        from .native import NativeDevice

        return NativeDevice(self._object)

    async def _object(self, hash: str) -> bytes:
        data = await asyncio.to_thread(self.store.get, hash)
        if data is None:
            raise missing_object(hash)
        return data

    async def fetch_text(self, url: str) -> str:
        """The text behind an http(s) or file URL, or a path. Raises DownloadError."""
        if is_remote(url):
            return (await _get(url, {})).text
        try:
            return local_path(url).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DownloadError("the file cannot be read", got=str(error), where=url) from None

    async def fetch_range(self, url: str, offset: int, nbytes: int) -> tuple[bytes, int]:
        """At most `nbytes` of a file from `offset` on, and its whole size. Raises DownloadError."""
        if is_remote(url):
            return await _get_range(url, offset, nbytes)
        try:
            return read_range(url, offset, nbytes)
        except OSError as error:
            raise DownloadError("the file cannot be read", got=str(error), where=url) from None

    async def digest(self, pieces: Sequence[str | bytes]) -> str:
        """The SHA-256 of bytes and objects in order. Raises StoreError."""
        return await digest(pieces, self._object)

    async def fetch_head(self, url: str) -> Head:
        """See `Host.fetch_head`; the answer that names the content, or the last one."""
        import httpx

        try:
            async with httpx.AsyncClient(timeout=TIMEOUT_CONNECT_S * 3, verify=_tls()) as client:
                response = await client.head(url, headers={"accept-encoding": "identity"})
                for _ in range(MOST_REDIRECTS):
                    if not response.has_redirect_location or "x-linked-etag" in response.headers:
                        break
                    target = response.url.join(response.headers["location"])
                    response = await client.head(target)
                return Head(str(response.url), response.status_code, dict(response.headers))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise DownloadError(
                "the server does not answer", got=str(error) or type(error).__name__, where=url
            ) from None

    async def stream_lines(
        self, url: str, body: Mapping[str, object], headers: Mapping[str, str]
    ) -> AsyncIterator[str]:
        """POST `body` as JSON, give the answer's lines. Raises ServerError, or the server's own."""
        import httpx

        timeout = httpx.Timeout(TIMEOUT_READ_S, connect=TIMEOUT_CONNECT_S)
        try:
            async with (
                httpx.AsyncClient(timeout=timeout) as client,
                client.stream("POST", url, json=body, headers=dict(headers)) as response,
            ):
                if response.status_code != httpx.codes.OK:
                    text = (await response.aread()).decode(errors="replace")
                    raise refusal(url, response.status_code, text)
                async for line in _lines(response.aiter_text()):
                    yield line
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise unreachable(url, str(error) or type(error).__name__) from None

    def tokenizer(self, tokenizer_json: str) -> CPythonTokenizer:
        """A tokenizer from the text of a tokenizer.json. Raises FormatError."""
        return CPythonTokenizer(tokenizer_json)

    def render(
        self, template: str, messages: Sequence[Mapping[str, str]], *, bos: str, eos: str
    ) -> str:
        """See `host.template.render`."""
        return render(template, messages, bos=bos, eos=eos)

    async def load_package(
        self, name: str, on_progress: Callable[[Progress], None] | None = None
    ) -> None:
        """Nothing to do where it is installed. Raises HostError."""
        if find_spec(name) is None:
            raise lacking(name, "an environment without it", "pip install 'edgewise[native]'")

    def wait(self, work: Coroutine[Any, Any, T], instead: str) -> T:
        """Run `work` on an event loop of its own; HostError inside a running one."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(work)
        work.close()
        raise cannot_wait("a running event loop", instead)

    def clock(self) -> float:
        """Monotonic milliseconds."""
        return time.perf_counter() * 1e3


@cache
def _tls() -> ssl.SSLContext:
    """Made once: it takes longer than a small document."""
    import httpx

    return httpx.create_ssl_context()


async def _get(url: str, headers: dict[str, str]) -> httpx.Response:
    import httpx

    try:
        async with httpx.AsyncClient(
            timeout=TIMEOUT_CONNECT_S * 3, follow_redirects=True, verify=_tls()
        ) as client:
            response = await client.get(url, headers=headers)
            return response.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise DownloadError(
            "the download failed", got=str(error) or type(error).__name__, where=url
        ) from None


async def _get_range(url: str, offset: int, nbytes: int) -> tuple[bytes, int]:
    ends = f"bytes={offset}-{offset + nbytes - 1}"
    response = await _get(url, {"range": ends, "accept-encoding": "identity"})
    span, _, total = response.headers.get("content-range", "").partition("/")
    if response.status_code != 206 or not total.isdigit():
        raise DownloadError(
            "the server knows no Range",
            got=f"HTTP {response.status_code} {span}",
            need="206 with content-range",
            where=url,
        )
    return response.content, int(total)


async def _lines(chunks: AsyncIterator[str]) -> AsyncIterator[str]:
    # Not httpx's own `aiter_lines`: it also cuts at U+2028 and the like, which JSON may hold.
    rest = ""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split("\n")
        for line in lines:
            yield line.removesuffix("\r")
    if rest:
        yield rest
