"""The chat page's logic: a host whose server answers by script, and what the page would show."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from chat import ChatPage
from edgewise.errors import DownloadError, NoDeviceError, ServerError
from edgewise.host.base import Device, Target, Tokenizer
from edgewise.host.builtins import NoBuiltins
from edgewise.store.base import Estimate, ObjectStore
from settings import Settings
from view import Update, View

SITE = "https://a.test/"


class ScriptedHost:
    """A machine without a GPU, and a server that answers each question by its words reversed.

    `gate` holds the server back while it is not set; `down` makes it refuse.
    """

    name = "scripted"
    store: ObjectStore
    builtins = NoBuiltins()

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.down = False
        self.bodies: list[dict[str, Any]] = []
        self._now = 0.0

    def clock(self) -> float:
        self._now += 10.0
        return self._now

    async def open_device(self, target: Target | None = None) -> Device:
        raise NoDeviceError("no WebGPU adapter")

    async def fetch_text(self, url: str) -> str:
        if url == f"{SITE}v1/models":
            return '{"data": []}'
        if url == f"{SITE}healthz" and not self.down:
            return '{"status": "ready", "model": "m"}'
        raise DownloadError(url, got="HTTP 404")

    async def fetch_range(self, url: str, offset: int, nbytes: int) -> tuple[bytes, int]:
        raise DownloadError(url)

    async def stream_lines(
        self, url: str, body: Mapping[str, object], headers: Mapping[str, str]
    ) -> AsyncIterator[str]:
        self.bodies.append(json.loads(json.dumps(body)))
        question = self.bodies[-1]["messages"][-1]["content"]
        if question == "refuse":
            raise ServerError("the server refuses", got="429")
        for number, word in enumerate(reversed(question.split())):
            delta = {"delta": {"content": word + " "}, "edgewise": {"token_ids": [number]}}
            yield f"data: {json.dumps({'choices': [delta]})}"
            await self.gate.wait()
        yield 'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}'
        yield "data: [DONE]"

    def tokenizer(self, tokenizer_json: str) -> Tokenizer:
        raise NotImplementedError

    def render(
        self, template: str, messages: Sequence[Mapping[str, str]], *, bos: str, eos: str
    ) -> str:
        raise NotImplementedError

    async def environment(self) -> Any:
        return SimpleNamespace(
            isolated=True, cores=2, room=Estimate(0, 10), persistent=False, timings={}
        )


class Shown:
    """What the page shows: the updates applied to a table of targets."""

    def __init__(self) -> None:
        self.now: dict[tuple[str, str], Any] = {}
        self.changed = asyncio.Event()

    def apply(self, updates: Sequence[Update]) -> None:
        for target, operation, value in updates:
            if operation == "append":
                operation, value = "text", self.now.get((target, "text"), "") + str(value)
            if (target, operation, value) == ("log", "text", ""):
                for key in [key for key in self.now if key[0].startswith("echo-")]:
                    del self.now[key]
            self.now[target, operation] = value
        self.changed.set()

    async def until(self, target: str, operation: str, value: object) -> None:
        while self.now.get((target, operation)) != value:
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 5)


class Session:
    """A page, its host and what it shows; `ask` is what page.js does on submit."""

    def __init__(self) -> None:
        self.host, self.shown, self.asked = ScriptedHost(), Shown(), 0
        view = View(self.shown.apply)
        chosen = Settings(f"{SITE}m.json", policy="server", max_new_tokens=8)
        self.page = ChatPage(self.host, view, SITE, chosen)  # type: ignore[arg-type]

    def ask(self, text: str) -> str:
        self.asked += 1
        element = f"echo-{self.asked}"
        self.event("ask", {"question": text}, element if text.strip() else None)
        return element

    def event(self, id: str, value: object = None, echo: str | None = None) -> None:
        self.page.on_event({"id": id, "type": "click", "value": value, "echo": echo})

    def text(self, target: str) -> str:
        return str(self.shown.now.get((target, "text"), ""))

    async def answered(self, element: str) -> None:
        await self.shown.until(element, "@data-state", "done")


def run(play: Callable[[Session], Any]) -> None:
    async def whole() -> None:
        await play(Session())

    asyncio.run(whole())


def test_answer() -> None:
    async def play(session: Session) -> None:
        await session.page.start()
        await session.answered(session.ask(" one two three "))
        assert session.text("echo-1/text") == "three two one "
        assert session.shown.now["echo-1/answer", "@data-token-ids"] == "0,1,2"
        assert session.shown.now["echo-1/answer", "@data-where"] == "server"
        assert session.text("echo-1/note").startswith("3 tokens · ")
        assert session.shown.now["log", "@aria-busy"] is None
        assert session.shown.now["stop", ".hidden"] is True
        assert session.shown.now["loading", ".hidden"] is True
        assert session.host.bodies[0]["max_completion_tokens"] == 8
        assert session.text("device-summary") == "No WebGPU here."
        assert session.text("status") == "Ready. Answers are made on the server."

    run(play)


def test_questions_wait_for_each_other_and_share_a_conversation() -> None:
    async def play(session: Session) -> None:
        session.host.gate.clear()
        first, second = session.ask("a b"), session.ask("c")
        await session.shown.until(first, "@data-state", "answering")
        await session.shown.until(f"{first}/text", "text", "b ")
        assert session.text(f"{second}/note") == "Waiting: the answer above comes first."
        assert session.shown.now["log", "@aria-busy"] == "true"
        session.host.gate.set()
        await session.answered(second)
        assert session.host.bodies[1]["messages"] == [
            {"role": "user", "content": "a b"},
            {"role": "assistant", "content": "b a "},
            {"role": "user", "content": "c"},
        ]

    run(play)


def test_question_waits_with_the_reason() -> None:
    async def play(session: Session) -> None:
        element = session.ask("a")
        await session.shown.until(f"{element}/note", "text", "Waiting: looking for the model.")
        await session.answered(element)

    run(play)


def test_error_is_shown_and_the_next_request_works() -> None:
    async def play(session: Session) -> None:
        refused, after = session.ask("refuse"), session.ask("b a")
        await session.answered(after)
        assert session.shown.now[refused, "@data-state"] == "failed"
        assert session.text("error/code") == "ServerError:"
        assert session.shown.now["error", ".hidden"] is False
        assert [m["content"] for m in session.host.bodies[1]["messages"]] == ["b a"]
        await session.answered(session.ask("c"))
        assert session.shown.now["error", ".hidden"] is True

    run(play)


def test_server_that_comes_back() -> None:
    async def play(session: Session) -> None:
        session.host.down = True
        await session.shown.until(session.ask("a"), "@data-state", "failed")
        assert session.text("error/code") == "ServerError:"
        session.host.down = False
        await session.answered(session.ask("a"))

    run(play)


@pytest.mark.parametrize("text", ["", " \n "])
def test_empty_question(text: str) -> None:
    async def play(session: Session) -> None:
        session.ask(text)
        await session.shown.until("error/code", "text", "EmptyPromptError:")
        await session.answered(session.ask("a"))

    run(play)


def test_stop_ends_the_answer_and_keeps_what_came() -> None:
    async def play(session: Session) -> None:
        session.host.gate.clear()
        element = session.ask("a b c")
        await session.shown.until(f"{element}/text", "text", "c ")
        session.event("stop")
        await session.answered(element)
        assert session.text(f"{element}/note").endswith("stopped")
        session.host.gate.set()
        await session.answered(session.ask("d"))
        assert [m["content"] for m in session.host.bodies[1]["messages"]] == ["a b c", "c ", "d"]

    run(play)


def test_stop_before_the_answer_drops_what_waits() -> None:
    async def play(session: Session) -> None:
        first, second = session.ask("a"), session.ask("b")
        session.event("stop")
        await session.shown.until(second, "@data-state", "dropped")
        third = session.ask("c")
        await session.answered(third)
        assert session.shown.now[first, "@data-state"] == "dropped"
        assert [m["content"] for m in session.host.bodies[0]["messages"]] == ["c"]

    run(play)


def test_new_conversation_forgets() -> None:
    async def play(session: Session) -> None:
        await session.answered(session.ask("a"))
        session.host.gate.clear()
        running = session.ask("b c")
        await session.shown.until(f"{running}/text", "text", "c ")
        session.event("new")
        session.host.gate.set()
        await session.answered(session.ask("d"))
        assert [m["content"] for m in session.host.bodies[-1]["messages"]] == ["d"]
        assert ("echo-1/text", "text") not in session.shown.now

    run(play)


def test_updates_of_one_turn_travel_together() -> None:
    async def play() -> None:
        posts: list[Sequence[Update]] = []
        view = View(posts.append)
        view.text("a", "1")
        view.append("a", "2")
        await asyncio.sleep(0)
        view.focus("b")
        await asyncio.sleep(0)
        assert posts == [[("a", "text", "1"), ("a", "append", "2")], [("b", "focus", None)]]

    asyncio.run(play())
