"""Engines as a driver sees them: each in a page of one browser, or a program beside it."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page, sync_playwright

from bench.wasm.cases import GGUF, Engine

HERE = Path(__file__).resolve().parent
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking",
         "--disable-component-update"]  # fmt: skip
SOFTWARE_GPU = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader",
                "--enable-features=Vulkan"]  # fmt: skip


class Running(Protocol):
    """An engine that is loaded and warm."""

    about: dict[str, Any]

    def turn(self, task: Mapping[str, Any]) -> dict[str, float]:
        """Times of one turn, in milliseconds, and what else the engine counts."""
        ...

    def outputs(self) -> bytes:
        """The first output."""
        ...

    def close(self) -> None:
        """Let its memory go."""
        ...


class InPage:
    """An engine in a page of its own, with a process of its own."""

    def __init__(self, browser: Browser, address: str, engine: Engine, threads: int) -> None:
        asked = {key: value if isinstance(value, str) else json.dumps(value)
                 for key, value in engine.query.items()}  # fmt: skip
        self.query = {**asked, "engine": str(engine.page), "threads": str(threads)}
        if engine.main:
            self.query["main"] = "1"
        self.page: Page = browser.new_context().new_page()
        self.page.on("crash", lambda _: print("  a page crashed", flush=True))
        self.page.goto(f"{address}/host.html?{urlencode(self.query)}")
        self.page.wait_for_function("document.title === 'ready'")
        self.about: dict[str, Any] = {}

    def open(self) -> Self:
        """Load and warm up. Raises playwright's Error with what the page says."""
        self.about = self._call("open", self.query)
        return self

    def facts(self) -> dict[str, Any]:
        """What the device says of itself; ours only."""
        found: dict[str, Any] = self._call("facts", self.query)
        return found

    def turn(self, task: Mapping[str, Any]) -> dict[str, float]:
        """See `Running`."""
        made: dict[str, float] = self._call("turn", dict(task))
        return made

    def outputs(self) -> bytes:
        """See `Running`."""
        return base64.b64decode(self._call("outputs", None))

    def close(self) -> None:
        """See `Running`."""
        self.page.context.close()

    def _call(self, method: str, argument: object) -> Any:
        return self.page.evaluate("([method, given]) => call(method, given)", [method, argument])


class Native:
    """llama.cpp in a process that waits for its turns."""

    def __init__(self, python: Path, model: Path, prompts: Path, threads: int) -> None:
        command = map(str, [python, HERE / "native_llama.py", model, prompts, threads])
        self._process = subprocess.Popen(
            [*command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True,
        )  # fmt: skip
        self.about: dict[str, Any] = self._answer()

    def turn(self, task: Mapping[str, Any]) -> dict[str, float]:
        """See `Running`."""
        assert self._process.stdin
        print(json.dumps(dict(task)), file=self._process.stdin, flush=True)
        made: dict[str, float] = self._answer()
        return made

    def outputs(self) -> bytes:
        """It gives none."""
        return b""

    def close(self) -> None:
        """See `Running`."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"llama.cpp ended with status {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


class Session:
    """One browser, and the engines that run in it or beside it."""

    def __init__(self, browser: Browser, address: str, peers: Path, models: Path) -> None:
        self.browser, self.address = browser, address
        self.peers, self.models = peers, models
        self._open: list[Running] = []

    def page(self, engine: Engine, threads: int) -> InPage:
        """A page with nothing loaded."""
        made = InPage(self.browser, self.address, engine, threads)
        self._open.append(made)
        return made

    def start(self, engine: Engine, threads: int) -> Running:
        """Load an engine. Raises playwright's Error, RuntimeError."""
        if engine.page is not None:
            return self.page(engine, threads).open()
        model = self.models / GGUF.format("Q4_1")
        python = self.peers / "llama" / "bin" / "python"
        prompts = self.peers / "models" / "inputs" / "prompts.json"
        native = Native(python, model, prompts, threads)
        self._open.append(native)
        return native

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for each in self._open:
            each.close()
        self._open.clear()


@contextmanager
def chromium(path: Path, flags: Sequence[str] = ()) -> Iterator[Browser]:
    """A browser for all pages of a run."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=[*FLAGS, *flags])
        yield browser
        browser.close()
