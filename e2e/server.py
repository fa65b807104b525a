"""A static host on this machine that tests can make fail.

Serves a folder as a good static host does (isolation headers, Range, ETag, If-Range), forwards
the API to a fallback server where one is named, answers as a model hub does where told to
(redirect with `x-linked-etag`), notes every request, and fails in the ways that networks do: a
flipped byte, a connection cut short or silent, no host at all, no Range. Faults name bytes of the
file, so a test need not know in which pieces the page asks for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import mimetypes
import re
import select
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import uvicorn

BLOCK_NBYTES = 64 * 1024
TYPES = {
    ".mjs": "text/javascript",
    ".js": "text/javascript",
    ".wasm": "application/wasm",
    ".json": "application/json",
    ".wgsl": "text/plain",
    ".gguf": "application/octet-stream",
}
ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
EVERY_RESPONSE = {
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Accept-Ranges, Content-Range, ETag, X-Linked-ETag",
    # A second visit must find bytes in the store, not in the browser's HTTP cache.
    "Cache-Control": "no-store",
}


@dataclass(slots=True)
class Request:
    """One request as the host saw it; `nbytes` counts body bytes sent so far, `status` 0 is none.

    `text` is the body that came with it; `range` and `if_range` are its headers.
    """

    method: str
    path: str
    range: str | None
    text: str = ""
    status: int = 0
    nbytes: int = 0
    if_range: str | None = None


@dataclass(frozen=True, slots=True)
class Redirect:
    """Where a path leads, with the headers a hub adds to the redirect."""

    to: str
    headers: dict[str, str]


class Listening:
    """A server of this machine while its context lasts; `url` has no slash at the end."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self._http.block_on_close = False
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._http.server_close()


class SiteServer(Listening):
    """The host. Use as a context manager; change its faults while it runs.

    url         where it listens, without a slash at the end
    log         every Request, in order of arrival
    offline     while true, connections end without a byte
    ranges      while false, Range is not honoured and not offered
    isolated    while false, pages get no shared memory, as from a host without such headers
    upstream    URL of the server that answers `/v1/` and `/healthz`, or None: 404 as on a static
                host
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log: list[Request] = []
        self.offline = False
        self.ranges = True
        self.isolated = True
        self.upstream: str | None = None
        self._flips: dict[str, set[int]] = {}
        self._cuts: dict[str, tuple[int, bool]] = {}
        self._holds: dict[str, tuple[int, threading.Event]] = {}
        self._redirects: dict[str, Redirect] = {}
        self._lock = threading.Lock()
        site = self

        class Handler(_Handler):
            server_of = site

        super().__init__(Handler)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.release()
        super().__exit__(kind, error, at)

    def flip(self, path: str, offset: int) -> None:
        """Invert every bit of the file's byte at `offset` the next time that it is sent."""
        self._flips.setdefault(path, set()).add(offset)

    def cut(self, path: str, at: int, *, once: bool = True) -> None:
        """Close the connection before the file's byte `at`, the next time or until `mend`."""
        self._cuts[path] = (at, once)

    def hold(self, path: str, at: int) -> None:
        """Fall silent before the file's byte `at` until `release`."""
        self._holds[path] = at, threading.Event()

    def release(self) -> None:
        """Send on what was held."""
        for _, over in self._holds.values():
            over.set()
        self._holds.clear()

    def abandon(self) -> None:
        """Hold nothing more, and leave what is held as it is: those who asked are gone."""
        self._holds.clear()

    def free_until(self, path: str, start: int, end: int) -> int:
        """How far the file's bytes from `start` on may be sent; waits where that is nowhere."""
        at, over = self._holds.get(path, (end, threading.Event()))
        if at == start:
            over.wait()
        return at if start < at < end else end

    def mend(self) -> None:
        """Take every fault back; redirects, the upstream and the log stay."""
        self._flips.clear()
        self._cuts.clear()
        self.offline, self.ranges, self.isolated = False, True, True

    def hub(self, path: str, to: str) -> None:
        """Answer `path` as a model hub does for a large file: a redirect to the file at `to`.

        The redirect carries the file's SHA-256 as `x-linked-etag` and its size in bytes.
        """
        data = (self.root / to.lstrip("/")).read_bytes()
        headers = {
            "X-Linked-ETag": f'"{hashlib.sha256(data).hexdigest()}"',
            "X-Linked-Size": str(len(data)),
            "X-Repo-Commit": hashlib.sha1(path.encode()).hexdigest(),
        }
        self._redirects[path] = Redirect(to, headers)

    def redirect_of(self, path: str) -> Redirect | None:
        """Where a path leads, or None."""
        return self._redirects.get(path)

    def sent(self, path: str) -> int:
        """Body bytes sent so far for a path."""
        return sum(request.nbytes for request in self.log if request.path == path)

    def end_of(self, path: str, start: int, end: int) -> int:
        """Where a response with the file's bytes from `start` to `end` really ends."""
        with self._lock:
            at, once = self._cuts.get(path, (end, False))
            if at >= end:
                return end
            if once:
                del self._cuts[path]
            return max(at, start)

    def spoil(self, path: str, offset: int, block: bytes) -> bytes:
        """The block of the file's bytes from `offset` on, with the flips that are due."""
        with self._lock:
            due = {at for at in self._flips.get(path, ()) if offset <= at < offset + len(block)}
            if not due:
                return block
            self._flips[path] -= due
        spoilt = bytearray(block)
        for at in due:
            spoilt[at - offset] ^= 0xFF
        return bytes(spoilt)


class _Handler(BaseHTTPRequestHandler):
    server_of: SiteServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_OPTIONS(self) -> None:
        self._answer()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: the log is data."""

    def _answer(self) -> None:
        site, path = self.server_of, unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._request = Request(
            self.command, path, self.headers.get("Range"), body.decode(errors="replace"),
            if_range=self.headers.get("If-Range"),
        )  # fmt: skip
        site.log.append(self._request)
        if site.offline:
            self._hang_up()
            return
        # A page that goes away closes its connections in the middle of a response.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if self.command == "OPTIONS":
                self._head(HTTPStatus.NO_CONTENT, {"Access-Control-Allow-Headers": "*"}, 0)
            elif redirect := site.redirect_of(path):
                self._head(HTTPStatus.FOUND, {"Location": redirect.to, **redirect.headers}, 0)
            elif site.upstream and (path.startswith("/v1/") or path == "/healthz"):
                self._forward(site.upstream, body)
            else:
                self._file(path)

    def _head(self, status: HTTPStatus, headers: dict[str, str], nbytes: int | None) -> None:
        self._request.status = status
        self.send_response(status)
        always = EVERY_RESPONSE | (ISOLATION if self.server_of.isolated else {})
        for name, text in {**always, **headers}.items():
            self.send_header(name, text)
        if nbytes is not None:
            self.send_header("Content-Length", str(nbytes))
        self.end_headers()

    def _send(self, block: bytes) -> None:
        # Counted first: a client that has the bytes must find them in the log.
        self._request.nbytes += len(block)
        self.wfile.write(block)

    def _hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):  # the other side was faster
            self.connection.shutdown(socket.SHUT_RDWR)

    def _file(self, path: str) -> None:
        site = self.server_of
        file = (site.root / path.lstrip("/")).resolve()
        if file.is_dir():
            file /= "index.html"
        # Not `resolve` on the root alone: a model may be a link to a file elsewhere.
        if ".." in Path(path).parts or not file.is_file():
            self._head(HTTPStatus.NOT_FOUND, {}, 0)
            return
        stat = file.stat()
        etag = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
        kind = TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0]
        headers = {"ETag": etag, "Content-Type": kind or "application/octet-stream"}
        if site.ranges:
            headers["Accept-Ranges"] = "bytes"
        wanted = self._range(etag, stat.st_size)
        if wanted is None:
            start, end = 0, stat.st_size
            self._head(HTTPStatus.OK, headers, stat.st_size)
        elif wanted[0] >= wanted[1]:
            headers["Content-Range"] = f"bytes */{stat.st_size}"
            self._head(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers, 0)
            return
        else:
            start, end = wanted
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{stat.st_size}"
            self._head(HTTPStatus.PARTIAL_CONTENT, headers, end - start)
        if self.command != "HEAD":
            self._bytes(path, file, start, end)

    def _range(self, etag: str, nbytes: int) -> tuple[int, int] | None:
        """First byte and the byte after the last, None for the whole file (RFC 9110, 14.2)."""
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        if not match or match[0] == "bytes=-" or not self.server_of.ranges:
            return None
        if self.headers.get("If-Range", etag) != etag:
            return None
        if not match[1]:
            return max(0, nbytes - int(match[2])), nbytes
        return int(match[1]), min(nbytes, int(match[2] or nbytes) + 1)

    def _bytes(self, path: str, file: Path, start: int, end: int) -> None:
        site = self.server_of
        real_end = site.end_of(path, start, end)
        with file.open("rb") as source:
            source.seek(start)
            while start < real_end:
                free_end = site.free_until(path, start, real_end)
                if self._left():
                    raise ConnectionResetError
                block = source.read(min(BLOCK_NBYTES, free_end - start))
                self._send(site.spoil(path, start, block))
                start += len(block)
        if real_end < end:
            self._hang_up()

    def _left(self) -> bool:
        """Whether the client is gone: what it will not get is not counted."""
        ready, _, _ = select.select([self.connection], [], [], 0)
        return bool(ready) and not self.connection.recv(1, socket.MSG_PEEK)

    def _forward(self, upstream: str, body: bytes) -> None:
        """Pass a request on and the answer back as it comes, block by block."""
        connection = http.client.HTTPConnection(urlsplit(upstream).netloc, timeout=120)
        kept = {name: self.headers[name] for name in ("Content-Type", "Accept", "Authorization")
                if name in self.headers}  # fmt: skip
        with contextlib.closing(connection):
            try:
                connection.request(self.command, self.path, body or None, kept)
                answer = connection.getresponse()
            except OSError:
                self._head(HTTPStatus.BAD_GATEWAY, {}, 0)
                return
            kind = answer.headers.get("Content-Type", "application/octet-stream")
            # No length is known of a stream: its end is the connection's.
            self.close_connection = True
            self._head(
                HTTPStatus(answer.status), {"Content-Type": kind, "Connection": "close"}, None
            )
            try:
                while block := answer.read1(BLOCK_NBYTES):
                    self._send(block)
            except http.client.HTTPException:  # the upstream broke off
                self._hang_up()


@contextlib.contextmanager
def serve_asgi(app: Any) -> Iterator[str]:
    """Run an ASGI application over HTTP while in the block; the URL is what `upstream` takes."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
