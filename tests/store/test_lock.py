"""Locks of the store's folder: between tasks, between processes, and those of the dead."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from edgewise.store.folder import Folder
from tests.store.waiting import run

HOLDER = """
import asyncio, sys
from pathlib import Path
from edgewise.store.folder import Folder

async def hold():
    async with Folder(Path(sys.argv[1])).lock("a", shared=sys.argv[2] == "shared") as held:
        print(held, flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(hold())
"""


async def free(folder: Folder, name: str, *, shared: bool = False) -> bool:
    async with folder.lock(name, shared=shared, wait=False) as held:
        return held


@run
async def test_between_tasks(tmp_path: Path) -> None:
    folder, other = Folder(tmp_path), Folder(tmp_path)
    async with folder.lock("a") as held:
        assert held
        assert not await free(other, "a")
        assert not await free(folder, "a", shared=True)
        assert await free(folder, "b"), "another name is another lock"
    async with folder.lock("a", shared=True), other.lock("a", shared=True) as held:
        assert held
        assert not await free(folder, "a")
    assert await free(folder, "a")


@run
async def test_waiting_ends_with_the_holder_or_by_cancelling(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    order: list[str] = []

    async def wait() -> None:
        async with folder.lock("a"):
            order.append("waited")

    async with folder.lock("a"):
        waiter, given_up = asyncio.create_task(wait()), asyncio.create_task(wait())
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        order.append("held")
    await waiter
    assert order == ["held", "waited"]
    assert given_up.cancelled()
    assert await free(folder, "a")


@run
async def test_between_processes_and_after_a_kill(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(
        [*command, "shared"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        assert not await free(folder, "a")
        assert await free(folder, "a", shared=True)
        process.kill()
        process.wait()
        assert await free(folder, "a")
