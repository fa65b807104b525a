"""Answers on this device: template, tokenizer, session, and text out of tokens."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from ..errors import FormatError
from ..formats.tokenizer import Chat as ChatFormat
from ..host.base import Host, Tokenizer
from ..runtime.session import Session
from .answer import Finish, Outcome, Piece, Request
from .text import IncrementalDecoder, StopStrings


class LocalAnswerer:
    """A session and what turns conversations into its tokens. Nothing leaves the machine."""

    def __init__(self, host: Host, session: Session, tokenizer: Tokenizer, chat: ChatFormat):
        self.session = session
        self.outcome = Outcome("stop", 0)
        self._host, self._tokenizer, self._chat = host, tokenizer, chat
        self._stopped = False

    async def stream(self, request: Request) -> AsyncGenerator[Piece, None]:
        """The answer as it is made. Raises ContextOverrunError before anything runs."""
        prompt = self._prompt(request)
        self._stopped = False
        self.outcome = Outcome("cancelled", len(prompt))
        decoder, stops = IncrementalDecoder(self._tokenizer), StopStrings(request.stop)
        stops.push(decoder.push(request.started))  # streamed by who began, but for a held end
        finish: Finish = "length"
        found = False
        batches = self.session.generate(
            prompt,
            max_new_tokens=request.max_new_tokens,
            stop_ids=self._chat.stop_ids,
            sampling=request.sampling,
        )
        async with aclosing(batches):
            async for batch in batches:
                # One by one when a stop string may fall inside a batch: no token may follow it.
                for ids in [[token] for token in batch] if request.stop else [batch]:
                    if found:
                        break  # drains the steps in flight, so that the session ends cleanly
                    text, found = stops.push(decoder.push(ids))
                    if found or ids[-1] in self._chat.stop_ids:
                        finish = "stop"
                    yield Piece(text, ids)
                    if found:
                        self.session.cancel()
        rest = "" if found else self._rest(decoder, stops)
        if rest:
            yield Piece(rest, [])
        self.outcome = Outcome("cancelled" if self._stopped else finish, len(prompt))

    def _prompt(self, request: Request) -> Sequence[int]:
        chat = self._chat
        if chat.template is None:
            raise FormatError("the model has no chat template", need="one in its manifest")
        text = self._host.render(
            chat.template, list(request.messages), bos=chat.bos or "", eos=chat.eos or ""
        )
        return [*self._tokenizer.encode(text), *request.started]

    @staticmethod
    def _rest(decoder: IncrementalDecoder, stops: StopStrings) -> str:
        text, found = stops.push(decoder.finish())
        return text if found else text + stops.finish()

    def stop(self) -> None:
        """End the running answer after the steps in flight."""
        self._stopped = True
        self.session.cancel()

    async def close(self) -> None:
        await self.session.close()
