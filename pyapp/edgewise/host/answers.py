"""What a server's refusal says, as an error: shared by the hosts that speak HTTP."""

from __future__ import annotations

import json

from ..errors import EdgewiseError, ServerError, from_dict


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
