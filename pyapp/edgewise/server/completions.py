"""The endpoints of OpenAI's API that this server has: models, and chat completions.

What a body may say is in `body`, who does the work in `engine`. Beyond OpenAI's form each
choice carries `"edgewise": {"token_ids": [...]}`, the tokens that belong to its text.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from ..errors import EdgewiseError, ServerError
from ..tasks.answer import Piece
from ..tasks.chat import Stats
from .body import BODY_NBYTES, Completion, parse
from .engine import Engine
from .problems import Refusal, refusal_of

T = TypeVar("T")
Items = AsyncGenerator[Piece | Stats, None]


class Completions:
    """The endpoints over one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._since = int(time.time())

    async def models(self, request: Request) -> Response:
        """GET /v1/models"""
        entry = {"id": self._engine.model, "object": "model", "created": self._since}
        return JSONResponse({"object": "list", "data": [entry | {"owned_by": "edgewise"}]})

    async def create(self, request: Request) -> Response:
        """POST /v1/chat/completions"""
        asked = parse(await _body(request), self._engine.model)
        items = self._engine.stream(asked.request)
        shape = _Shape(self._engine.model, asked)
        if not asked.stream:
            return JSONResponse(await _unless_gone(request, _whole(shape, items)))
        # The first piece comes before the status: what is refused is refused with its own.
        first = await _unless_gone(request, _first(items))
        return StreamingResponse(
            _events(shape, first, items),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )


async def _body(request: Request) -> bytes:
    """The body, read no further than allowed. Raises Refusal 413 or 415."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        # Also keeps other sites' pages out: a browser sends them this type only with our leave.
        raise Refusal(415, "content-type: application/json is required", code="not_json")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_NBYTES:
            raise Refusal(
                413, f"the body is larger than {BODY_NBYTES} bytes", code="body_too_large"
            )
    return bytes(body)


async def _unless_gone(request: Request, work: Coroutine[None, None, T]) -> T:
    """What `work` returns; it is cancelled when the client goes away (ClientDisconnect)."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(request.receive())  # the body was read: only the end can come
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        for left in (task, gone):
            left.cancel()
        await asyncio.wait({task, gone})


async def _first(items: Items) -> Piece | Stats:
    return await anext(items)


async def _whole(shape: _Shape, items: Items) -> dict[str, object]:
    text, ids = "", list[int]()
    async with aclosing(items):
        async for item in items:
            if isinstance(item, Stats):
                return shape.whole(text, ids, item)
            text += item.text
            ids += item.token_ids
    raise _unfinished()


async def _events(shape: _Shape, first: Piece | Stats, items: Items) -> AsyncGenerator[bytes, None]:
    async with aclosing(items):
        try:
            yield _event(shape.opening())
            for chunk in shape.chunks(first):
                yield _event(chunk)
            async for item in items:
                for chunk in shape.chunks(item):
                    yield _event(chunk)
        except EdgewiseError as error:
            yield _event(refusal_of(error).to_dict())  # too late for a status
        else:
            yield b"data: [DONE]\n\n"


def _event(data: object) -> bytes:
    return f"data: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def _unfinished() -> ServerError:
    return ServerError("the answer was ended", got="the server shutting down", fix="ask again")


class _Shape:
    """OpenAI's JSON around one answer."""

    def __init__(self, model: str, asked: Completion) -> None:
        self._model, self._asked = model, asked
        self._id = f"chatcmpl-{secrets.token_hex(12)}"
        self._created = int(time.time())

    def opening(self) -> dict[str, object]:
        """The chunk that says who speaks."""
        return self._chunk({"role": "assistant", "content": ""}, [])

    def chunks(self, item: Piece | Stats) -> list[dict[str, object]]:
        """A piece's chunk; of the figures, the last chunk and, if asked for, the usage."""
        if isinstance(item, Piece):
            return [self._chunk({"content": item.text}, item.token_ids)]
        last = self._chunk({}, [], _finish(item))
        if not self._asked.include_usage:
            return [last]
        return [last, self._head("chat.completion.chunk", []) | {"usage": _usage(item)}]

    def whole(self, text: str, ids: list[int], stats: Stats) -> dict[str, object]:
        """The answer in one piece."""
        message = {"role": "assistant", "content": text, "refusal": None}
        choice: dict[str, object] = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": _finish(stats),
            "edgewise": {"token_ids": ids},
        }
        return self._head("chat.completion", [choice]) | {"usage": _usage(stats)}

    def _chunk(
        self, delta: dict[str, object], ids: list[int], finish: str | None = None
    ) -> dict[str, object]:
        choice: dict[str, object] = {
            "index": 0,
            "delta": delta,
            "logprobs": None,
            "finish_reason": finish,
            "edgewise": {"token_ids": ids},
        }
        return self._head("chat.completion.chunk", [choice])

    def _head(self, kind: str, choices: list[dict[str, object]]) -> dict[str, object]:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._model,
            "choices": choices,
        }


def _finish(stats: Stats) -> str:
    if stats.finish == "cancelled":
        raise _unfinished()
    return stats.finish


def _usage(stats: Stats) -> dict[str, int]:
    return {
        "prompt_tokens": stats.prompt_tokens,
        "completion_tokens": stats.tokens,
        "total_tokens": stats.prompt_tokens + stats.tokens,
    }
