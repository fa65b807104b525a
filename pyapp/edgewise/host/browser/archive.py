"""Models as files of a page: out into one of the browser's own file system, in from any `File`.

The page gives its person the `File`; where it may ask for a place on the disk, it passes the
handle of that place instead. Nothing is there until all is written.
"""

from __future__ import annotations

from typing import Any

import js
from pyodide.ffi import to_js

from ...store.archive import export_model, import_model
from ...store.base import ObjectStore
from ...store.records import Record
from .bridge import answer, plain


async def export_to(store: ObjectStore, model: str, handle: Any) -> Any:
    """Writes a model to a FileSystemFileHandle; the `File`. Raises as `export_model`."""
    target = await answer(handle.createWritable())
    try:
        await export_model(store, model, lambda data: answer(target.write(to_js(data))))
    except BaseException:
        await answer(target.abort())
        raise
    await answer(target.close())
    return await answer(handle.getFile())


async def own_file(name: str) -> Any:
    """The handle of a file in the browser's own file system, which is made."""
    root = await answer(js.navigator.storage.getDirectory())
    return await answer(root.getFileHandle(name, plain({"create": True})))


async def import_from(store: ObjectStore, blob: Any) -> Record:
    """Brings the model of a `Blob` or `File`. Raises as `import_model`."""
    at = 0

    async def read(nbytes: int) -> bytes:
        nonlocal at
        part = await answer(blob.slice(at, at + nbytes).arrayBuffer())
        at += nbytes
        return bytes(part.to_bytes())

    return await import_model(store, read)
