"""The static site: files with the headers that WebGPU pages, threads and model downloads need.

Starlette's `StaticFiles` brings ETag, If-None-Match and Range; this adds content types that do
not depend on the machine's tables, and a cache rule. Isolation headers go on every answer.
"""

from __future__ import annotations

import os
from pathlib import PurePath

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Cross-origin isolation: SharedArrayBuffer and Wasm threads are off without it.
ISOLATION = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
}
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".gguf": "application/octet-stream",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".py": "text/x-python; charset=utf-8",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".whl": "application/zip",
    ".zip": "application/zip",
}
# Names do not change with contents, so a browser asks each time and gets 304.
CACHE = "no-cache"


class Site(StaticFiles):
    """The files below a folder; a folder's own page is its index.html."""

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """See `StaticFiles`."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["cache-control"] = CACHE
        kind = TYPES.get(PurePath(full_path).suffix)
        if kind is not None and response.status_code != 304:
            response.headers["content-type"] = kind
        return response


class Isolated:
    """ASGI middleware: the isolation headers on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, adding headers to what is sent."""

        async def send_isolated(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(ISOLATION)
            await send(message)

        await self._app(scope, receive, send_isolated)
