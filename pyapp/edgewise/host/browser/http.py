"""What the page fetches besides weights: small documents and streamed lines."""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator, Mapping
from typing import Any

import js
from pyodide.ffi import JsException

from ...errors import DownloadError
from ...store.huggingface import Head
from .bridge import plain

FIX = "check the address, the network, and that the server allows this page's origin"


async def fetch(url: str, options: Mapping[str, object]) -> Any:
    """A response with status 200 or 206. Raises DownloadError."""
    response = await _answer(url, options)
    if not response.ok:
        raise DownloadError(f"download of {url}", got=f"HTTP {response.status}",
                            need="200 or 206", fix=FIX)  # fmt: skip
    return response


async def head(url: str) -> Head:
    """See `Host.fetch_head`."""
    response = await _answer(url, {"method": "HEAD"})
    headers = js.Object.fromEntries(response.headers).to_py()
    return Head(str(response.url), int(response.status), dict(headers))


async def _answer(url: str, options: Mapping[str, object]) -> Any:
    try:
        return await js.fetch(url, plain(options))
    except JsException as error:
        raise DownloadError(f"download of {url}", got=str(error.message), need="an answer",
                            fix=FIX) from None  # fmt: skip


async def lines_of(reader: Any) -> AsyncIterator[str]:
    """The lines that a stream's reader gives, without their ends."""
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    rest = ""
    while not (step := await reader.read()).done:
        *lines, rest = (rest + decode(step.value.to_bytes())).split("\n")
        for line in lines:
            yield line.removesuffix("\r")
    if rest:
        yield rest
