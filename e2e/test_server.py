"""The host does what tests of the store and the router count on, faults included."""

from __future__ import annotations

import hashlib
import http.client
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from e2e.server import SiteServer, serve_asgi

WHOLE = bytes(range(256)) * 1024


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SiteServer]:
    (tmp_path / "model.gguf").write_bytes(WHOLE)
    with SiteServer(tmp_path) as running:
        yield running


def get(
    server: SiteServer, path: str = "/model.gguf", **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
    try:
        connection.request(
            "GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def test_whole_file_and_log(server: SiteServer) -> None:
    response, body = get(server)
    assert (response.status, body) == (200, WHOLE)
    assert response.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert server.sent("/model.gguf") == len(WHOLE)
    assert [(r.method, r.path, r.range, r.status) for r in server.log] == [
        ("GET", "/model.gguf", None, 200)
    ]


@pytest.mark.parametrize(
    ("asked", "status", "start", "end"),
    [
        ("bytes=0-0", 206, 0, 1),
        ("bytes=100-", 206, 100, len(WHOLE)),
        ("bytes=-100", 206, len(WHOLE) - 100, len(WHOLE)),
        ("bytes=5-999999999", 206, 5, len(WHOLE)),
        ("bytes=0-1,5-6", 200, 0, len(WHOLE)),
        (f"bytes={len(WHOLE)}-", 416, 0, 0),
        ("bytes=9-5", 416, 0, 0),
    ],
)
def test_range(server: SiteServer, asked: str, status: int, start: int, end: int) -> None:
    response, body = get(server, Range=asked)
    assert (response.status, body) == (status, WHOLE[start:end])
    if status == 206:
        assert response.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(WHOLE)}"


def test_if_range(server: SiteServer) -> None:
    etag = get(server)[0].headers["ETag"]
    assert get(server, Range="bytes=1-2", If_Range=etag)[0].status == 206
    assert get(server, Range="bytes=1-2", If_Range='"old"')[1] == WHOLE


def test_no_ranges(server: SiteServer) -> None:
    server.ranges = False
    response, body = get(server, Range="bytes=1-2")
    assert (response.status, body) == (200, WHOLE)
    assert "Accept-Ranges" not in response.headers


def test_flip_happens_once_and_only_where_said(server: SiteServer) -> None:
    server.flip("/model.gguf", 1000)
    assert get(server, Range="bytes=0-999")[1] == WHOLE[:1000]
    _, spoilt = get(server, Range="bytes=900-1100")
    assert [i for i, byte in enumerate(spoilt) if byte != WHOLE[900 + i]] == [100]
    assert get(server)[1] == WHOLE


@pytest.mark.parametrize("once", [True, False])
def test_cut(server: SiteServer, once: bool) -> None:
    server.cut("/model.gguf", 1000, once=once)
    assert get(server, Range="bytes=0-999")[1] == WHOLE[:1000]
    with pytest.raises(http.client.IncompleteRead) as cut:
        get(server, Range="bytes=600-")
    assert cut.value.partial == WHOLE[600:1000]
    if once:
        assert get(server, Range="bytes=1000-")[1] == WHOLE[1000:]
    else:
        with pytest.raises(http.client.IncompleteRead) as cut:
            get(server, Range="bytes=1000-")
        assert cut.value.partial == b""
    server.mend()
    assert get(server)[1] == WHOLE


def test_offline(server: SiteServer) -> None:
    server.offline = True
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        get(server)
    assert [request.status for request in server.log] == [0]


@pytest.mark.parametrize("path", ["/none", "/../secret", "/%2e%2e/secret", "/v1/models"])
def test_not_found(server: SiteServer, path: str) -> None:
    (server.root.parent / "secret").write_text("no")
    assert get(server, path)[0].status == 404


def test_hub(server: SiteServer) -> None:
    server.hub("/org/model/resolve/main/model.gguf", "/model.gguf")
    response, _ = get(server, "/org/model/resolve/main/model.gguf")
    assert (response.status, response.headers["Location"]) == (302, "/model.gguf")
    assert response.headers["X-Linked-ETag"] == f'"{hashlib.sha256(WHOLE).hexdigest()}"'
    assert response.headers["X-Linked-Size"] == str(len(WHOLE))


def test_forward(server: SiteServer) -> None:
    async def words(request: Request) -> StreamingResponse:
        body = await request.body()

        async def stream() -> AsyncIterator[bytes]:
            for word in body.split():
                yield word

        return StreamingResponse(stream(), media_type="text/event-stream")

    app = Starlette(routes=[Route("/v1/words", words, methods=["POST"])])
    with serve_asgi(app) as upstream:
        server.upstream = upstream
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
        connection.request("POST", "/v1/words", b"a b c")
        response = connection.getresponse()
        assert (response.read(), response.status) == (b"abc", 200)
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert response.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        connection.close()
    assert (server.log[-1].text, server.log[-1].nbytes) == ("a b c", 3)
    assert get(server, "/v1/words")[0].status == 502
