"""Models on this machine's own disk, reached by path or `file:` URL as others are by HTTP.

A download from a path is a copy into the store, segment by segment and verified like any other,
so that everything above sees one kind of model.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ..errors import DownloadError, StoreError
from ..store.base import Run, RunResult
from ..store.folder import Folder


def is_remote(url: str) -> bool:
    """Whether `url` needs a network."""
    return urlsplit(url).scheme in ("http", "https")


def local_path(url: str) -> Path:
    """The path that a `file:` URL, or a path itself, means."""
    return Path(url2pathname(urlsplit(url).path)) if url.startswith("file:") else Path(url)


def read_range(url: str, offset: int, nbytes: int) -> tuple[bytes, int]:
    """At most `nbytes` bytes from `offset` on, and the file's size. Raises OSError."""
    path = local_path(url)
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(nbytes), path.stat().st_size


class FileStore(Folder):
    """The folder store; its runs may also come from a path."""

    async def fetch_run(
        self, run: Run, *, on_bytes: Callable[[int], None], etag: str | None = None
    ) -> RunResult:
        """See `ObjectStore.fetch_run`. A file on disk has no etag."""
        if is_remote(run.url):
            return await super().fetch_run(run, on_bytes=on_bytes, etag=etag)
        done: list[str] = []
        offset = run.offset
        try:
            for segment in run.segments:
                data = await asyncio.to_thread(_read, run.url, offset, segment.nbytes)
                done.append(await asyncio.to_thread(self._take, run, len(done), memoryview(data)))
                on_bytes(segment.nbytes)
                offset += segment.nbytes
        except StoreError as error:
            return RunResult(tuple(done), error)
        return RunResult(tuple(done))


def _read(url: str, offset: int, nbytes: int) -> bytes:
    try:
        data, total = read_range(url, offset, nbytes)
    except OSError as error:
        raise DownloadError(
            "the model's file cannot be read",
            got=str(error),
            where=url,
            fix="it belongs next to its manifest",
        ) from None
    if len(data) < nbytes:
        raise DownloadError(
            "the model's file ends early",
            got=f"{total} bytes",
            need=f"{offset + nbytes}",
            where=url,
        )
    return data
