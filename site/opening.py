"""Getting the model: opens the chat once, shows how far it is, and opens again after a failure."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from urllib.parse import urljoin

import report
from edgewise.errors import DownloadError
from edgewise.host.base import Host
from edgewise.router.place import Placement
from edgewise.runtime.session import Progress
from edgewise.tasks.chat import Chat
from edgewise.tasks.local import LocalAnswerer
from settings import Settings
from view import View

STAGES = {
    "check": "Checking what this device computes",
    "download": "Downloading the model",
    "share": "Asking where sites share models",
    "compile": "Compiling the model for this device",
    "load": "Putting the model on this device",
    "server": "The server is loading its model",
}


class Opening:
    """The way to an open chat. `stage` says in words what is going on."""

    def __init__(
        self,
        host: Host,
        view: View,
        site: str,
        on_stage: Callable[[], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self.stage = "Starting Python"
        self.chat: Chat | None = None
        self._host, self._view, self._site = host, view, site
        self._on_stage, self._on_error = on_stage, on_error
        self._task: asyncio.Task[Chat] | None = None
        self._leaving: asyncio.Task[None] | None = None

    async def ready(self, settings: Settings) -> Chat:
        """The open chat. Raises what Chat.open raises; the next call then tries again."""
        if self.chat is not None:
            return self.chat
        if self._task is None:
            self._task = asyncio.ensure_future(self._open(settings))
            self._task.add_done_callback(self._opened)
        # shielded: who waits may be cancelled, the download goes on
        return await asyncio.shield(self._task)

    async def _open(self, settings: Settings) -> Chat:
        self._enter("Looking for the model")
        server = settings.server
        if server is None and settings.policy != "local":
            server = await self._own_server()
        return await Chat.open(self._host, settings.model, policy=settings.policy, server=server,
                               target=settings.target, on_place=self._place,
                               on_progress=self._progress)  # fmt: skip

    def rest(self) -> None:
        """Nothing is being got ready any more."""
        if not self.stage:
            return
        self.stage = ""
        self._view.property("loading", "hidden", True)
        ready = f"Ready. {report.ready(self.chat.where)}" if self.chat else ""
        self._view.text("status", ready)

    def _opened(self, task: asyncio.Task[Chat]) -> None:
        self._task = None
        error = task.exception()
        if error is not None:
            self.rest()
            self._on_error(error)
            return
        self.chat = task.result()
        self.rest()
        if isinstance(self.chat.answerer, LocalAnswerer):
            for row in report.session_rows(self.chat.answerer.session.report):
                self._view.child("facts", "fact", row.parts(), {})
            for served in self._host.ladder.served.values():
                self._view.child("facts", "fact", report.file_row(served).parts(), {})
            self._leaving = asyncio.ensure_future(self._left())
        self._on_stage()

    async def _left(self) -> None:
        """Says what other places took, once they did."""
        await self._host.ladder.settled()
        for served in self._host.ladder.served.values():
            if served.offered:
                self._view.child("facts", "fact", report.offered_row(served).parts(), {})

    async def _own_server(self) -> str | None:
        """The server that this site comes from, if it is one of ours."""
        try:
            models = json.loads(await self._host.fetch_text(urljoin(self._site, "v1/models")))
        except (DownloadError, ValueError):
            return None
        return urljoin(self._site, ".") if isinstance(models, dict) else None

    def _progress(self, progress: Progress) -> None:
        self._enter(STAGES.get(progress.stage, progress.stage.capitalize()))
        if progress.stage not in ("download", "load", "server") or not progress.total:
            return
        detail = f"{report.size(progress.done)} of {report.size(progress.total)}"
        if progress.rate:
            detail += f", {report.size(progress.rate)}/s"
        if progress.seconds_left is not None and progress.done < progress.total:
            detail += f", {report.duration(progress.seconds_left)} left"
        self._view.text("loading-detail", detail)
        self._view.property("loading-bar", "max", progress.total)
        self._view.property("loading-bar", "value", progress.done)

    def _enter(self, stage: str) -> None:
        if stage == self.stage:
            return
        self.stage = stage
        self._view.property("loading", "hidden", False)
        self._view.text("loading-stage", f"{stage}…")
        self._view.text("loading-detail", "")
        self._view.attribute("loading-bar", "value", None)
        self._view.text("status", stage)
        self._on_stage()

    def _place(self, where: Placement) -> None:
        self._view.property("where-title", "hidden", False)
        self._view.text("device-ready", report.ready(where))
        self._view.text("candidates", "")
        for state, row in report.candidates(where):
            parts = {"name": f"{row.name}:", "reason": row.value}
            self._view.child("candidates", "candidate", parts, {"data-state": state})
