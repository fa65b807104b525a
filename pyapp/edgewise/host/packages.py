"""Python packages for a page, such as NumPy and `onnx`: fetched when asked for, kept in the store.

The site's build.json lists their wheels as objects by their hash, so they are downloaded as
weights are: what is there is not fetched again, each object is verified, and a later visit needs no
network. Their own tests, half of their bytes, are not unpacked.
"""

from __future__ import annotations

import importlib
import io
import json
import re
import sysconfig
import zipfile
from collections.abc import Awaitable, Callable, Sequence
from importlib.util import find_spec
from itertools import accumulate
from typing import Any
from urllib.parse import urljoin

from ..errors import FormatError
from ..store.base import ObjectStore, Segment
from ..store.download import download
from ..store.manifest import Demands, FileRef, Manifest, TensorRef
from ..store.progress import Progress
from ..store.records import running, use
from .answers import lacking

_TESTS = re.compile(r"/tests?/")


async def load(
    name: str,
    build: str,
    site: str,
    store: ObjectStore,
    read: Callable[[Sequence[Segment]], Awaitable[bytes]],
    on_progress: Callable[[Progress], None] | None = None,
    folder: str | None = None,
) -> None:
    """Make a package importable.

    build   the text of build.json, which lies at the address `site`
    read    the bytes of stored segments
    folder  where the package goes; Python's own place for packages unless given

    Raises HostError for a site without it, StoreError; the next call tries again.
    """
    manifest = described(name, build)
    url = urljoin(site, manifest.file.url)
    async with store.lock(running(url), shared=True):
        await use(store, url, manifest)
        await download(store, manifest, site, on_progress=on_progress)
        for wheel in manifest.tensors:
            data = await read(manifest.segments_of(wheel).segments)
            unpack(data, folder or sysconfig.get_path("purelib"))
    importlib.invalidate_caches()
    if folder is None and find_spec(name) is None:
        raise lacking(name, f"wheels without it: {', '.join(manifest.tensors)}", "build it again")


def described(name: str, build: str) -> Manifest:
    """The wheels of a package as one file in segments. Raises HostError, FormatError."""
    try:
        rows: list[dict[str, Any]] = json.loads(build)["packages"].get(name)
        if not rows:
            raise lacking(name, "a site that was built without it",
                          "add its wheels to the site's build.json")  # fmt: skip
        files = [FileRef(row["path"], "wheel", row["sha256"], row["nbytes"]) for row in rows]
        segments = [Segment(*segment) for row in rows for segment in row["segments"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FormatError("build.json", got=repr(error), need="packages with their hashes",
                          fix="build the site again") from None  # fmt: skip
    starts = accumulate((file.nbytes for file in files), initial=0)
    places = {
        file.url: TensorRef("U8", (file.nbytes,), start, file.nbytes)
        for file, start in zip(files, starts, strict=False)
    }
    return Manifest(
        name, "package", "wheel", None, files[0], tuple(segments), places, {}, None, None,
        Demands(0, 0, 0, 0, 0), more_files=tuple(files[1:]),
    )  # fmt: skip


def unpack(wheel: bytes, folder: str) -> None:
    """Put a wheel's modules where Python finds them."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        for name in archive.namelist():
            if not _TESTS.search(name):
                archive.extract(name, folder)
