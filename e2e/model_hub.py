"""A model hub on this machine: what https://huggingface.co does for a client that reads models.

Large files are redirected to another origin (a `SiteServer`, which has ETags of its own), the
redirect carrying `x-linked-etag`; under /raw/ they are Git LFS pointers. Small files are answered
at once, named by their Git blob. Every answer may be read by any page, but no page can read a
redirect's headers.

    org/name/resolve/REVISION/FILE   org/name/raw/REVISION/FILE
    api/models/org/name/revision/REVISION
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from e2e.server import EVERY_RESPONSE, Listening, SiteServer

EXPOSED = (
    "X-Repo-Commit, X-Error-Code, X-Error-Message, ETag, Accept-Ranges, Content-Range, "
    "X-Linked-Size, X-Linked-ETag"
)


@dataclass
class Repository:
    """Files by path; those in `large` are kept by Git LFS."""

    files: dict[str, bytes]
    large: frozenset[str] = frozenset()
    gated: bool = False
    revisions: tuple[str, ...] = ("main",)
    pointers: dict[str, str] = field(default_factory=dict)

    def pointer(self, path: str) -> str:
        """The LFS pointer of a file, or what stands in `pointers` instead."""
        data = self.files[path]
        own = (f"version https://git-lfs.github.com/spec/v1\noid sha256:"
               f"{hashlib.sha256(data).hexdigest()}\nsize {len(data)}\n")  # fmt: skip
        return self.pointers.get(path, own)


class ModelHub(Listening):
    """The hub; as a context manager it listens at `url`, and its other origin is `network`.

    log  of requests to the hub, as "METHOD path".
    """

    def __init__(self, folder: Path) -> None:
        self.repositories: dict[str, Repository] = {}
        self.network = SiteServer(folder)
        self.log: list[str] = []
        hub = self

        class Handler(_Handler):
            hub_of = hub

        super().__init__(Handler)

    def __enter__(self) -> Self:
        self.network.__enter__()
        return super().__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, at)
        self.network.__exit__(kind, error, at)

    def add(self, name: str, large: dict[str, bytes], small: dict[str, bytes] | None = None,
            **more: Any) -> Repository:  # fmt: skip
        """A repository; the network delivers its large files by their hash."""
        for data in large.values():
            (self.network.root / hashlib.sha256(data).hexdigest()).write_bytes(data)
        made = Repository({**large, **(small or {})}, frozenset(large), **more)
        self.repositories[name] = made
        return made

    def sent(self) -> int:
        """Bytes of large files that were sent."""
        return sum(request.nbytes for request in self.network.log)


class _Handler(BaseHTTPRequestHandler):
    hub_of: ModelHub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_OPTIONS(self) -> None:
        self._send(HTTPStatus.NO_CONTENT, {"Access-Control-Allow-Headers": "*"})

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: the log is data."""

    def _answer(self) -> None:
        self.hub_of.log.append(f"{self.command} {self.path}")
        parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        listed = parts[:2] == ["api", "models"]
        owner, name, kind, revision, *path = parts[2:] if listed else parts
        found = self.hub_of.repositories.get(f"{owner}/{name}")
        if found is None:
            self._refuse(HTTPStatus.UNAUTHORIZED, "RepoNotFound")
        elif found.gated:
            self._refuse(HTTPStatus.UNAUTHORIZED, "GatedRepo")
        elif revision not in found.revisions:
            self._refuse(HTTPStatus.NOT_FOUND, "RevisionNotFound")
        elif listed:
            self._list(found)
        elif "/".join(path) not in found.files:
            self._refuse(HTTPStatus.NOT_FOUND, "EntryNotFound")
        elif kind == "raw":
            self._raw(found, "/".join(path))
        else:
            self._resolve(found, "/".join(path))

    def _resolve(self, repository: Repository, path: str) -> None:
        data = repository.files[path]
        digest = hashlib.sha256(data).hexdigest()
        if path not in repository.large:
            self._small(data)
            return
        self._send(HTTPStatus.FOUND, {
            "Location": f"{self.hub_of.network.url}/{digest}", "X-Linked-ETag": f'"{digest}"',
            "X-Linked-Size": str(len(data)), "ETag": f'"{digest}"',
        })  # fmt: skip

    def _raw(self, repository: Repository, path: str) -> None:
        if path in repository.large:
            self._small(repository.pointer(path).encode())
        else:
            self._small(repository.files[path])

    def _small(self, data: bytes) -> None:
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        self._send(HTTPStatus.OK, {"ETag": f'"{blob}"', "Content-Type": "text/plain"}, data)

    def _list(self, repository: Repository) -> None:
        siblings = [
            {"rfilename": path, "size": len(data), "blobId": "0" * 40}
            | ({"lfs": {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data),
                        "pointerSize": 134}} if path in repository.large else {})
            for path, data in repository.files.items()
        ]  # fmt: skip
        text = json.dumps({"sha": "1" * 40, "siblings": siblings})
        self._send(HTTPStatus.OK, {"Content-Type": "application/json"}, text.encode())

    def _refuse(self, status: HTTPStatus, code: str) -> None:
        self._send(status, {"X-Error-Code": code, "X-Error-Message": code})

    def _send(self, status: HTTPStatus, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        commit = {"X-Repo-Commit": "1" * 40, "Access-Control-Expose-Headers": EXPOSED}
        for name, text in {**EVERY_RESPONSE, **commit, **headers}.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
