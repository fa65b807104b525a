"""A chat that is opened with adapters: which answers, where, and what it was not opened with."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edgewise.errors import InputError
from edgewise.host.cpython import CPythonHost
from edgewise.tasks.chat import Chat
from tests.runtime.test_adapters import ADAPTERS, greedy, packed
from tests.tiny_chat import TinyChat

ASK = [{"role": "user", "content": "Hi!"}]


async def tokens(chat: Chat) -> list[int]:
    return [t async for piece in chat.stream(ASK, max_new_tokens=4) for t in piece.token_ids]


def test_answers_with_each_adapter_and_without(tiny: TinyChat, tmp_path: Path) -> None:
    async def go() -> None:
        addresses = {n: str(path) for n, path in packed(tiny, tmp_path, ADAPTERS).items()}
        host = CPythonHost(tmp_path / "store")
        chat = await Chat.open(
            host, str(tiny.manifest), target="wasm", adapters=addresses, server="http://nobody"
        )
        prompt = tiny.prompt(*ASK)
        for chosen in ("poet", None, {"poet": 1.0, "clerk": 1.0}, "clerk"):
            chat.set_adapter(chosen)
            wanted = greedy(tiny, chosen, prompt, 4)
            assert tiny.stop_id not in wanted, "the prompt ends too early for a test"
            assert await tokens(chat) == wanted
        with pytest.raises(InputError, match="'judge'"):
            chat.set_adapter("judge")
        await chat.close()

    asyncio.run(go())


def test_a_server_has_no_adapters(tiny: TinyChat, tmp_path: Path) -> None:
    async def go() -> None:
        host = CPythonHost(tmp_path / "store")
        with pytest.raises(InputError, match="policy 'server'"):
            await Chat.open(
                host, str(tiny.manifest), policy="server", server="http://nobody",
                adapters={"poet": "poet.manifest.json"},
            )  # fmt: skip
        chat = await Chat.open(host, str(tiny.manifest), policy="server", server="http://nobody")
        chat.set_adapter(None)
        with pytest.raises(InputError, match="a server that answers"):
            chat.set_adapter("poet")
        await chat.close()

    asyncio.run(go())
