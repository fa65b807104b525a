"""A real server: uvicorn on a free port, in a thread, over the tiny model on the reference."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import uvicorn
from starlette.applications import Starlette

from edgewise.runtime.session import Progress
from edgewise.server.engine import Engine
from edgewise.tasks.chat import Chat
from tests.tiny_chat import ReferenceHost, TinyChat

READY_S = 20


@dataclass
class Server:
    """A running server, and a client for it."""

    url: str
    http: httpx.Client
    engine: Engine | None = None


@contextmanager
def running(app: Starlette, engine: Engine | None = None, port: int = 0) -> Iterator[Server]:
    """Serve `app` until the block ends."""
    listener = socket.create_server(("127.0.0.1", port))
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2, lifespan="on")
    )
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        with httpx.Client(base_url=url, timeout=READY_S) as http:
            yield Server(url, http, engine)
    finally:
        server.should_exit = True
        thread.join(READY_S)
        assert not thread.is_alive()


def engine_of(tiny: TinyChat, store: Path, *, queue: int = 8) -> Engine:
    """An engine over the tiny model, not started."""

    async def open_chat(on_progress: Callable[[Progress], None]) -> Chat:
        host, url = ReferenceHost(store), str(tiny.manifest)
        return await Chat.open(host, url, policy="local", on_progress=on_progress)

    return Engine(tiny.name, open_chat, queue=queue)


def until_ready(server: Server) -> Server:
    """Wait for the model."""
    pause, waited = threading.Event(), 0.0
    while (state := server.http.get("/healthz").json())["status"] == "loading":
        pause.wait(0.02)
        waited += 0.02
        assert waited < READY_S, state
    assert state["status"] == "ready", state
    return server
