"""Calls into the shims: what their promises give, and their errors as Edgewise's classes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Mapping
from typing import Any

import js
from pyodide.ffi import JsException, jsnull, to_js

from ...errors import EdgewiseError, from_dict


def error_of(error: Any) -> EdgewiseError:
    """The Edgewise error behind one that a shim threw (worker.js put its fields into JSON)."""
    fields = getattr(error, "fields", None)
    if not isinstance(fields, str):
        return from_dict({"code": str(error.name), "what": str(error.message)})
    return from_dict(json.loads(fields))


async def answer(promise: Awaitable[Any]) -> Any:
    """What a shim's promise gives; null and undefined are None."""
    try:
        value = await promise
    except JsException as error:
        raise error_of(error) from None
    return None if value is jsnull else value


def plain(data: Mapping[str, object]) -> Any:
    """A dict as a plain JavaScript object."""
    return to_js(data, dict_converter=js.Object.fromEntries)
