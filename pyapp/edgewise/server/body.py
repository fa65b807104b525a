"""The body of `POST /v1/chat/completions`, read and checked: JSON in, a `Completion` out.

Every field of OpenAI's that would change the answer is honoured or refused by name; none is
silently ignored. Pure; knows no HTTP but the refusal.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from ..runtime.session import Sampling
from ..tasks.answer import Message, Request
from .problems import Refusal, bad

BODY_NBYTES = 1 << 20
MAX_MESSAGES = 256
MAX_STOPS, MAX_STOP_CHARACTERS = 4, 256
MAX_NEW_TOKENS, DEFAULT_NEW_TOKENS = 2048, 256
# The chat templates know these three; "developer" is what OpenAI now calls "system".
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
KNOWN = frozenset(
    [
        "model",
        "messages",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "top_k",
        "repetition_penalty",
        "seed",
        "stop",
        "user",
        "metadata",
        "store",
        "edgewise",
    ]
)
#: Fields that we refuse unless they have the value that changes nothing.
NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "frequency_penalty": (0, 0.0),
    "presence_penalty": (0, 0.0),
    "response_format": ({"type": "text"},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "modalities": (["text"],),
}


@dataclass(frozen=True, slots=True)
class Completion:
    """A checked body."""

    request: Request
    stream: bool
    include_usage: bool


def parse(body: bytes, model: str) -> Completion:
    """Read and check a body for the model that is served. Raises Refusal."""
    data = _object(body)
    _refuse_unknown(data)
    _check_model(data.get("model"), model)
    limit = _integer(data, "max_completion_tokens", 1, MAX_NEW_TOKENS)
    limit = limit or _integer(data, "max_tokens", 1, MAX_NEW_TOKENS)
    request = Request(
        messages=_messages(data.get("messages")),
        max_new_tokens=limit or DEFAULT_NEW_TOKENS,
        sampling=_sampling(data),
        stop=_stops(data.get("stop")),
        started=_started(data.get("edgewise")),
    )
    stream = _boolean(data, "stream")
    options = data.get("stream_options")
    if options is None:
        return Completion(request, stream, False)
    if not stream or not isinstance(options, dict):
        raise bad("stream_options", "an object, and only with stream: true")
    return Completion(request, stream, _boolean(options, "include_usage"))


def _object(body: bytes) -> dict[str, object]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(400, "the body is not JSON", code="invalid_json") from None
    if not isinstance(data, dict):
        raise Refusal(400, "the body is not a JSON object", code="invalid_json")
    return data


def _refuse_unknown(data: Mapping[str, object]) -> None:
    for name, value in data.items():
        if name in NEUTRAL:
            if value is not None and not any(_same(value, one) for one in NEUTRAL[name]):
                raise Refusal(
                    400,
                    f"{name}: {json.dumps(value)[:80]} is not supported here",
                    code="unsupported_value",
                    param=name,
                )
        elif name not in KNOWN:
            raise Refusal(
                400,
                f"unrecognized request argument: {name[:80]}",
                code="unknown_parameter",
                param=name[:80],
            )


def _same(value: object, neutral: object) -> bool:
    # True == 1 in Python, not in JSON
    return value == neutral and isinstance(value, bool) == isinstance(neutral, bool)


def _check_model(asked: object, served: str) -> None:
    if not isinstance(asked, str) or not asked:
        raise bad("model", f"a string is required; this server has {served!r}")
    if asked != served:
        raise Refusal(
            404,
            f"the model {asked[:80]!r} does not exist; this server has {served!r}",
            code="model_not_found",
            param="model",
        )


def _messages(value: object) -> list[Message]:
    if not isinstance(value, list) or not value:
        raise bad("messages", "a list with at least one message is required")
    if len(value) > MAX_MESSAGES:
        raise bad("messages", f"at most {MAX_MESSAGES}; got {len(value)}")
    return [_message(item, f"messages[{index}]") for index, item in enumerate(value)]


def _message(value: object, where: str) -> Message:
    if not isinstance(value, dict):
        raise bad(where, "an object with role and content is required")
    role = value.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise bad(f"{where}.role", f"one of {', '.join(ROLES)} is required")
    return {"role": ROLES[role], "content": _content(value.get("content"), f"{where}.content")}


def _content(value: object, where: str) -> str:
    """Text, or a list of text parts, which are joined."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or not value:
        raise bad(where, "a string or a list of text parts is required")
    texts = [part.get("text") for part in value if isinstance(part, dict) and _is_text(part)]
    if len(texts) != len(value):
        raise bad(where, 'only parts of the form {"type": "text", "text": …} are supported')
    return "".join(str(text) for text in texts)


def _is_text(part: Mapping[str, object]) -> bool:
    return part.get("type") == "text" and isinstance(part.get("text"), str)


def _sampling(data: Mapping[str, object]) -> Sampling:
    seed = _integer(data, "seed", -(1 << 63), (1 << 63) - 1)
    return Sampling(
        temperature=_number(data, "temperature", 0.0, 2.0, 1.0),  # OpenAI's default
        top_k=_integer(data, "top_k", 0, 1 << 20) or 0,
        top_p=_number(data, "top_p", 0.0, 1.0, 1.0),
        repetition_penalty=_number(data, "repetition_penalty", 0.01, 10.0, 1.0),
        seed=secrets.randbits(32) if seed is None else seed & 0xFFFFFFFF,
    )


def _stops(value: object) -> tuple[str, ...]:
    stops = [value] if isinstance(value, str) else value or []
    if not isinstance(stops, list) or len(stops) > MAX_STOPS:
        raise bad("stop", f"a string or a list of at most {MAX_STOPS} strings")
    for stop in stops:
        if not isinstance(stop, str) or not 0 < len(stop) <= MAX_STOP_CHARACTERS:
            raise bad("stop", f"strings of 1 to {MAX_STOP_CHARACTERS} characters")
    return tuple(stops)


def _started(value: object) -> tuple[int, ...]:
    """The tokens of an answer that began elsewhere."""
    if value is None:
        return ()
    ids = value.get("token_ids") if isinstance(value, dict) else None
    if not isinstance(ids, list) or any(type(each) is not int for each in ids):
        raise bad("edgewise", 'an object {"token_ids": [integers]}')
    return tuple(ids)


def _boolean(data: Mapping[str, object], name: str) -> bool:
    value = data.get(name)
    if value is not None and not isinstance(value, bool):
        raise bad(name, "true or false")
    return bool(value)


def _integer(data: Mapping[str, object], name: str, low: int, high: int) -> int | None:
    value = data.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise bad(name, f"an integer from {low} to {high}")
    return value


def _number(
    data: Mapping[str, object], name: str, low: float, high: float, default: float
) -> float:
    value = data.get(name)
    if value is None:
        return default
    # `json` reads NaN and Infinity too; the comparison refuses both
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise bad(name, f"a number from {low:g} to {high:g}")
    return float(value)
