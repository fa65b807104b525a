"""Errors that hosts share: a server's refusal, what is gone or lacking, a call that cannot wait."""

from __future__ import annotations

import json

from ..errors import EdgewiseError, HostError, ServerError, StoreError, from_dict


def refusal(url: str, status: int, body: str) -> EdgewiseError:
    """The error in an answer that is not 200.

    An Edgewise server sends its own error as `{"error": {"edgewise": error.to_dict()}}`, and
    that one comes back as it was; any other answer becomes a ServerError with its message.
    """
    try:
        data = json.loads(body)
    except ValueError:
        data = None
    inner = data.get("error") if isinstance(data, dict) else None
    if isinstance(inner, dict) and isinstance(inner.get("edgewise"), dict):
        return from_dict(inner["edgewise"])
    message = inner.get("message") if isinstance(inner, dict) else None
    return ServerError(
        "the server refuses", got=f"{status} {message or body[:200]}".strip(), where=url
    )


def unreachable(url: str, why: str) -> ServerError:
    """The error of a server that does not answer."""
    return ServerError(
        "the server cannot be reached",
        got=why or "no answer",
        where=url,
        fix="start it with `edgewise serve`, or check the address",
    )


def missing_object(hash: str) -> StoreError:
    """The error of an object that a weight file names and the store has no more."""
    return StoreError(
        "an object of the model is gone from the store",
        got="nothing, or bytes that fail their hash",
        need=hash,
        fix="open the model again: what is missing is fetched",
    )


def cannot_wait(where: str, instead: str) -> HostError:
    """The error of a plain call where only an awaited one can be."""
    return HostError("a call that waits for the device", got=where, need="a place that can wait",
                     fix=f"await {instead} instead")  # fmt: skip


def lacking(package: str, where: str, fix: str) -> HostError:
    """The error of a Python package that is not there."""
    return HostError(f"the Python package {package!r}", got=where, need="it", fix=fix)
