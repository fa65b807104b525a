"""A page that opens Wasm devices through shims/wasm.js and runs plans on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
from playwright.sync_api import Page

from e2e.browsers import ROOT
from e2e.server import SiteServer
from edgewise.targets.device import DeviceFacts

#: Every module, and every number of threads that is not like another.
CHOICES = [("simd", 1), ("relaxed", 1), ("threads", 1), ("threads", 2)]


#: Runs in one message to the page.
AT_ONCE = 200


class Job(Protocol):
    """A run, and who says what is wrong with what the page makes of it."""

    @property
    def name(self) -> str: ...

    def to_json(self, devices: list[DeviceFacts]) -> dict[str, object]:
        """What the page needs; see pages/wasm.js."""
        ...

    def error(self, result: dict[str, Any]) -> str | None:
        """What is wrong with a result, or None."""
        ...


@dataclass(frozen=True, slots=True)
class WasmPage:
    """pages/wasm.js in a browser, and its host."""

    page: Page
    site: SiteServer

    def go(self) -> None:
        """Load the page anew."""
        self.page.goto(f"{self.site.url}/pages/wasm.html")
        self.page.wait_for_selector("html[data-ready]", state="attached")

    def open(self, **options: Any) -> DeviceFacts:
        """A device, instead of the one that was open. Raises playwright's Error."""
        return DeviceFacts.from_dict(self.page.evaluate("options => openDevice(options)", options))

    def run(self, jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What each plan gives: see pages/jobs.js."""
        results: list[dict[str, Any]] = self.page.evaluate("jobs => runAll(jobs)", jobs)
        return results

    def check_everywhere(self, jobs: Sequence[Job]) -> None:
        """Every job on every module: each is right, and the same with two threads as with one."""
        choices = [{"module": module, "threads": threads} for module, threads in CHOICES]
        found = self.page.evaluate("choices => openAll(choices)", choices)
        devices = [DeviceFacts.from_dict(each) for each in found]
        wrong = {}
        for first in range(0, len(jobs), AT_ONCE):
            group = jobs[first : first + AT_ONCE]
            given = [job.to_json(devices) for job in group]
            answers = self.page.evaluate("jobs => runEverywhere(jobs)", given)
            for job, results in zip(group, answers, strict=True):
                for choice, result in zip(CHOICES, results, strict=True):
                    if result is None:
                        continue  # as the one before
                    if choice == ("threads", 2):
                        wrong[f"{job.name} on {choice}"] = "other bits than with one thread"
                    elif error := job.error(result):
                        wrong[f"{job.name} on {choice}"] = error
        assert wrong == {}

    def attempt(self, code: str, *arguments: Any) -> Any:
        """What an async function body returns, or the fields of what it throws.

        `wasm` is the shim, `device()` the open device, `args` the arguments.
        """
        return self.page.evaluate(f"args => attempt(async () => {{ {code} }})", arguments)


@pytest.fixture
def wasm(page: Page, tmp_path: Path, site_server: Callable[[Path], SiteServer]) -> WasmPage:
    """The page, ready."""
    (tmp_path / "shims").symlink_to(ROOT / "shims")
    (tmp_path / "pages").symlink_to(ROOT / "e2e" / "pages")
    made = WasmPage(page, site_server(tmp_path))
    made.go()
    return made
