"""Packages of the page: fetched once into the store, unpacked without their tests."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from edgewise.errors import DownloadError, FormatError, HostError
from edgewise.host import packages
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
        self.texts: dict[str, str] = {}
        self.down = False
        self.requests = 0

    def build(self) -> str:
        rows = []
        for path, data in self.files.items():
            cuts = [data[at : at + PIECE] for at in range(0, len(data), PIECE)]
            segments = [(hashlib.sha256(cut).hexdigest(), len(cut)) for cut in cuts]
            digest = hashlib.sha256(data).hexdigest()
            rows.append({"path": path, "nbytes": len(data), "sha256": digest,
                         "segments": segments})  # fmt: skip
        return json.dumps({"packages": {"one": rows}})

    async def stored(self, segments: Sequence[Segment]) -> bytes:
        return b"".join(self.objects[str(segment.hash)] for segment in segments)

    def lock(self, name: str, *, shared: bool = False) -> AsyncExitStack:
        return AsyncExitStack()

    def hear(self, name: str, on_text: object) -> AsyncExitStack:
        return AsyncExitStack()

    def tell(self, name: str, text: str) -> None:
        """There is nobody else."""

    async def get_text(self, name: str) -> str | None:
        return self.texts.get(name)

    async def put_text(self, name: str, text: str) -> None:
        self.texts[name] = text

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
    asyncio.run(packages.load("one", host.build(), f"{SITE}model.html", host.store, host.stored,
                              seen.append, str(folder)))  # fmt: skip
    return seen


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


@pytest.mark.parametrize("build", ["", "{}", '{"packages": {"one": [{"path": "x"}]}}', "3"])
def test_a_site_that_was_built_otherwise(build: str) -> None:
    with pytest.raises(FormatError, match="packages"):
        packages.described("one", build)


def test_a_site_without_the_package() -> None:
    with pytest.raises(HostError, match="built without it"):
        packages.described("two", SmallHost().build())
