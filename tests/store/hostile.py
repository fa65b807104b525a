"""A host whose answers a test writes by hand, for what a well-behaved one never does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler, int], None]


@contextmanager
def host(answer: Answer) -> Iterator[tuple[str, list[str]]]:
    """Serves `answer(handler, number of the request)`; gives the URL and the ranges asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers["range"])
            answer(self, len(asked) - 1)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/model.gguf", asked
        finally:
            server.shutdown()


def send(
    handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str | int
) -> None:
    """One answer; `content_range` is the header Content-Range."""
    handler.send_response(status)
    for name, value in {"content_length": len(body), **headers}.items():
        handler.send_header(name.replace("_", "-"), str(value))
    handler.end_headers()
    handler.wfile.write(body)


def send_range(handler: BaseHTTPRequestHandler, data: bytes, **headers: str | int) -> None:
    """What a good host answers to a Range request."""
    first, last = map(int, handler.headers["range"].removeprefix("bytes=").split("-"))
    shown = {"content_range": f"bytes {first}-{last}/{len(data)}", **headers}
    send(handler, 206, data[first : last + 1], **shown)
