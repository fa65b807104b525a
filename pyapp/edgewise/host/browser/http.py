"""What the page fetches besides weights: small documents and streamed lines."""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator, Mapping
from typing import Any

import js
from pyodide.ffi import JsException

from ...errors import DownloadError
from .bridge import plain


async def fetch(url: str, options: Mapping[str, object]) -> Any:
    """A response with status 200 or 206. Raises DownloadError."""
    what = f"download of {url}"
    fix = "check the address, the network, and that the server allows this page's origin"
    try:
        response = await js.fetch(url, plain(options))
    except JsException as error:
        raise DownloadError(what, got=str(error.message), need="an answer", fix=fix) from None
    if not response.ok:
        raise DownloadError(what, got=f"HTTP {response.status}", need="200 or 206", fix=fix)
    return response


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
