"""What Python costs: the task API in Pyodide, timed from inside the page's worker.

Python's own time is the time that callbacks of its event loop run; between them Python waits and
JavaScript and the GPU work. Parameters of the address: tokens=N, answers=N.
"""

from __future__ import annotations

import asyncio
import traceback
from contextlib import aclosing
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyodide_js

from edgewise.host.browser import BrowserHost, Window
from edgewise.runtime.session import Progress, Sampling
from edgewise.tasks.chat import Chat

QUESTION = "Tell me a long story about a lighthouse keeper and the sea."


class Busy:
    """Milliseconds that the event loop's callbacks took so far, and how many there were."""

    def __init__(self, host: BrowserHost) -> None:
        self.ms, self.calls = 0.0, 0
        run = asyncio.Handle._run

        def timed(handle: asyncio.Handle) -> None:
            start = host.clock()
            run(handle)
            self.ms += host.clock() - start
            self.calls += 1

        asyncio.Handle._run = timed  # type: ignore[method-assign, assignment]


def heap_nbytes() -> int:
    """Python's whole memory; it grows and never shrinks, so this is its peak so far."""
    return int(pyodide_js._module.HEAP8.length)


async def answer(chat: Chat, host: BrowserHost, busy: Busy, tokens: int) -> dict[str, Any]:
    """One answer's figures. Python's time per token leaves out what comes before the first."""
    ids: list[int] = []
    text = ""
    before = (0.0, 0, 0)
    messages = [{"role": "user", "content": QUESTION}]
    sampling = Sampling(temperature=0.0)
    async with aclosing(chat.stream(messages, max_new_tokens=tokens, sampling=sampling)) as pieces:
        async for piece in pieces:
            ids += piece.token_ids
            text += piece.text
            if not before[2]:
                before = (busy.ms, busy.calls, len(ids))
    rest = len(ids) - before[2]
    return {
        "prompt_tokens": chat.stats.prompt_tokens,
        "tokens": len(ids),
        "tokens_per_s": chat.stats.tokens_per_second,
        "first_token_ms": chat.stats.first_token_ms,
        "python_ms_per_token": (busy.ms - before[0]) / rest if rest else None,
        "python_calls_per_token": (busy.calls - before[1]) / rest if rest else None,
        "text": text[:80],
    }


async def measure(shims: Any, window: Window, host: BrowserHost) -> dict[str, Any]:
    """Open the model and answer."""
    query = parse_qs(urlsplit(window.address).query)
    busy = Busy(host)
    stages: dict[str, list[float]] = {}

    def progress(now: Progress) -> None:
        stages.setdefault(now.stage, [host.clock(), 0.0])[1] = host.clock()

    heap = heap_nbytes()
    start = host.clock()
    chat = await Chat.open(host, window.default_model, policy="local", on_progress=progress)
    opened = host.clock()
    report = chat.report
    assert report is not None
    result: dict[str, Any] = {
        "boot_ms": dict(shims.about.timings.to_py()),
        "python_started_ms": start,
        "open_ms": opened - start,
        "ready_ms": opened,
        "python_ms_while_opening": busy.ms,
        "plan_ms": report.plan_ms,
        "plan_from_store": report.plan_from_store,
        "load_ms": report.load_ms,
        "stages_ms": stages,
        "device": report.facts.name,
        "variant": str(report.variant),
        "rejected": [list(row) for row in report.rejected],
        "device_nbytes": report.device_nbytes,
        "python_heap_nbytes": {"before": heap, "after": heap_nbytes()},
    }
    tokens, count = int(query.get("tokens", ["128"])[0]), int(query.get("answers", ["5"])[0])
    result["answers"] = [await answer(chat, host, busy, tokens) for _ in range(count)]
    await chat.close()
    return result


def main(shims: Any) -> None:
    """Called once by worker.js."""
    window, host = Window(shims), BrowserHost(shims)

    async def report() -> None:
        try:
            window.post([["result", "result", await measure(shims, window, host)]])
        except Exception:  # noqa: BLE001  the page has to hear of anything
            window.post([["result", "error", traceback.format_exc()]])

    main.task = asyncio.ensure_future(report())  # type: ignore[attr-defined]
