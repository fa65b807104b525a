"""A chat with a model, wherever it runs: the class that pages, the server and the CLI use.

It asks the router where, opens a session there, and hands over to the server when this device
turns out not to be able to. It says where it runs and why, and how fast it was.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass, replace

from ..errors import EdgewiseError, HostError, InputError
from ..host.base import Host, Target
from ..router.place import SERVER, Placement, Policy
from ..runtime.session import Progress, Report, Sampling
from .answer import Answerer, Finish, Message, Piece, Request, check
from .documents import opened
from .local import LocalAnswerer
from .route import Here, Route

MAX_CONTEXT = 2048  # tokens that a session has room for


@dataclass(frozen=True, slots=True)
class Stats:
    """Figures of one answer. tokens_per_second is that of decoding, the first batch left out."""

    prompt_tokens: int = 0
    tokens: int = 0
    first_token_ms: float = 0.0
    tokens_per_second: float = 0.0
    finish: Finish = "stop"


class Chat:
    """Open one with `Chat.open`. One answer at a time."""

    def __init__(self, host: Host, route: Route, answerer: Answerer, where: Placement) -> None:
        self.where = where
        self.stats = Stats()
        self.answerer = answerer
        self._host, self._route = host, route
        self._stopped = False
        self._adapter: str | Mapping[str, float] | None = None
        self._running = AsyncExitStack()  # keeps the model from eviction while it is here

    @classmethod
    async def open(
        cls,
        host: Host,
        manifest_url: str,
        *,
        policy: Policy = "auto",
        target: Target | None = None,
        server: str | None = None,
        token: str | None = None,
        adapters: Mapping[str, str] | None = None,
        on_place: Callable[[Placement], None] = lambda where: None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Chat:
        """A chat with the model of a manifest.

        policy    "local": here or not at all, and nothing of the conversation leaves the machine;
                  "server": on the server; "auto": here if possible.
        target    the only device of this machine that may run it; the fastest unless given.
        server    its address, such as "http://127.0.0.1:8000"; token: its bearer token.
        adapters  addresses of adapters' manifests by the names that `set_adapter` takes. A server
                  has none: with any, answers are made here or not at all.
        on_place  called with the decision, before anything is downloaded, and again if the
                  place turns out not to work.

        Raises InputError for adapters of another base or on a server, and
        what stands in the way when nobody can do it: DownloadError (manifest or
        weights), NoDeviceError, PlanError, UnsupportedError, QuotaError, HashMismatchError.
        """
        here = None
        if adapters and policy == "server":
            raise InputError("adapters", got="policy 'server'", need="a device of this machine",
                             fix="choose the policy 'local'")  # fmt: skip
        if adapters:
            policy, server = "local", None
        async with AsyncExitStack() as stack:
            if policy != "server":
                manifest = await stack.enter_async_context(opened(host, manifest_url))
                parts = {
                    name: await stack.enter_async_context(opened(host, url))
                    for name, url in (adapters or {}).items()
                }
                here = await Here.look(host, manifest, target, MAX_CONTEXT, parts)
            route = Route(host, here, policy, server, token, on_place, on_progress)
            chat = cls(host, route, *await route.open())
            if chat.where.where != SERVER:
                chat._running = stack.pop_all()
            return chat

    def set_adapter(self, adapter: str | Mapping[str, float] | None) -> None:
        """Answer with an adapter, several with a weight each, or none: see `Session.set_adapter`.

        Raises InputError for a name that the chat was not opened with.
        """
        if isinstance(self.answerer, LocalAnswerer):
            self.answerer.session.set_adapter(adapter)
        elif adapter:
            raise InputError("adapters", got="a server that answers", need="answers made here",
                             fix="open the chat with `adapters`")  # fmt: skip
        self._adapter = adapter

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        max_new_tokens: int = 256,
        sampling: Sampling | None = None,
        stop: Sequence[str] = (),
        started: Sequence[int] = (),
    ) -> AsyncGenerator[Piece, None]:
        """The answer to a conversation (`{"role": …, "content": …}` each), piece by piece.

        stop     texts that end the answer and are not part of it.
        started  tokens of the answer that were made elsewhere: it goes on after them.

        A device that is lost twice is left for the next place, where the answer goes on.
        Raises EmptyPromptError, ContextOverrunError, InputError before anything runs;
        DeviceLostError when there is no other place; ServerError. The next call works.
        """
        request = Request(
            messages, max_new_tokens, sampling or Sampling(), tuple(stop), tuple(started)
        )
        check(request)
        meter = _Meter(self._host.clock)
        self.stats = Stats(finish="cancelled")
        self._stopped = False
        try:
            async with aclosing(self._pieces(request)) as pieces:
                async for piece in pieces:
                    meter.count(len(piece.token_ids))
                    yield piece
        finally:
            outcome = self.answerer.outcome
            self.stats = meter.stats(outcome.finish, outcome.prompt_tokens)

    async def _pieces(self, request: Request) -> AsyncGenerator[Piece, None]:
        """The answer, on as many places as it takes."""
        while True:
            ids: list[int] = []
            try:
                async with aclosing(self.answerer.stream(request)) as pieces:
                    async for piece in pieces:
                        ids += piece.token_ids
                        yield piece
                return
            except HostError as error:
                if self.where.where == SERVER:
                    raise
                lost, (self.answerer, self.where) = (
                    self.answerer,
                    await self._route.after(self.where.where, error),
                )
                self.set_adapter(self._adapter)
                with suppress(EdgewiseError):  # there may be nothing left to free
                    await lost.close()
                if self.where.where == SERVER:
                    await self._running.aclose()
            rest = request.max_new_tokens - len(ids)
            if self._stopped or rest < 1:
                return
            request = replace(request, started=(*request.started, *ids), max_new_tokens=rest)

    @property
    def report(self) -> Report | None:
        """What the session on this device found and decided; None when a server answers."""
        return self.answerer.session.report if isinstance(self.answerer, LocalAnswerer) else None

    def stop(self) -> None:
        """End the running answer. What was streamed stays valid."""
        self._stopped = True
        self.answerer.stop()

    async def close(self) -> None:
        """Free the device."""
        async with self._running:
            await self.answerer.close()


class _Meter:
    """Times the tokens of one answer."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._start = clock, clock()
        self._tokens = self._first_batch = 0
        self._first = self._last = self._start

    def count(self, n_tokens: int) -> None:
        """Tokens that arrived now."""
        if not n_tokens:
            return
        self._last = self._clock()
        if not self._tokens:
            self._first, self._first_batch = self._last, n_tokens
        self._tokens += n_tokens

    def stats(self, finish: Finish, prompt_tokens: int) -> Stats:
        seconds = (self._last - self._first) / 1e3
        rate = (self._tokens - self._first_batch) / seconds if seconds > 0 else 0.0
        first_ms = self._first - self._start
        return Stats(prompt_tokens, self._tokens, first_ms, rate, finish)
