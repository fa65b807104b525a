"""Adapters in a page: what a swap gives, between answers and in the middle of one."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from e2e.browsers import Engine, engines
from e2e.python_page import PythonPage
from edgewise.host.cpython import CPythonHost
from edgewise.tasks.chat import Chat
from tests.runtime.test_adapters import ADAPTERS, greedy, packed
from tests.tiny_chat import make

ASK = [{"role": "user", "content": "Hi!"}]
SETTINGS: list[Any] = ["poet", None, {"poet": 0.5, "clerk": -1.5}, "poet"]
SWAP_AT, COUNT = 3, 6

SWAPPED = """
async def swapped(chat, ask, at, count):
    chat.set_adapter("poet")
    made = []
    async for piece in chat.stream(ask, max_new_tokens=count):
        made += piece.token_ids
        if len(made) == at:
            chat.set_adapter("clerk")
    return made
"""
IN_PAGE = (
    SWAPPED
    + """
from edgewise.tasks.chat import Chat
chat = await Chat.open(host, model, target=target, policy="local", adapters=adapters)
try:
    made = []
    for chosen in settings:
        chat.set_adapter(chosen)
        made.append([t async for piece in chat.stream(ask, max_new_tokens=4)
                     for t in piece.token_ids])
    return made, await swapped(chat, ask, at, count), chat.where.where
finally:
    await chat.close()
"""
)


async def on_reference(manifest: Path, adapters: dict[str, Path], store: Path) -> list[int]:
    """The tokens of the answer that is swapped in the middle, in CPython."""
    names: dict[str, Any] = {}
    exec(SWAPPED, names)
    addresses = {name: str(path) for name, path in adapters.items()}
    chat = await Chat.open(
        CPythonHost(store), str(manifest), target="reference", adapters=addresses
    )
    try:
        made: list[int] = await names["swapped"](chat, ASK, SWAP_AT, COUNT)
        return made
    finally:
        await chat.close()


@engines("chromium", "firefox_no_gpu")
def test_a_swap_in_the_page(python: PythonPage, engine: Engine, tmp_path: Path) -> None:
    tiny = make(tmp_path / "tiny")
    adapters = packed(tiny, tmp_path, ADAPTERS)
    for folder in (tmp_path / "tiny", tmp_path / "packed"):
        for path in folder.iterdir():
            python.serve(path.name, path)
    prompt = tiny.prompt(*ASK)
    wanted = [greedy(tiny, chosen, prompt, 4) for chosen in SETTINGS]
    with ThreadPoolExecutor(1) as beside:  # Playwright has this thread's event loop
        work = on_reference(tiny.manifest, adapters, tmp_path / "store")
        both = beside.submit(asyncio.run, work).result()
    assert both not in [greedy(tiny, name, prompt, COUNT) for name in ADAPTERS]
    for target in ("wasm",) if engine.name == "firefox_no_gpu" else ("webgpu", "wasm"):
        made, swapped, where = python.run(
            IN_PAGE, target=target, settings=SETTINGS, ask=ASK, at=SWAP_AT, count=COUNT,
            model=f"/files/{tiny.manifest.name}",
            adapters={name: f"/files/{path.name}" for name, path in adapters.items()},
        )  # fmt: skip
        assert where == target
        assert made == wanted
        assert swapped == both
