"""Answers from a server: a client of `POST /v1/chat/completions`, streamed (SSE).

The conversation leaves the machine here and nowhere else; the policy `local` never makes one
of these. Speaks to an Edgewise server, which adds the token ids to OpenAI's form.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing

from ..errors import DownloadError, EdgewiseError, ServerError, from_dict
from ..host.answers import unreachable
from ..host.base import Host
from ..runtime.session import Progress
from .answer import Outcome, Piece, Request

POLL_S = 0.5  # while the server loads its model


class RemoteAnswerer:
    """The server at `address`. Nothing is asked of it before the first question."""

    def __init__(
        self,
        host: Host,
        address: str,
        *,
        token: str | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self.address = address.rstrip("/")
        self.outcome = Outcome("stop", 0)
        self._host, self._on_progress = host, on_progress
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._stopped = asyncio.Event()

    async def stream(self, request: Request) -> AsyncGenerator[Piece, None]:
        """The answer as it arrives. Raises ServerError, or the error that the server names."""
        self._stopped.clear()
        self.outcome = Outcome("cancelled", 0)
        model = await self._ready()
        if model is None:
            return
        url = f"{self.address}/v1/chat/completions"
        lines = self._host.stream_lines(url, _body(model, request), self._headers)
        whole = False
        async with aclosing(_until(lines, self._stopped)) as arriving:
            async for line in arriving:
                data = line.removeprefix("data:").strip()
                if data == line or not data:
                    continue  # a comment, or the empty line between events
                if data == "[DONE]":
                    whole = True
                    break
                piece = self._read(_parse(data, url))
                if piece:
                    yield piece
        if not whole and not self._stopped.is_set():
            raise ServerError(
                "the answer broke off",
                got="the end of the stream",
                need="data: [DONE]",
                where=url,
                fix="ask again",
            )

    async def _ready(self) -> str | None:
        """The server's model, once it is loaded; None when stopped while waiting."""
        url = f"{self.address}/healthz"
        while not self._stopped.is_set():
            try:
                state = _parse(await self._host.fetch_text(url), url)
            except DownloadError as error:
                raise unreachable(self.address, error.got or error.what) from None
            if state.get("status") == "ready":
                return str(state.get("model"))
            if state.get("status") != "loading":
                raise _failure(state, url)
            self._report(state)
            await _wait(self._stopped, POLL_S)
        return None

    def _report(self, state: Mapping[str, object]) -> None:
        done, total = state.get("done"), state.get("total")
        if self._on_progress and isinstance(done, int) and isinstance(total, int):
            self._on_progress(Progress("server", done, total, 0.0, None))

    def _read(self, chunk: Mapping[str, object]) -> Piece | None:
        """A chunk's part of the answer; notes how the answer ended."""
        usage, choices = chunk.get("usage"), chunk.get("choices")
        if isinstance(usage, dict):
            self.outcome = Outcome(self.outcome.finish, int(usage.get("prompt_tokens", 0)))
        if not isinstance(choices, list) or not choices:
            return None
        choice = choices[0]
        if choice.get("finish_reason"):
            finish = "stop" if choice["finish_reason"] == "stop" else "length"
            self.outcome = Outcome(finish, self.outcome.prompt_tokens)  # type: ignore[arg-type]
        text = choice.get("delta", {}).get("content") or ""
        ids = choice.get("edgewise", {}).get("token_ids", [])
        return Piece(text, ids) if text or ids else None

    def stop(self) -> None:
        """End the running answer: the connection closes, and the server stops."""
        self._stopped.set()

    async def close(self) -> None:
        self.stop()


def _body(model: str, request: Request) -> dict[str, object]:
    sampling = request.sampling
    return {
        "model": model,
        "messages": list(request.messages),
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens": request.max_new_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "repetition_penalty": sampling.repetition_penalty,
        "seed": sampling.seed,
        **({"stop": list(request.stop)} if request.stop else {}),
        **({"edgewise": {"token_ids": list(request.started)}} if request.started else {}),
    }


def _parse(text: str, url: str) -> dict[str, object]:
    try:
        data = json.loads(text)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise ServerError(
            "not an Edgewise server",
            got=repr(text[:80]),
            need="a JSON object",
            where=url,
            fix="check the server's address",
        )
    if "error" in data and "status" not in data:
        raise _failure(data, url)
    return data


def _failure(data: Mapping[str, object], url: str) -> EdgewiseError:
    error = data.get("error")
    if isinstance(error, dict) and isinstance(error.get("edgewise"), dict):
        return from_dict(error["edgewise"])
    got = error.get("message") if isinstance(error, dict) else str(data)[:200]
    return ServerError("the server cannot answer", got=str(got), where=url)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return


async def _until(items: AsyncIterator[str], stopped: asyncio.Event) -> AsyncGenerator[str, None]:
    """`items` until they end or `stopped` is set, even while the next one is awaited."""
    stop = asyncio.ensure_future(stopped.wait())
    step: asyncio.Future[str | None] | None = None
    try:
        while True:
            step = asyncio.ensure_future(_next(items))
            await asyncio.wait({step, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not step.done() or (item := step.result()) is None:
                return
            yield item
    finally:
        for task in (stop, step):
            if task is not None and not task.done():
                task.cancel()  # for the step this closes the connection
                await asyncio.wait({task})


async def _next(items: AsyncIterator[str]) -> str | None:
    return await anext(items, None)
