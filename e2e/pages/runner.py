"""Python's side of python_page.py: runs snippets in a page's worker, with a host and NumPy ready.

A snippet is the body of an async function; what it returns goes back. Its names: `host`, `np`,
`fetch_bytes(path)` and those that the test passes.
"""

from __future__ import annotations

import asyncio
import base64
import json
import textwrap
import traceback
from typing import Any

from pyodide.ffi import create_proxy
from pyodide.http import pyfetch

from edgewise.host.browser import BrowserHost
from edgewise.host.current import use


def main(shims: Any) -> None:
    """Called by shims/worker.js."""
    names: dict[str, Any] = {"host": BrowserHost(shims), "fetch_bytes": fetch_bytes}
    use(names["host"])
    running: set[asyncio.Task[None]] = set()

    def hear(text: str, files: Any) -> None:
        task = asyncio.ensure_future(answer(shims.page, names, json.loads(text)))
        running.add(task)
        task.add_done_callback(running.discard)

    async def ready() -> None:
        await names["host"].load_package("numpy")
        import numpy as np

        names["np"] = np
        shims.page.listen(create_proxy(hear))  # lives as long as the worker
        shims.page.post(json.dumps({"ready": True}))

    running.add(asyncio.ensure_future(ready()))


async def fetch_bytes(path: str) -> bytes:
    """A file that the test serves."""
    response = await pyfetch(path)
    response.raise_for_status()
    data: bytes = await response.bytes()
    return data


async def answer(page: Any, names: dict[str, Any], asked: dict[str, Any]) -> None:
    """Run one snippet and post what it returns, or its traceback."""
    try:
        local = {**names, **{k: revived(v) for k, v in json.loads(asked["data"]).items()}}
        source = "async def snippet():\n" + textwrap.indent(textwrap.dedent(asked["code"]), "    ")
        exec(compile(source, "<snippet>", "exec"), local)
        said = {"result": plain(await local["snippet"]())}
    except BaseException:  # noqa: BLE001  the test is to see whatever it was
        said = {"error": traceback.format_exc()}
    page.post(json.dumps({"id": asked["id"], **said}))


def plain(value: Any) -> Any:
    """`value` as JSON: bytes and arrays as the test's `revived` knows them."""
    if isinstance(value, bytes | bytearray | memoryview):
        return {"$bytes": base64.b64encode(bytes(value)).decode()}
    if hasattr(value, "dtype"):
        data = base64.b64encode(value.tobytes()).decode()
        return {"$array": [str(value.dtype), list(value.shape), data]}
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def revived(value: Any) -> Any:
    """The inverse of `plain`."""
    if isinstance(value, dict) and "$bytes" in value:
        return base64.b64decode(value["$bytes"])
    if isinstance(value, dict) and "$array" in value:
        import numpy as np

        dtype, shape, data = value["$array"]
        return np.frombuffer(base64.b64decode(data), dtype).reshape(shape).copy()
    if isinstance(value, dict):
        return {key: revived(each) for key, each in value.items()}
    return [revived(each) for each in value] if isinstance(value, list) else value
