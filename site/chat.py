"""The chat page: what it does with the page's events, and what it shows.

Runs in Pyodide in the page's worker. It reaches the page through `View` and `Window`, the model
through `edgewise.tasks.chat`, and holds the conversation. Parameters of its address:

    model=URL       a manifest, a .gguf file or hf://org/name/file.gguf; default: the one that
                    index.html names
    policy=WORD     auto (default), local (nothing you type leaves this page) or server
    target=WORD     webgpu or wasm: what of this device may answer; default: the fastest
    server=URL      who answers when this device cannot; default: this site's own server
    tokens=N        the most tokens of an answer; default 256
    debug=1..4      what Edgewise tells the console: timings, graphs, kernels, plans
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import report
import settings
from edgewise import debug
from edgewise.errors import EdgewiseError, EmptyPromptError, InputError
from edgewise.host.base import Target
from edgewise.targets.device import DeviceFacts
from edgewise.tasks.chat import Chat
from opening import Opening
from view import View

if TYPE_CHECKING:
    from edgewise.host.browser import BrowserHost


@dataclass(eq=False, slots=True)
class Question:
    """A question that was asked; `element` is the exchange that the page shows for it."""

    text: str
    element: str
    dropped: bool = False


class ChatPage:
    """The conversation, and the questions that wait for their answer."""

    def __init__(self, host: BrowserHost, view: View, site: str, chosen: settings.Settings) -> None:
        self._host, self._view, self._settings = host, view, chosen
        self._opening = Opening(host, view, site, self._say_why_waiting, self.show)
        self._messages: list[dict[str, str]] = []
        self._waiting: deque[Question] = deque()
        self._current: Question | None = None
        self._answering = False
        self._serving: asyncio.Task[None] | None = None
        self.starting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Show what the device can do, then get the model, asked or not."""
        await self._describe()
        with contextlib.suppress(EdgewiseError):  # `Opening` showed it
            await self._opening.ready(self._settings)

    def on_event(self, event: dict[str, Any]) -> None:
        """An event of the page: index.html has their names."""
        match event["id"]:
            case "ask":
                self._ask(event["value"]["question"].strip(), event.get("echo"))
            case "stop":
                self._stop()
            case "new":
                self._new()
            case "dismiss":
                self._view.property("error", "hidden", True)

    def _ask(self, text: str, element: str | None) -> None:
        self._view.property("error", "hidden", True)
        if not text or element is None:
            self.show(EmptyPromptError("the question is empty", need="some text",
                                        fix="Type a question first."))  # fmt: skip
            return
        self._waiting.append(Question(text, element))
        self._say_why_waiting()
        if self._serving is None:
            self._serve()

    def _serve(self) -> None:
        self._serving = asyncio.ensure_future(self._answer_all())
        self._serving.add_done_callback(self._served)

    def _served(self, task: asyncio.Task[None]) -> None:
        """A round ended. By a bug: it is shown, and the questions that wait get their turn."""
        self._serving = None
        error = task.exception()
        if error is not None and self._current is not None:
            self._fail(self._current, error)
        self._current = None
        if self._waiting:
            self._serve()

    async def _answer_all(self) -> None:
        while self._waiting:
            question = self._current = self._waiting.popleft()
            try:
                chat = await self._opening.ready(self._settings)
                if not question.dropped:
                    await self._answer(chat, question)
            except EdgewiseError as error:
                self._fail(question, error)

    async def _answer(self, chat: Chat, question: Question) -> None:
        element, answer = question.element, f"{question.element}/answer"
        messages = self._messages  # a new conversation is a new list
        asked = {"role": "user", "content": question.text}
        text, ids = "", list[int]()
        self._state(element, "answering", "Reading the question…")
        self._busy(True)
        self._say_why_waiting()
        try:
            limit = self._settings.max_new_tokens
            stream = chat.stream([*messages, asked], max_new_tokens=limit)
            async with aclosing(stream) as pieces:
                async for piece in pieces:
                    self._opening.rest()  # a model may have had to be loaded, here or there
                    if not ids:
                        self._view.text(f"{element}/note", "Answering…")
                    text += piece.text
                    ids += piece.token_ids
                    self._view.append(f"{element}/text", piece.text)
                    self._view.attribute(answer, "data-token-ids", ",".join(map(str, ids)))
        finally:
            self._busy(False)
        messages += [asked, {"role": "assistant", "content": text}]
        self._view.attribute(answer, "data-where", chat.where.where)
        self._state(element, "done", report.figures(chat.stats, chat.where.where, chat.report))

    def _stop(self) -> None:
        """End the running answer; before there is one, give up what waits."""
        if self._answering and self._opening.chat:
            self._opening.chat.stop()
        else:
            self._drop([self._current, *self._waiting])

    def _new(self) -> None:
        self._stop()
        self._drop(list(self._waiting))
        self._messages = []
        self._view.text("log", "")
        self._view.property("error", "hidden", True)
        self._view.focus("question")

    def _drop(self, questions: list[Question | None]) -> None:
        for question in questions:
            if question is not None and not question.dropped:
                question.dropped = True
                self._state(question.element, "dropped", "Stopped before it was answered.")
        self._waiting.clear()

    def _busy(self, answering: bool) -> None:
        """While an answer grows, a screen reader waits: it then reads the whole."""
        self._answering = answering
        self._view.attribute("log", "aria-busy", "true" if answering else None)
        self._view.property("stop", "hidden", not answering)

    def _state(self, element: str, state: str, note: str) -> None:
        self._view.attribute(element, "data-state", state)
        self._view.text(f"{element}/note", note)

    def _say_why_waiting(self) -> None:
        """Tell each waiting question what it waits for."""
        stage = self._opening.stage
        reason = stage[:1].lower() + stage[1:]
        waiting = list(self._waiting)
        if self._opening.chat is not None:
            reason = "the answer above comes first"
        elif self._current is not None:
            waiting.append(self._current)
        for question in waiting:
            if not question.dropped:
                self._view.text(f"{question.element}/note", f"Waiting: {reason}.")

    async def _describe(self) -> None:
        gpu, why = await self._facts("webgpu")
        wasm, why_not = await self._facts("wasm")
        self._view.text("device-summary", report.summary(gpu, wasm))
        environment = await self._host.environment()
        devices = report.device_rows(gpu, why) + report.wasm_rows(wasm, why_not)
        for row in devices + report.page_rows(environment):
            self._view.child("facts", "fact", row.parts(), {})

    async def _facts(self, target: Target) -> tuple[DeviceFacts | None, EdgewiseError | None]:
        """What a device says of itself, or why there is none."""
        try:
            device = await self._host.open_device(target)
        except EdgewiseError as error:
            return None, error
        await device.close()
        return device.facts, None

    def _fail(self, question: Question, error: BaseException) -> None:
        self._state(question.element, "failed", "Not answered; the message says why.")
        self.show(error)

    def show(self, error: BaseException) -> None:
        """Show an error by name with what to do; a bug goes to the console as well."""
        if not isinstance(error, EdgewiseError):
            context = {"message": "in the chat page", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
            error = EdgewiseError(str(error) or type(error).__name__,
                                  fix="Ask again; if it stays so, reload the page.")  # fmt: skip
        for part, text in report.error_parts(error).items():
            self._view.text(f"error/{part}", text)
        self._view.property("error", "hidden", False)


def main(shims: Any) -> None:
    """Called once by worker.js."""
    from edgewise.host.browser import BrowserHost, Window  # imports only in a browser

    window, host = Window(shims), BrowserHost(shims)
    wrong: InputError | None = None
    try:
        chosen = settings.parse(window.address, window.default_model)
    except InputError as error:
        wrong, chosen = error, settings.Settings(window.default_model)
    debug.set_level(chosen.debug)
    page = ChatPage(host, View(window.post), window.address, chosen)
    if wrong is not None:
        page.show(wrong)
    window.listen(page.on_event)
    page.starting = asyncio.ensure_future(page.start())
