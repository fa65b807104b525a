"""Packages of the page: fetched once into the store, unpacked without their tests."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import packages
from edgewise.errors import DownloadError, FormatError
from edgewise.store.base import Estimate, Run, RunResult, Segment
from edgewise.store.progress import Progress

SITE = "https://a.test/"
PIECE = 40  # bytes of a segment


def wheel(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(f"{name}/__init__.py", f"name = {name!r}\n")
        archive.writestr(f"{name}/backend/test/data.pb", hashlib.sha512(name.encode()).hexdigest())
        archive.writestr(f"{name}/testing/__init__.py", "")
    return buffer.getvalue()


class SmallHost:
    """A site with two wheels, and a store in memory; `down` makes requests fail."""

    def __init__(self) -> None:
        self.store: Any = self
        self.files = {f"packages/{name}.whl": wheel(name) for name in ("one", "two")}
        self.objects: dict[str, bytes] = {}
        self.down = False
        self.requests = 0

    async def fetch_text(self, url: str) -> str:
        assert url == f"{SITE}build.json"
        rows = []
        for path, data in self.files.items():
            cuts = [data[at : at + PIECE] for at in range(0, len(data), PIECE)]
            segments = [(hashlib.sha256(cut).hexdigest(), len(cut)) for cut in cuts]
            digest = hashlib.sha256(data).hexdigest()
            rows.append({"path": path, "nbytes": len(data), "sha256": digest,
                         "segments": segments})  # fmt: skip
        return json.dumps({"packages": rows})

    async def stored(self, segments: Sequence[Segment]) -> bytes:
        return b"".join(self.objects[str(segment.hash)] for segment in segments)

    async def has(self, hashes: Sequence[str]) -> list[bool]:
        return [hash in self.objects for hash in hashes]

    async def estimate(self) -> Estimate:
        return Estimate(None, None)

    async def fetch_run(self, run: Run, *, on_bytes: Any, etag: str | None = None) -> RunResult:
        self.requests += 1
        if self.down:
            return RunResult((), DownloadError(run.url))
        data, at = self.files[run.url.removeprefix(SITE)], run.offset
        for segment in run.segments:
            self.objects[str(segment.hash)] = data[at : at + segment.nbytes]
            at += segment.nbytes
        on_bytes(run.nbytes)
        return RunResult(tuple(str(segment.hash) for segment in run.segments))


def load(host: SmallHost, folder: Path) -> list[Progress]:
    seen: list[Progress] = []
    asyncio.run(packages.load(host, f"{SITE}model.html", seen.append, lambda: None, str(folder)))
    return seen


@pytest.fixture(autouse=True)
def _absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "WANTED", ("edgewise_has_no_such_module",))


def test_fetched_once_and_unpacked(tmp_path: Path) -> None:
    host = SmallHost()
    seen = load(host, tmp_path / "a")
    total = sum(map(len, host.objects.values()))
    assert (seen[-1].done_nbytes, seen[-1].total_nbytes) == (total, total)
    for name in ("one", "two"):
        assert (tmp_path / "a" / name / "__init__.py").read_text() == f"name = {name!r}\n"
        assert (tmp_path / "a" / name / "testing" / "__init__.py").exists()
        assert not (tmp_path / "a" / name / "backend").exists()
    before = host.requests
    load(host, tmp_path / "b")
    assert host.requests == before
    assert (tmp_path / "b" / "two" / "__init__.py").exists()


def test_a_failed_download_is_tried_again(tmp_path: Path) -> None:
    host = SmallHost()
    host.down = True
    with pytest.raises(DownloadError):
        load(host, tmp_path)
    host.down = False
    load(host, tmp_path)
    assert (tmp_path / "one").exists()


def test_nothing_is_fetched_where_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(packages, "WANTED", ("json",))
    host = SmallHost()
    assert load(host, tmp_path) == []
    assert host.requests == 0


@pytest.mark.parametrize("build", ["", "{}", '{"packages": [{"path": "x"}]}', '{"packages": 3}'])
def test_a_site_that_was_built_without_them(build: str) -> None:
    with pytest.raises(FormatError, match="packages"):
        packages.described(build)
