"""A page in headless Chromium on this machine's GPU, and what it reports.

Standard library only: the machine with the GPU may have nothing but Python and a browser. Folders
are served over each other at `/` with the headers of an isolated page and with Range; the page
POSTs JSON to /result, which ends the run, or text to /log. Linux and NVIDIA need the flags below;
with another GPU they do no harm.
"""

from __future__ import annotations

import json
import mimetypes
import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

HARDWARE = [
    "--use-angle=vulkan",
    "--disable-vulkan-surface",
    "--enable-features=Vulkan",
    # f16 on NVIDIA is behind a toggle on Linux
    "--enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia",
]
SOFTWARE = ["--use-angle=swiftshader", "--use-webgpu-adapter=swiftshader"]
WEBNN = ["--enable-features=Vulkan,WebMachineLearningNeuralNetwork"]  # the last one counts
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-breakpad",
    "--disable-crash-reporter",
    "--disable-gpu-sandbox",
    "--enable-logging=stderr",
    "--enable-unsafe-webgpu",
    "--ignore-gpu-blocklist",
    # timestamps to the nanosecond instead of to 0.1 ms
    "--enable-webgpu-developer-features",
    "--disable-dawn-features=timestamp_quantization",
]
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Cache-Control": "no-store",
}
BLOCK_NBYTES = 1 << 20


class Failed(Exception):
    """A page that reported an error, or nothing; the text says what is known."""


class Server(ThreadingHTTPServer):
    """`folders` over each other, the first that has a path wins."""

    daemon_threads = True

    def __init__(self, folders: Sequence[Path], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.folders = folders
        self.results: queue.Queue[str] = queue.Queue()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away is no error."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def find(self, path: str) -> Path | None:
        """The file behind a path, in the first folder that has it."""
        relative = path.lstrip("/") or "index.html"
        for folder in self.folders:
            file = folder / relative
            if file.is_file() and file.resolve().is_relative_to(folder.resolve()):
                return file
        return None


class Handler(BaseHTTPRequestHandler):
    """GET with Range; POST /result and /log."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        """A file or a part of it."""
        file = self.server.find(unquote(urlsplit(self.path).path))
        if file is None:
            return self._answer(404, b"")
        size = file.stat().st_size
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start, end = 0, size
        if found:
            start, end = int(found[1]), min(int(found[2] or size - 1) + 1, size)
        self.send_response(206 if found else 200)
        if found:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        self.send_header("Content-Type", "text/javascript" if file.suffix == ".mjs" else kind)
        self.send_header("Accept-Ranges", "bytes")
        self._end(end - start)
        with file.open("rb") as data:
            data.seek(start)
            while start < end:
                block = data.read(min(BLOCK_NBYTES, end - start))
                self.wfile.write(block)
                start += len(block)

    def do_POST(self) -> None:
        """What a page reports."""
        text = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if self.path == "/result":
            self.server.results.put(text)
        else:
            print("  page:", text[:2000], flush=True)
        self._answer(200, b"{}")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self._end(len(body))
        self.wfile.write(body)

    def _end(self, nbytes: int) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(nbytes))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not worth a line."""


@contextmanager
def serving(folders: Sequence[Path], port: int = 0) -> Iterator[Server]:
    """The folders, served until the block ends; on a free port unless one is named."""
    server = Server(folders, port)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def report(
    page: str,
    folders: Sequence[Path],
    *,
    chromium: Path,
    software: bool,
    timeout_s: float,
    log: Path,
    profile: Path | None = None,
    port: int = 0,
    webnn: bool = False,
) -> dict[str, Any]:
    """Open `page` ("name.html?query") in a fresh browser and return the JSON that it posts.

    log      where the browser's own output goes.
    profile  a profile to keep, for a second visit (on the same port, since caches belong to an
             address); a new one each time unless given.
    webnn    whether the browser's WebNN, which is behind a flag, is wanted.

    Raises Failed when the page posts an `error`, or nothing in time.
    """
    with (
        serving(folders, port) as server,
        tempfile.TemporaryDirectory() as fresh,
        log.open("w") as out,
    ):
        flags = [*FLAGS, *(SOFTWARE if software else HARDWARE), *(WEBNN if webnn else [])]
        address = f"http://127.0.0.1:{server.server_address[1]}/{page}"
        libraries = f"{chromium.parent}:{os.environ.get('LD_LIBRARY_PATH', '')}"
        browser = subprocess.Popen(
            [chromium, *flags, f"--user-data-dir={profile or fresh}", address],
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LD_LIBRARY_PATH": libraries},
        )
        try:
            result = json.loads(server.results.get(timeout=timeout_s))
        except queue.Empty:
            ends = log.read_text(errors="replace")[-1500:]
            silent = f"no report in {timeout_s:.0f} s; the browser's log ends:"
            raise Failed(f"{silent}\n{ends}") from None
        finally:
            browser.terminate()
            try:
                browser.wait(5)
            except subprocess.TimeoutExpired:
                browser.kill()
                browser.wait()
    if "error" in result:
        raise Failed(str(result["error"]))
    assert isinstance(result, dict)
    return result
