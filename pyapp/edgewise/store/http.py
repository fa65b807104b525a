"""A range of a URL as a stream of exactly sized pieces, over httpx: CPython's `shims/range.js`.

Accepts what the world's servers do: 206, or 200 with the whole file where Range is unknown (its
beginning is then skipped). A file that is another one by now is noticed by its ETag, else by when
it was last modified; If-Range tells the server which one is meant. It stores nothing.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import cache

import httpx

from ..errors import DownloadError
from .base import Run


@cache
def _tls() -> ssl.SSLContext:
    """Made once: reading the certificates takes longer than a small request."""
    return httpx.create_ssl_context()


class RangeRequest:
    """One request for a run. `ranged`, `etag` and `retry` are as in `RunResult`."""

    def __init__(self, run: Run, etag: str | None, stall_s: float) -> None:
        self.run, self.need_etag, self.stall_s = run, etag, stall_s
        self.ranged, self.retry = True, False
        self.etag: str | None = None

    async def pieces(self, on_bytes: Callable[[int], None]) -> AsyncGenerator[memoryview]:
        """The run's segments, in one buffer: each is valid until the next is asked for.

        Raises DownloadError; `retry` then says whether the same request may do better later.
        """
        begin = self.run.offset
        # identity: ranges count bytes as sent, and hashes name bytes as stored
        headers = {
            "range": f"bytes={begin}-{begin + self.run.nbytes - 1}",
            "accept-encoding": "identity",
        }
        if self.need_etag and self.need_etag.startswith('"'):  # a weak one names no bytes
            headers["if-range"] = self.need_etag
        try:
            async with (
                httpx.AsyncClient(
                    timeout=self.stall_s, follow_redirects=True, verify=_tls()
                ) as client,
                client.stream("GET", self.run.url, headers=headers) as response,
            ):
                self._check(response)
                async with aclosing(self._cut(response, on_bytes)) as stream:
                    async for piece in stream:
                        yield piece
        except httpx.InvalidURL as error:
            raise self._lost(str(error), "an address", retry=False) from None
        except httpx.HTTPError as error:
            text = f"{type(error).__name__} {error}".strip()
            raise self._lost(text, f"{self.run.nbytes} bytes", retry=True) from None

    def _check(self, response: httpx.Response) -> None:
        status, headers = response.status_code, response.headers
        begin = self.run.offset
        asked = f"bytes {begin}-{begin + self.run.nbytes - 1}/"
        got = headers.get("content-range", "")
        if status not in (200, 206):
            later = status >= 500 or status in (408, 429)
            shown = f"HTTP {status} ({got})" if got else f"HTTP {status}"
            raise self._lost(shown, f"206 with {asked}…", retry=later)
        if status == 206 and not got.startswith(asked):
            raise self._lost(f"content-range: {got}", f"{asked}…", retry=False)
        self.ranged = status == 206
        self.etag = headers.get("etag") or headers.get("last-modified")
        need = self.need_etag or ""
        now = headers.get("etag" if need.endswith('"') else "last-modified")
        if need and now and now != need:
            raise self._lost(f"a changed file ({now})", f"the file {need}", retry=False)

    async def _cut(
        self, response: httpx.Response, on_bytes: Callable[[int], None]
    ) -> AsyncGenerator[memoryview]:
        sizes = [segment.nbytes for segment in self.run.segments]
        buffer = memoryview(bytearray(max(sizes)))
        skip = 0 if self.ranged else self.run.offset
        index = filled = 0
        async for raw in response.aiter_raw():
            chunk = memoryview(raw)[skip:]
            skip -= len(raw) - len(chunk)
            while chunk and index < len(sizes):
                part = chunk[: sizes[index] - filled]
                buffer[filled : filled + len(part)] = part
                on_bytes(len(part))
                filled, chunk = filled + len(part), chunk[len(part) :]
                if filled == sizes[index]:
                    yield buffer[:filled]
                    index, filled = index + 1, 0
            if index == len(sizes):
                return
        raise self._lost(
            "the end of the body", f"{sizes[index] - filled} more bytes of this segment", retry=True
        )

    def _lost(self, got: str, need: str, *, retry: bool) -> DownloadError:
        self.retry = retry
        fix = "try again later" if retry else "check the address and that its server answers Range"
        return DownloadError(f"download of {self.run.url}", got=got, need=need, fix=fix)
