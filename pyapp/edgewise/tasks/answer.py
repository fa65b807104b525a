"""What an answer is, wherever it is made: its pieces, its figures, and who can give one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ..errors import EmptyPromptError, InputError
from ..runtime.session import Sampling

Message = dict[str, str]
Finish = Literal["stop", "length", "cancelled"]
ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: a conversation that ends with the user's turn, and how to answer.

    started  tokens of the answer that were made already, elsewhere: it goes on after them
    """

    messages: Sequence[Message]
    max_new_tokens: int = 256
    sampling: Sampling = Sampling()  # noqa: RUF009  frozen
    stop: tuple[str, ...] = ()
    started: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer: whole characters, and the tokens that arrived with them.

    `text` may be empty, when the tokens end inside a character or in what may be a stop string.
    """

    text: str
    token_ids: list[int]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an answer ended, and the length of its prompt in tokens."""

    finish: Finish
    prompt_tokens: int


class Answerer(Protocol):
    """Gives answers: this device (`local`) or a server (`remote`)."""

    @property
    def outcome(self) -> Outcome:
        """Of the last answer."""
        ...

    def stream(self, request: Request) -> AsyncGenerator[Piece, None]: ...

    def stop(self) -> None:
        """End the running answer; what was made so far stays."""
        ...

    async def close(self) -> None: ...


def check(request: Request) -> None:
    """Raises EmptyPromptError when there is nothing to answer, InputError for a bad request."""
    if not request.messages or not request.messages[-1].get("content", "").strip():
        raise EmptyPromptError("an empty prompt", need="a message with text", fix="type a question")
    for index, message in enumerate(request.messages):
        if message.get("role") not in ROLES:
            raise InputError(
                "a message's role",
                got=repr(message.get("role")),
                need=f"one of {', '.join(ROLES)}",
                where=f"message {index}",
            )
    if request.max_new_tokens < 1:
        raise InputError("max_new_tokens", got=str(request.max_new_tokens), need="at least 1")
