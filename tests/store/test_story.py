"""The models of a folder against plain data: two writers, cancelled and killed at any point.

cancelled   at its n-th await: what cleans up runs
killed      at the n-th time that it touches the disk: nothing of it runs any more, and what
            was half written lies in tmp/
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edgewise.store import flock
from edgewise.store.base import Estimate
from edgewise.store.folder import Folder
from edgewise.store.records import running
from tests.store.models import digest
from tests.store.story import (
    HASHES,
    LETTERS,
    MODELS,
    NBYTES,
    Op,
    State,
    act,
    address,
    content,
    cut_off,
    look,
    settle,
    tell,
    tell_both,
)

pytestmark = pytest.mark.timeout(240)  # a failure is shrunk

T = TypeVar("T")
MODEL, LETTER = st.sampled_from(sorted(MODELS)), st.sampled_from(LETTERS)
OP = st.one_of(
    st.tuples(st.sampled_from(["open", "open", "evict", "pin", "unpin"]), MODEL),
    st.tuples(st.sampled_from(["put", "get"]), LETTER),
    st.tuples(st.sampled_from(["gc", "verify"]), st.none()),
    st.tuples(st.just("make_room"), st.integers(1, 4)),
)
POINT = st.integers(0, 40)


class Killed(BaseException):
    """The process is gone."""


class Paced(Folder):
    """A folder of so many bytes, whose every operation waits, so that others come in between."""

    quota = 10**9
    pace = 1

    async def estimate(self) -> Estimate:
        objects = len(await self.list()) * NBYTES
        return Estimate(objects + sum((await self.texts()).values()), self.quota)

    async def is_right(self, hash: str) -> bool:
        return digest(self._object(hash).read_bytes()) == hash

    async def fill(self) -> None:
        """Leaves no room."""
        self.quota = (await self.estimate()).usage or 0


def paced(name: str) -> Callable[..., Any]:
    async def call(self: Paced, *args: Any) -> Any:
        for _ in range(self.pace):
            await asyncio.sleep(0)
        found = await getattr(Folder, name)(self, *args)
        await asyncio.sleep(0)
        return found

    return call


for each in ("has", "list", "check", "read", "write", "remove", "get_text", "put_text",
             "remove_text", "texts"):  # fmt: skip
    setattr(Paced, each, paced(each))


async def inline(work: Callable[..., T], *args: Any) -> T:
    """Instead of a thread, whose time nobody knows."""
    await asyncio.sleep(0)
    return work(*args)


def killing(at: int) -> AsyncExitStack:
    """Until it ends, the at-th touch of the disk raises, and every later one."""
    left = at

    def dying(real: Callable[..., T]) -> Callable[..., T]:
        def call(*args: Any, **kwargs: Any) -> T:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return real(*args, **kwargs)

        return call

    stack = AsyncExitStack()
    for owner, name in ((os, "replace"), (os, "fsync"), (Path, "unlink"), (tempfile, "mkstemp")):
        stack.enter_context(mock.patch.object(owner, name, dying(getattr(owner, name))))
    return stack


class StoryMachine(RuleBasedStateMachine):
    """See `story`."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.state, self.time = State(), 0
        self.runner, self.patches = asyncio.Runner(), AsyncExitStack()
        self.patches.enter_context(mock.patch.object(flock, "POLL_S", 0))
        self.patches.enter_context(mock.patch.object(asyncio, "to_thread", inline))
        # a process that dies loses nothing that it wrote; syncing takes most of the time
        self.patches.enter_context(mock.patch.object(os, "fsync", return_value=None))
        self.open = {name: AsyncExitStack() for name in MODELS}
        self.restart()

    def teardown(self) -> None:
        for stack in (*self.open.values(), self.patches):
            self.runner.run(stack.aclose())
        self.runner.close()
        shutil.rmtree(self.root)

    def at(self, op: tuple[str, Any]) -> Op:
        self.time += 1
        return (*op, self.time)

    @rule(op=OP)
    def alone(self, op: tuple[str, Any]) -> None:
        self.state = self.runner.run(tell(self.one, self.state, self.at(op)))

    @rule(one=OP, two=OP, pace=st.integers(1, 4))
    def both(self, one: tuple[str, Any], two: tuple[str, Any], pace: int) -> None:
        self.two.pace = pace
        ops = self.at(one), self.at(two)
        if {one[0], two[0]} & {"make_room", "verify", "get"} and self.state.damaged:
            return  # which of two finds what is damaged is nobody's business
        self.state = self.runner.run(tell_both([self.one, self.two], self.state, ops))

    @rule(op=OP, point=POINT)
    def cancelled(self, op: tuple[str, Any], point: int) -> None:
        self.crashed([self.one], (self.at(op),), point)

    @rule(one=OP, two=OP, point=POINT)
    def cancelled_beside_another(
        self, one: tuple[str, Any], two: tuple[str, Any], point: int
    ) -> None:
        self.crashed([self.one, self.two], (self.at(one), self.at(two)), point)

    def crashed(self, stores: list[Paced], ops: tuple[Op, ...], point: int) -> None:
        async def run() -> State:
            first = cut_off(act(stores[0], ops[0]), point)
            await asyncio.gather(first, *map(act, stores[1:], ops[1:]))
            return await look(self.one, self.state)

        self.state = settle(self.state, self.runner.run(run()), ops)

    @rule(op=OP, point=st.integers(0, 20))
    def killed(self, op: tuple[str, Any], point: int) -> None:
        made = self.at(op)

        async def run() -> State:
            async with killing(point):
                with suppress(Killed):
                    await act(self.one, made)
            return await look(self.one, self.state)

        self.state = settle(self.state, self.runner.run(run()), (made,))

    @precondition(lambda self: self.state.objects)
    @rule(data=st.data())
    def damage(self, data: st.DataObject) -> None:
        letter = data.draw(st.sampled_from(sorted(self.state.objects)))
        hash = HASHES[letter]
        wrong = content(letter)[:-1] + b"!"
        (self.root / "objects" / hash[:2] / hash[2:]).write_bytes(wrong)
        self.state = State(**{**vars(self.state), "damaged": self.state.damaged | {letter}})

    @rule(name=MODEL)
    def start(self, name: str) -> None:
        self.alone(("open", name))
        lock = self.one.lock(running(address(name)), shared=True)
        self.runner.run(self.open[name].enter_async_context(lock))
        self.state = State(**{**vars(self.state), "running": self.state.running | {name}})

    @rule(name=MODEL)
    def stop(self, name: str) -> None:
        self.runner.run(self.open[name].aclose())
        self.open[name] = AsyncExitStack()
        self.state = State(**{**vars(self.state), "running": self.state.running - {name}})

    @rule()
    def restart(self) -> None:
        self.one, self.two = Paced(self.root), Paced(self.root)

    @invariant()
    def all_is_as_told(self) -> None:
        assert self.runner.run(look(self.one, self.state)) == self.state


TestStory = StoryMachine.TestCase
TestStory.settings = settings(max_examples=25, stateful_step_count=30)
