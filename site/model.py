"""The model page: a person drops an ONNX model, sees what it is, and runs it in this browser.

Runs in Pyodide in the page's worker. Files come as events; nothing of them leaves the page. NumPy
and `onnx` are fetched with the first file. One thing is done at a time, in the order of events.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import dropped
import model_text as text
import report
from edgewise.errors import EdgewiseError, InputError
from edgewise.formats.onnx import OnnxModel
from edgewise.host.base import Target
from edgewise.importers.onnx import check_operators
from edgewise.passes.base import Note
from edgewise.runtime.onnx import Files, OnnxSession
from edgewise.store.progress import Progress
from edgewise.tasks.onnx import gather, name_of_model
from view import View

if TYPE_CHECKING:
    from edgewise.host.browser import BrowserHost

TARGETS: tuple[Target, ...] = ("webgpu", "webnn", "wasm", "reference")
MAX_SEED, MAX_SIZE = 2**32 - 1, 1 << 24


class File(Protocol):
    """A file that was dropped: see host/browser/window.py."""

    name: str
    nbytes: int

    async def read(self) -> bytes:
        """All of it."""
        ...


@dataclass(frozen=True, slots=True)
class Opened:
    """The model that is on the page."""

    onnx: OnnxModel
    files: Files
    sizes: Sequence[dropped.Size]
    whole: Sequence[str]


class ModelPage:
    """What was dropped, and what is shown of it."""

    def __init__(self, host: BrowserHost, view: View) -> None:
        self._host, self._view = host, view
        self._opened: Opened | None = None
        self._waiting: dict[str, bytes] = {}  # a model whose data files are to come
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def on_event(self, event: dict[str, Any]) -> None:
        """An event of the page: model.html has their names."""
        match event["id"]:
            case "files":
                self.do(self._open(event["files"]))
            case "run":
                self.do(self._run(event["value"]))
            case "dismiss":
                self._view.property("error", "hidden", True)

    def do(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do this when it is its turn; an error is shown, and the next thing gets its turn."""

        async def in_turn() -> None:
            async with self._turn:
                self._view.property("error", "hidden", True)
                self._view.property("run", "disabled", True)
                try:
                    await work
                except Exception as error:  # noqa: BLE001  shown, whatever it was
                    self._show(error)
                self._rest()

        task = asyncio.ensure_future(in_turn())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def start(self) -> None:
        """See which targets this browser has."""
        await self._stage(text.LOOKING)
        best = True
        for name in TARGETS:
            facts, why = None, None
            try:
                if name != "reference":  # it is there when NumPy is
                    device = await self._host.open_device(name)
                    facts = device.facts
                    await device.close()
            except EdgewiseError as error:
                why = error
            title, about = text.target(name, facts, why)
            self._view.child("targets", "target", {"name": title, "about": about},
                             {"id": f"target-{name}"})  # fmt: skip
            self._view.property(f"target-{name}/choice", "value", name)
            self._view.property(f"target-{name}/choice", "disabled", why is not None)
            if why is None and best:
                self._view.property(f"target-{name}/choice", "checked", True)
                best = False
        self._view.text("status", text.READY)

    # A model -----------------------------------------------------------------------------------

    async def _open(self, files: Sequence[File]) -> None:
        self._forget()
        names = [*self._waiting, *(file.name for file in files)]
        if any(file.name.lower().endswith(".onnx") for file in files):
            names, self._waiting = [file.name for file in files], {}
        own = name_of_model(names)
        nbytes = sum(file.nbytes for file in files) + sum(map(len, self._waiting.values()))
        if nbytes > dropped.MAX_NBYTES:
            got, need = text.too_large(nbytes, dropped.MAX_NBYTES)
            raise InputError("files of a model", got=got, need=need)
        for package, stage in text.PACKAGES.items():
            await self._stage(stage)
            await self._host.load_package(package, self._progress)
        await self._stage(text.READING, own)
        given = self._waiting | {file.name: await file.read() for file in files}
        self._waiting = {}
        onnx = _parse(given[own])
        self._describe(own, onnx, nbytes)
        check_operators(onnx)
        try:
            gathered = gather(onnx, own, given)
        except InputError as error:
            self._waiting = given
            error.fix = text.AGAIN
            raise
        self._opened = Opened(onnx, gathered, dropped.sizes(onnx), dropped.whole(onnx))
        self._ask(self._opened)
        self._view.text("status", text.OPENED)

    def _forget(self) -> None:
        """Let go of the model before, its bytes and what was shown of it."""
        self._opened = None
        for section in ("model", "choices", "result"):
            self._view.property(section, "hidden", True)

    def _describe(self, name: str, onnx: OnnxModel, nbytes: int) -> None:
        self._view.text("model-title", name)
        self._rows("facts", text.described(onnx, nbytes))
        for section, values in (("inputs", list(dropped.given(onnx))),
                                ("outputs", onnx.graph.outputs)):  # fmt: skip
            self._view.text(section, "")
            for each in values:
                title, shape = text.value(each)
                self._view.child(section, "value", {"name": title, "shape": shape}, {})
        self._view.property("model", "hidden", False)

    def _ask(self, opened: Opened) -> None:
        self._view.text("sizes", "")
        self._view.text("fills", "")
        for number, size in enumerate(opened.sizes):
            self._field("sizes", f"size-{number}", size.name, str(size.proposed))
        for number, name in enumerate(opened.whole):
            self._field("fills", f"fill-{number}", name, "")
        self._view.property("sizes-group", "hidden", not opened.sizes)
        self._view.property("fills-group", "hidden", not opened.whole)
        self._view.property("choices", "hidden", False)

    def _field(self, group: str, id: str, name: str, value: str) -> None:
        template = group.removesuffix("s")
        self._view.child(group, template, {"name": name}, {"id": id})
        self._view.attribute(f"{id}/field", "name", id)
        self._view.attribute(f"{id}/field", "value", value)

    # A run -------------------------------------------------------------------------------------

    async def _run(self, form: Mapping[str, str]) -> None:
        opened = self._opened
        if opened is None:
            return
        self._view.property("result", "hidden", True)
        choice = chosen(opened, form)
        await self._stage(text.PREPARING)
        target = next(name for name in TARGETS if name == form.get("target", "reference"))
        arrays = dropped.inputs(opened.onnx, choice)
        session = await OnnxSession.open(self._host, opened.onnx, opened.files, target=target)
        try:
            result = await dropped.measure(self._host, session, arrays, self._measuring)
        finally:
            await session.close()
        self._show_result(result, choice)

    def _show_result(self, result: dropped.Measured, choice: dropped.Choice) -> None:
        self._view.text("made-up", text.made_up(choice.seed, choice.fills))
        self._rows("made", [text.output(name, array) for name, array in result.outputs.items()])
        self._rows("figures", text.measured(result))
        notes = result.report.notes
        placing = text.placing(notes)
        fusion = [note for note in notes if note.rule not in text.PLACING]
        self._notes("placing", placing, text.placing_title(placing))
        self._notes("fusion", fusion, text.fusion_title(fusion))
        self._view.property("result", "hidden", False)
        self._view.reveal("result")
        self._view.text("status", text.done(result))

    def _notes(self, section: str, notes: Sequence[Note], title: str) -> None:
        self._view.property(f"{section}-box", "hidden", not notes)
        self._view.text(f"{section}-title", title)
        self._view.text(section, "")
        for state, row in text.notes_rows(notes):
            parts = {"name": row.name, "reason": row.value}
            self._view.child(section, "note", parts, {"data-state": state})

    def _rows(self, section: str, rows: Sequence[report.Row]) -> None:
        self._view.text(section, "")
        for row in rows:
            self._view.child(section, "fact", row.parts(), {})

    # The wait ----------------------------------------------------------------------------------

    async def _stage(self, stage: str, detail: str = "") -> None:
        self._enter(stage, detail)
        await asyncio.sleep(0)  # what follows may keep Python busy: be seen first

    def _enter(self, stage: str, detail: str = "") -> None:
        self._view.property("loading", "hidden", False)
        self._view.text("loading-stage", f"{stage}…")
        self._view.text("loading-detail", detail)
        self._view.attribute("loading-bar", "value", None)
        self._view.text("status", stage)

    def _progress(self, progress: Progress) -> None:
        self._view.text("loading-detail", text.downloading(progress))
        self._view.property("loading-bar", "max", progress.total_nbytes)
        self._view.property("loading-bar", "value", progress.done_nbytes)
        if progress.done_nbytes == progress.total_nbytes:
            self._enter(text.UNPACKING)

    def _measuring(self) -> None:
        self._enter(text.MEASURING)

    def _rest(self) -> None:
        self._view.property("loading", "hidden", True)
        self._view.property("run", "disabled", self._opened is None)

    def _show(self, error: Exception) -> None:
        """Show an error by name with what to do; a bug goes to the console as well."""
        if not isinstance(error, EdgewiseError):
            context = {"message": "in the model page", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
            error = EdgewiseError(str(error) or type(error).__name__, fix=text.BUG)
        for part, said in report.error_parts(error).items():
            self._view.text(f"error/{part}", said)
        self._view.property("error", "hidden", False)
        self._view.reveal("error")
        self._view.text("status", "")


def chosen(opened: Opened, form: Mapping[str, str]) -> dropped.Choice:
    """The form's numbers. Raises InputError, which names the field."""
    sizes = {
        size.key: _number(f"size {size.name}", form.get(f"size-{index}", ""), 1, MAX_SIZE)
        for index, size in enumerate(opened.sizes)
    }
    typed = {name: form.get(f"fill-{index}", "") for index, name in enumerate(opened.whole)}
    fills = {
        name: _number(f"input {name}", given, -(2**31), 2**31 - 1)
        for name, given in typed.items()
        if given.strip()
    }
    return dropped.Choice(sizes, fills, _number("seed", form.get("seed", "0"), 0, MAX_SEED))


def _number(what: str, given: str, least: int, most: int) -> int:
    try:
        number = int(given)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise InputError(what, got=repr(given), need=f"a whole number from {least} to {most}")
    return number


def _parse(data: bytes) -> OnnxModel:
    from edgewise.formats.onnx_read import parse  # needs `onnx`, which is here by now

    return parse(data)


def main(shims: Any) -> None:
    """Called once by worker.js."""
    from edgewise.host.browser import BrowserHost, Window  # imports only in a browser

    window, host = Window(shims), BrowserHost(shims)
    page = ModelPage(host, View(window.post))
    page.do(page.start())
    window.listen(page.on_event)
