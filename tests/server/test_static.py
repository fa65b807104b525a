"""The static site: isolation, types, revalidation and ranges, as a page and a download need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edgewise.server.app import create_app
from tests.serving import Server, running

DATA = bytes(range(256)) * 40


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("site")
    (root / "models").mkdir()
    (root / "index.html").write_text("<!doctype html>")
    (root / "models" / "m.gguf").write_bytes(DATA)
    for name in ("a.wasm", "a.mjs", "a.js", "a.whl", "a.json", "a.py", "a.css"):
        (root / name).write_text("x")
    (root.parent / "secret.txt").write_text("secret")
    with running(create_app(None, site=root)) as it:
        yield it


@pytest.mark.parametrize("path", ["/", "/models/m.gguf", "/none", "/healthz", "/v1/models"])
def test_every_answer_is_isolated(site: Server, path: str) -> None:
    headers = site.http.get(path).headers
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-embedder-policy"] == "require-corp"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("name", "type"),
    [
        ("", "text/html"), ("a.wasm", "application/wasm"), ("a.mjs", "text/javascript"),
        ("a.js", "text/javascript"), ("a.whl", "application/zip"), ("a.json", "application/json"),
        ("a.py", "text/x-python"), ("a.css", "text/css"),
        ("models/m.gguf", "application/octet-stream"),
    ],
)  # fmt: skip
def test_types(site: Server, name: str, type: str) -> None:
    assert site.http.get(f"/{name}").headers["content-type"].split(";")[0] == type


def test_a_range(site: Server) -> None:
    answer = site.http.get("/models/m.gguf", headers={"range": "bytes=100-299"})
    assert (answer.status_code, answer.content) == (206, DATA[100:300])
    assert answer.headers["content-range"] == f"bytes 100-299/{len(DATA)}"
    past = site.http.get("/models/m.gguf", headers={"range": f"bytes={len(DATA)}-"})
    assert past.status_code == 416


def test_a_range_of_another_version_is_the_whole_file(site: Server) -> None:
    headers = {"range": "bytes=0-9", "if-range": '"another"'}
    answer = site.http.get("/models/m.gguf", headers=headers)
    assert (answer.status_code, answer.content) == (200, DATA)


def test_a_file_that_did_not_change_is_not_sent_again(site: Server) -> None:
    first = site.http.get("/a.wasm")
    assert first.headers["cache-control"] == "no-cache"
    again = site.http.get("/a.wasm", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path", ["/../secret.txt", "/%2e%2e/secret.txt", "/models/..%2f..%2fsecret.txt"]
)
def test_nothing_outside_the_site_is_served(site: Server, path: str) -> None:
    answer = site.http.get(path)
    assert answer.status_code == 404
    assert "secret" not in answer.text


def test_without_a_model_the_api_says_so(site: Server) -> None:
    assert site.http.get("/healthz").json() == {"status": "none"}
    answer = site.http.post("/v1/chat/completions", json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_url")
