"""A chat with a model, wherever it runs: the class that pages, the server and the CLI use.

It asks the router where, opens a session there, and hands over to the server when this device
turns out not to be able to. It says where it runs and why, and how fast it was.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from .. import debug
from ..errors import FormatError, HostError, PlanError, UnsupportedError
from ..host.base import Host
from ..router.place import Placement, Policy, hand_over, needs, place, place_on_server
from ..router.probe import probe
from ..runtime.session import Progress, Report, Sampling, Session
from ..store.manifest import Manifest
from .answer import Answerer, Finish, Message, Piece, Request, check
from .documents import load_manifest, load_tokenizer
from .local import LocalAnswerer
from .remote import RemoteAnswerer

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

    def __init__(self, host: Host, answerer: Answerer, where: Placement) -> None:
        self.where = where
        self.stats = Stats()
        self.answerer = answerer
        self._host = host

    @classmethod
    async def open(
        cls,
        host: Host,
        manifest_url: str,
        *,
        policy: Policy = "auto",
        server: str | None = None,
        token: str | None = None,
        on_place: Callable[[Placement], None] = lambda where: None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Chat:
        """A chat with the model of a manifest.

        policy    "local": here or not at all, and nothing of the conversation leaves the machine;
                  "server": on the server; "auto": here if possible.
        server    its address, such as "http://127.0.0.1:8000"; token: its bearer token.
        on_place  called with the decision, before anything is downloaded, and again if the
                  place turns out not to work.

        Raises what stands in the way when nobody can do it: DownloadError (manifest or
        weights), NoDeviceError, PlanError, UnsupportedError, QuotaError, HashMismatchError.
        """
        if policy == "server":
            where = place_on_server(server)
            on_place(where)
            return cls(
                host,
                RemoteAnswerer(host, server or "", token=token, on_progress=on_progress),
                where,
            )
        manifest = await load_manifest(host, manifest_url)
        found = await probe(host, manifest)
        where = place(
            found.facts,
            found.why_no_device,
            needs(manifest, context=MAX_CONTEXT),
            found.room,
            policy=policy,
            server=server,
        )
        on_place(where)
        if where.where != "server":
            try:
                return cls(host, await _open_local(host, manifest, on_progress), where)
            except (HostError, PlanError, UnsupportedError) as error:
                if policy == "local" or server is None:
                    raise
                where = hand_over(where, error, server)
                on_place(where)
        debug.say(debug.TIMINGS, "router", str(where.to_dict()))
        remote = RemoteAnswerer(host, server or "", token=token, on_progress=on_progress)
        return cls(host, remote, where)

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        max_new_tokens: int = 256,
        sampling: Sampling | None = None,
        stop: Sequence[str] = (),
    ) -> AsyncGenerator[Piece, None]:
        """The answer to a conversation (`{"role": …, "content": …}` each), piece by piece.

        stop  texts that end the answer and are not part of it.

        Raises EmptyPromptError, ContextOverrunError, InputError before anything runs;
        DeviceLostError when the device is lost twice; ServerError. The next call works.
        """
        request = Request(messages, max_new_tokens, sampling or Sampling(), tuple(stop))
        check(request)
        meter = _Meter(self._host.clock)
        self.stats = Stats(finish="cancelled")
        try:
            async with aclosing(self.answerer.stream(request)) as pieces:
                async for piece in pieces:
                    meter.count(len(piece.token_ids))
                    yield piece
        finally:
            outcome = self.answerer.outcome
            self.stats = meter.stats(outcome.finish, outcome.prompt_tokens)

    @property
    def report(self) -> Report | None:
        """What the session on this device found and decided; None when a server answers."""
        return self.answerer.session.report if isinstance(self.answerer, LocalAnswerer) else None

    def stop(self) -> None:
        """End the running answer. What was streamed stays valid."""
        self.answerer.stop()

    async def close(self) -> None:
        """Free the device."""
        await self.answerer.close()


async def _open_local(
    host: Host, manifest: Manifest, on_progress: Callable[[Progress], None] | None
) -> LocalAnswerer:
    if manifest.chat is None:
        raise FormatError(
            "the model has no chat format",
            need="one in its manifest",
            where=f"manifest {manifest.name}",
        )
    tokenizer = await load_tokenizer(host, manifest)
    # The tokenizer is here and kept: the session has only weights to fetch.
    weights = replace(manifest, tokenizer=None)
    session = await Session.open(
        host, weights, max_context=MAX_CONTEXT, on_progress=on_progress or (lambda progress: None)
    )
    return LocalAnswerer(host, session, tokenizer, manifest.chat)


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
