"""Operations on the models of a store, and what each does to plain data.

Any store can be told the story: the folder of CPython by hypothesis (`test_story`), a page's by
random numbers (`e2e/test_story.py`, where this file is run as it is). What a crash leaves lies
between what was before and what would have been.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field, replace
from itertools import permutations, product
from types import coroutine
from typing import Any, TypeAlias

from edgewise.errors import InputError, StoreError
from edgewise.store import library
from edgewise.store.base import Segment
from edgewise.store.manifest import Demands, FileRef, Manifest, TensorRef
from edgewise.store.records import all_records, pin, running, use

NBYTES = 20_000  # of an object; all documents together have less than half of that
MODELS = {"one": "abc", "two": "cd", "three": "def"}
LETTERS = "abcdefg"

#: What is done, its argument (a model, a letter or a number), and the time.
Op: TypeAlias = tuple[str, Any, int]


def content(letter: str) -> bytes:
    return letter.encode() * NBYTES


HASHES = {letter: hashlib.sha256(content(letter)).hexdigest() for letter in LETTERS}
NAMES = {hash: letter for letter, hash in HASHES.items()}


@dataclass(frozen=True)
class State:
    """What a store holds: letters, some of them damaged, and models by their last use."""

    objects: frozenset[str] = frozenset()
    damaged: frozenset[str] = frozenset()
    used: dict[str, int] = field(default_factory=dict)
    pinned: frozenset[str] = frozenset()
    running: frozenset[str] = frozenset()

    def without(self, names: Iterable[str]) -> State:
        """After the eviction of these models."""
        used = {name: at for name, at in self.used.items() if name not in names}
        needed = letters_of(used)
        gone = letters_of(names) - needed
        return replace(self, used=used, pinned=self.pinned & used.keys(),
                       objects=self.objects - gone, damaged=self.damaged - gone)  # fmt: skip

    def collected(self) -> State:
        named = letters_of(self.used)
        return replace(self, objects=self.objects & named, damaged=self.damaged & named)


def letters_of(names: Iterable[str]) -> set[str]:
    return {letter for name in names for letter in MODELS[name]}


def effect(state: State, op: Op) -> tuple[State, object]:
    """What an operation makes of a store, and what it answers."""
    kind, arg, at = op
    if kind == "put":
        return replace(state, objects=state.objects | {arg}, damaged=state.damaged - {arg}), None
    if kind == "get":
        right = state.objects - state.damaged
        gone = state.damaged & {arg}
        return replace(
            state, objects=state.objects - gone, damaged=state.damaged - gone
        ), arg in right
    if kind == "open":
        objects = state.objects | set(MODELS[arg])
        return replace(state, objects=objects, used=state.used | {arg: at}), None
    if kind in ("pin", "unpin"):
        if arg not in state.used:
            return state, "InputError"
        pinned = state.pinned | {arg} if kind == "pin" else state.pinned - {arg}
        return replace(state, pinned=pinned), None
    if kind == "evict":
        if arg not in state.used:
            return state, "InputError"
        if arg in state.pinned | state.running:
            return state, "StoreError"
        return state.without([arg]), None
    if kind == "gc":
        after = state.collected()
        return after, len(state.objects) - len(after.objects)
    if kind == "verify":
        hurt = {name for name in state.used if state.damaged & set(MODELS[name])}
        after = replace(state, objects=state.objects - state.damaged, damaged=frozenset())
        return after, (sorted(state.damaged), sorted(hurt))
    assert kind == "make_room", kind
    return _room(state, arg)


def _room(state: State, objects: int) -> tuple[State, bool]:
    """Room for so many objects in a store that is full."""
    after = state.collected()
    may_go = sorted(set(state.used) - state.pinned - state.running, key=state.used.__getitem__)
    for count in range(len(may_go) + 1):
        less = after.without(may_go[:count])
        if len(state.objects) - len(less.objects) >= objects:
            return less, True
    return after, False


async def act(store: Any, op: Op) -> object:
    """The same on a real store."""
    kind, arg, at = op
    try:
        if kind == "put":
            await store.write(HASHES[arg], content(arg))
        elif kind == "get":
            data = await store.read(HASHES[arg])
            assert data in (None, content(arg)), "wrong bytes were read"
            return data is not None
        elif kind == "open":
            await _open(store, arg, at)
        elif kind in ("pin", "unpin"):
            await pin(store, address(arg), kind == "pin")
        elif kind == "evict":
            await library.evict(store, address(arg))
        elif kind == "gc":
            return (await library.gc(store)).objects
        elif kind == "verify":
            found = await library.verify(store)
            dropped = sorted(NAMES[hash] for hash in found.dropped if hash in NAMES)
            return dropped, sorted(found.hurt)
        else:
            await store.fill()
            return await library.make_room(store, arg * NBYTES - NBYTES // 2)
    except (InputError, StoreError) as error:
        return type(error).__name__
    return None


def address(name: str) -> str:
    return f"https://models.test/{name}.json"


async def _open(store: Any, name: str, at: int) -> None:
    """As tasks do: the lock, the record, what is missing, the documents."""
    letters, url = MODELS[name], address(name)
    tensors = {x: TensorRef("I8", (NBYTES,), NBYTES * i, NBYTES) for i, x in enumerate(letters)}
    manifest = Manifest(
        name, "test", "none", None, FileRef("a.bin", "bin", None, NBYTES * len(letters)),
        tuple(Segment(HASHES[x], NBYTES) for x in letters), tensors, {}, None, None,
        Demands(0, 0, 0, 0, 0),
    )  # fmt: skip
    async with store.lock(running(url), shared=True):
        await use(store, url, manifest, lambda: at)
        there = await store.has([HASHES[x] for x in letters])
        for letter, here in zip(letters, there, strict=True):
            if not here:
                await store.write(HASHES[letter], content(letter))
        await store.put_text(f"manifest {url}", manifest.to_json())


async def look(store: Any, state: State) -> State:
    """What is there really. `store.is_right(hash)` reads an object past the store."""
    objects = frozenset(NAMES[hash] for hash in await store.list())
    damaged = frozenset([x for x in objects if not await store.is_right(HASHES[x])])
    assert damaged <= state.damaged, f"{damaged=} {state=}"
    found = await all_records(store)
    return replace(state, objects=objects, damaged=damaged,
                   used={each.name: round(each.used_s) for each in found},
                   pinned=frozenset(each.name for each in found if each.pinned))  # fmt: skip


def outcomes(state: State, ops: tuple[Op, ...]) -> list[tuple[State, tuple[object, ...]]]:
    """What may come of operations at the same time: any order, and who is being opened may be in
    the way of who removes, or not any more."""
    found: list[tuple[State, tuple[object, ...]]] = []
    opened = [{op[1]} if op[0] == "open" else set() for op in ops]
    for order in permutations(range(len(ops))):
        for late in product((False, True), repeat=len(ops)):
            now, answers = state, list[object]([None] * len(ops))
            for index in order:
                others: set[str] = set().union(*opened[:index], *opened[index + 1 :])
                busy = replace(now, running=now.running | others if late[index] else now.running)
                after, answers[index] = effect(busy, ops[index])
                now = replace(after, running=state.running)
            found.append((now, tuple(answers)))
    return found


async def tell(store: Any, state: State, op: Op) -> State:
    """One operation to its end."""
    return await tell_both([store], state, (op,))


async def tell_both(stores: list[Any], state: State, ops: tuple[Op, ...]) -> State:
    """Operations at the same time, each by a writer of its own."""
    answers = await asyncio.gather(*map(act, stores, ops))
    now = await look(stores[0], state)
    if len(ops) > 1 and any(op[0] == "make_room" for op in ops):
        return settle(state, now, ops)  # how much room there was is known to nobody
    possible = outcomes(state, ops)
    assert any(seen(now) == seen(then) and tuple(answers) == told for then, told in possible), (
        f"{state=} {ops=} {now=} {answers=}"
    )
    if any(op[0] == "gc" for op in ops) and len(ops) == 1:
        await only_owned(stores[0], now)
    return now


def seen(state: State) -> tuple[object, ...]:
    return state.objects, state.damaged, state.used, state.pinned


async def only_owned(store: Any, state: State) -> None:
    urls = {name.split(" ")[-1] for name in await store.texts()}
    assert urls <= {address(name) for name in state.used}, "a document belongs to nothing"


def settle(before: State, now: State, ops: tuple[Op, ...]) -> State:
    """Checks what crashed operations left: nothing that none of them would have touched."""
    steps = [before]
    for then, _ in outcomes(before, ops):
        steps.append(then)
    for op in ops:
        steps.append(effect(before, op)[0])
    least = frozenset.intersection(*(each.objects for each in steps))
    most = frozenset.union(*(each.objects for each in steps))
    assert least <= now.objects <= most, f"{before=} {ops=} {now=}"
    names = [frozenset(each.used) for each in steps]
    stay = frozenset.intersection(*names)
    assert stay <= now.used.keys() <= frozenset.union(*names), f"{before=} {ops=} {now=}"
    assert before.pinned & stay <= now.pinned or any(op[0] == "unpin" for op in ops), (
        "a pin was lost"
    )
    return now


@coroutine
def cut_off(work: Coroutine[Any, Any, Any], awaits: int) -> Any:
    """Runs `work`, and cancels it after so many awaits; whether it came to its end before."""
    error: BaseException | None = None
    while True:
        try:
            if awaits == 0:
                error = asyncio.CancelledError()
            waits = work.send(None) if error is None else work.throw(error)
        except StopIteration:
            return True
        except asyncio.CancelledError:
            return False
        awaits, error = awaits - 1, None
        try:
            yield waits
        except BaseException as raised:  # noqa: BLE001  handed on
            error = raised
