"""NumPy and `onnx` for the page, fetched when they are needed and kept in the store.

build.json lists them as objects by their hash, so they are downloaded as weights are: what is there
is not fetched again, each object is verified, and a later visit needs no network. Their own tests,
half of their bytes, are not unpacked.
"""

from __future__ import annotations

import importlib
import io
import json
import re
import sysconfig
import zipfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from itertools import accumulate
from typing import Any, Protocol
from urllib.parse import urljoin

from edgewise.errors import FormatError
from edgewise.store.base import ObjectStore, Segment
from edgewise.store.download import download
from edgewise.store.manifest import Demands, FileRef, Manifest, TensorRef
from edgewise.store.progress import Progress

WANTED = ("numpy", "onnx")
_TESTS = re.compile(r"/tests?/")


class PackageHost(Protocol):
    """What of a BrowserHost is needed here."""

    @property
    def store(self) -> ObjectStore:
        """Where they are kept."""
        ...

    async def fetch_text(self, url: str) -> str:
        """A small document."""
        ...

    async def stored(self, segments: Sequence[Segment]) -> bytes:
        """A stored file."""
        ...


async def load(
    host: PackageHost,
    site: str,
    on_progress: Callable[[Progress], None],
    on_unpack: Callable[[], None],
    folder: str | None = None,
) -> None:
    """Make NumPy and `onnx` importable, where they are not yet.

    site    the address that build.json lies beside
    folder  where they go; Python's own place for packages unless given

    Raises DownloadError, QuotaError, HashMismatchError; the next call tries again.
    """
    if all(find_spec(name) for name in WANTED):
        return
    manifest = described(await host.fetch_text(urljoin(site, "build.json")))
    await download(host.store, manifest, site, on_progress=on_progress)
    on_unpack()
    for name in manifest.tensors:
        wheel = await host.stored(manifest.segments_of(name).segments)
        unpack(wheel, folder or sysconfig.get_path("purelib"))
    importlib.invalidate_caches()


def described(build: str) -> Manifest:
    """The packages of build.json as one file in segments. Raises FormatError."""
    try:
        rows: list[dict[str, Any]] = json.loads(build)["packages"]
        files = [FileRef(row["path"], "wheel", row["sha256"], row["nbytes"]) for row in rows]
        segments = [Segment(*segment) for row in rows for segment in row["segments"]]
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError("build.json", got=repr(error), need="packages with their hashes",
                          fix="build the site again: tools/build_site.py") from None  # fmt: skip
    starts = accumulate((file.nbytes for file in files), initial=0)
    places = {
        file.url: TensorRef("U8", (file.nbytes,), start, file.nbytes)
        for file, start in zip(files, starts, strict=False)
    }
    return Manifest(
        "packages", "packages", "wheel", None, files[0], tuple(segments), places, {}, None, None,
        Demands(0, 0, 0, 0, 0), more_files=tuple(files[1:]),
    )  # fmt: skip


def unpack(wheel: bytes, folder: str) -> None:
    """Put a wheel's modules where Python finds them."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        for name in archive.namelist():
            if not _TESTS.search(name):
                archive.extract(name, folder)
