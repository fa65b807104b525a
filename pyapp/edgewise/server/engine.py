"""The engine of a server: one chat, in a thread with an event loop of its own.

GPU calls block, so they must not share the loop that speaks HTTP. Requests take turns in the
order in which they came; a few may wait, more are refused. Everything public here is called
from the HTTP loop.
"""

from __future__ import annotations

import asyncio
import threading
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import Future
from contextlib import aclosing, suppress
from dataclasses import dataclass

from .. import debug
from ..errors import EdgewiseError, HostError
from ..runtime.session import Progress
from ..tasks.answer import Piece, Request
from ..tasks.chat import Chat, Stats
from .problems import Refusal

WIND_UP_S = 5.0
OpenChat = Callable[[Callable[[Progress], None]], Awaitable[Chat]]


@dataclass(frozen=True, slots=True)
class Status:
    """How far the engine is: "loading" with progress, "ready", or "failed" with the error."""

    status: str
    progress: Progress | None = None
    error: EdgewiseError | None = None

    def to_dict(self) -> dict[str, object]:
        """What /healthz says."""
        data: dict[str, object] = {"status": self.status}
        if self.progress is not None:
            data |= {
                "stage": self.progress.stage,
                "done": self.progress.done,
                "total": self.progress.total,
            }
        if self.error is not None:
            data["error"] = {"message": str(self.error), "edgewise": self.error.to_dict()}
        return data


class Engine:
    """See the module.

    open_chat  called in the engine's thread; what it returns answers all requests.
    queue      how many requests may wait while one is answered; `asked` counts that one too.
    """

    def __init__(self, model: str, open_chat: OpenChat, *, queue: int = 8) -> None:
        self.model, self.queue = model, queue
        self.status = Status("loading")
        self.chat: Chat | None = None
        self._open_chat = open_chat
        self._turn = asyncio.Lock()
        self.asked = 0
        self._loop = asyncio.new_event_loop()
        self._main: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="edgewise-engine", daemon=True)

    def start(self) -> None:
        """Begin loading, in the background."""
        self._thread.start()

    async def close(self) -> None:
        """End a running answer and free the device."""
        self._loop.call_soon_threadsafe(self._end)
        await asyncio.to_thread(self._thread.join)

    async def stream(self, request: Request) -> AsyncGenerator[Piece | Stats, None]:
        """The pieces of an answer, once its turn has come, and its figures as the last item.

        Closing it early ends the work on the device. Raises Refusal when the model is not there
        or the queue is full, and what `Chat.stream` raises.
        """
        if self.chat is None:
            raise self._not_ready()
        if self.asked > self.queue:
            raise Refusal(
                429,
                f"{self.asked} requests are waiting already; try again later",
                code="queue_full",
                headers={"retry-after": "5"},
            )
        job = _Job(self.chat, request, self._loop)
        # A task of its own: what ends the request must not interrupt the end of the work.
        turn = asyncio.create_task(self._take_turn(job))
        turn.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            while (piece := await job.arrived.get()) is not None:
                yield piece
            yield turn.result()
        finally:
            if not job.leave():
                turn.cancel()

    async def _take_turn(self, job: _Job) -> Stats:
        self.asked += 1
        try:
            async with self._turn:
                return await job.run()
        finally:
            self.asked -= 1
            job.arrived.put_nowait(None)

    def _not_ready(self) -> Refusal:
        error = self.status.error
        if error is not None:
            return Refusal(503, str(error), code="model_failed", cause=error)
        at = self.status.progress
        far = f" ({at.stage}: {at.done} of {at.total})" if at else ""
        return Refusal(
            503,
            f"the model {self.model!r} is loading{far}",
            code="model_loading",
            headers={"retry-after": "2"},
        )

    # In the engine's thread --------------------------------------------------------------------

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._main = asyncio.current_task()
        with suppress(asyncio.CancelledError):
            await self._open()
            await asyncio.Event().wait()  # until `_end`
        if self.chat is not None:
            await self._wind_up(self.chat)

    async def _open(self) -> None:
        try:
            self.chat = await self._open_chat(self._report)
            self.status = Status("ready")
        except EdgewiseError as error:
            self.status = Status("failed", error=error)
        except Exception as error:  # noqa: BLE001  else the server would be loading for ever
            debug.say(debug.TIMINGS, "engine", traceback.format_exc)
            broken = HostError("the model cannot be opened", got=repr(error))
            self.status = Status("failed", error=broken)

    def _report(self, progress: Progress) -> None:
        self.status = Status("loading", progress)

    def _end(self) -> None:
        if self._main is None:
            self._loop.call_soon(self._end)  # asked before the thread's first step
        else:
            self._main.cancel()

    async def _wind_up(self, chat: Chat) -> None:
        chat.stop()
        rest = asyncio.all_tasks() - {self._main}
        if rest:
            await asyncio.wait(rest, timeout=WIND_UP_S)
        await chat.close()


class _Job:
    """One request between two loops: it runs in the engine's, its pieces arrive in this one."""

    def __init__(self, chat: Chat, request: Request, engine: asyncio.AbstractEventLoop) -> None:
        self.arrived: asyncio.Queue[Piece | None] = asyncio.Queue()
        self._chat, self._request, self._engine = chat, request, engine
        self._here = asyncio.get_running_loop()
        self._left = threading.Event()
        self._work: Future[Stats] | None = None

    async def run(self) -> Stats:
        """Do the work in the engine's loop; its figures."""
        self._work = asyncio.run_coroutine_threadsafe(self._answer(), self._engine)
        return await asyncio.wrap_future(self._work)

    async def _answer(self) -> Stats:
        asked = self._request
        pieces = self._chat.stream(
            asked.messages,
            max_new_tokens=asked.max_new_tokens,
            sampling=asked.sampling,
            stop=asked.stop,
            started=asked.started,
        )
        async with aclosing(pieces):
            async for piece in pieces:
                if self._left.is_set():
                    self._chat.stop()
                self._here.call_soon_threadsafe(self.arrived.put_nowait, piece)
                await asyncio.sleep(0)  # a device may never wait; this lets `stop` in
        return self._chat.stats

    def leave(self) -> bool:
        """Nobody listens any more. False if the work has not begun, and so need not."""
        self._left.set()
        if self._work is not None and not self._work.done():
            self._engine.call_soon_threadsafe(self._chat.stop)
        return self._work is not None
