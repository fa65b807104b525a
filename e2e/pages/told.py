"""Shows what a page's Python is told of the browser's own models: see test_builtins.py."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from edgewise.host.browser import BrowserHost, Window
from edgewise.host.builtins import INTERFACES
from edgewise.hub.machine import options_of

running: list[asyncio.Task[None]] = []


def main(shims: Any) -> None:
    """Called by shims/worker.js."""
    running.append(asyncio.ensure_future(show(BrowserHost(shims), Window(shims))))


async def show(host: BrowserHost, window: Window) -> None:
    """Every interface's availability, for English, to French."""
    said = {}
    for name in INTERFACES:
        languages = ("en", "fr") if name == "Translator" else ("en",)
        said[name] = await host.builtins.availability(name, options_of(name, languages))
    window.post([["said", "text", json.dumps(said)]])
