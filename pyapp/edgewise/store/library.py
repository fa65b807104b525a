"""What the models of a store take, and what may go: accounting, eviction, gc, verify.

    for model in await library.models(store):
        print(model.record.name, model.alone_nbytes, model.shared_nbytes)

Removing holds `records.LOCK`, so that no model is opened in between, and for each model its lock
`running`, alone: who has it open keeps it. A record goes first: what a crash leaves of the rest
belongs to nothing, and `gc` takes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from ..errors import StoreError
from .base import ObjectStore
from .records import KINDS, LOCK, PREFIX, Record, all_records, find, running

AT_A_TIME = 16  # objects that `verify` reads before it lets others remove and open


@dataclass(frozen=True, slots=True)
class Held:
    """A model, and what is here of it, objects and documents.

    alone_nbytes   what its removal would free.
    shared_nbytes  what other models need as well.
    missing        how many of the objects with its tensors are not here.
    running        whether somebody has it open.
    """

    record: Record
    alone_nbytes: int
    shared_nbytes: int
    missing: int
    running: bool


@dataclass(frozen=True, slots=True)
class Collected:
    """What `gc` removed. `busy`: a model whose hashes are being learnt; no object was touched."""

    objects: int
    documents: int
    busy: str | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """What `verify` read: how many objects and documents, those dropped, the models they hurt."""

    objects: int
    documents: int
    dropped: tuple[str, ...]
    hurt: tuple[str, ...]


async def models(store: ObjectStore) -> list[Held]:
    """The models of a store, the one used longest ago first."""
    found = await all_records(store)
    contents = await _contents(store, found)
    users = Counter(key for own in contents for key in own)
    held = []
    for record, own in zip(found, contents, strict=True):
        alone = sum(nbytes for key, nbytes in own.items() if users[key] == 1)
        missing = sum(key not in own for key in record.objects.keys() - record.fillers)
        async with store.lock(running(record.url), wait=False) as free:
            shared = sum(own.values()) - alone
            held.append(Held(record, alone, shared, missing + record.unknown, running=not free))
    return held


async def evict(store: ObjectStore, model: str) -> Record:
    """Removes a model whole, by its address or name; objects that others need stay.

    Raises InputError where it is not there, StoreError where it is pinned or running.
    """
    async with store.lock(LOCK), AsyncExitStack() as stack:
        record = await find(store, model)
        if record.pinned:
            raise StoreError(f"'{record.name}' is pinned", need="a model that may go",
                             where=record.url, fix="unpin it first")  # fmt: skip
        if not await stack.enter_async_context(store.lock(running(record.url), wait=False)):
            raise StoreError(f"'{record.name}' is running", need="one that nobody has open",
                             where=record.url, fix="close it in every tab and process")  # fmt: skip
        await _remove(store, [record])
    return record


async def make_room(store: ObjectStore, nbytes: int) -> bool:
    """Whether there is room for so many more bytes, after what may go has gone.

    First goes what belongs to nothing, then models as `free` takes them.
    """
    if await _short(store, nbytes) <= 0:
        return True
    await gc(store)
    return await free(store, await _short(store, nbytes))


async def free(store: ObjectStore, nbytes: int) -> bool:
    """Whether so many bytes were freed by evicting whole models, whatever room there is.

    The one used longest ago goes first, none that is pinned or running; and none at all where
    that would not be enough.
    """
    async with store.lock(LOCK), AsyncExitStack() as stack:
        short = nbytes
        going: list[Record] = []
        found = await all_records(store)
        contents = await _contents(store, found)
        users = Counter(key for own in contents for key in own)
        for record, own in zip(found, contents, strict=True):
            if short <= 0:
                break
            if record.pinned or not await stack.enter_async_context(
                store.lock(running(record.url), wait=False)
            ):
                continue
            going.append(record)
            users.subtract(own.keys())
            short -= sum(nbytes for key, nbytes in own.items() if users[key] == 0)
        if short <= 0:
            await _remove(store, going)
    return short <= 0


async def evictable(store: ObjectStore) -> int:
    """How many bytes eviction could free: of models that are not pinned nor running."""
    found = await all_records(store)
    going: dict[str, int] = {}
    needed: set[str] = set()
    for record, own in zip(found, await _contents(store, found), strict=True):
        async with store.lock(running(record.url), wait=False) as free:
            if free and not record.pinned:
                going |= own
            else:
                needed |= own.keys()
    return sum(nbytes for key, nbytes in going.items() if key not in needed)


async def gc(store: ObjectStore) -> Collected:
    """Removes the objects and documents that belong to no model.

    What a download brings belongs to its model's record. Only where the hashes of a model are
    learnt while it is downloaded, they are not in it yet: meanwhile no object is removed.
    """
    async with store.lock(LOCK):
        objects, documents = await store.list(), await store.texts()
        found = await all_records(store)
        for record in found:
            if not record.unknown:
                continue
            async with store.lock(running(record.url), wait=False) as free:
                if not free:
                    removed = await _drop(store, (), _nobodys(documents, found))
                    return Collected(*removed, busy=record.name)
        named = {hash for record in found for hash in record.objects}
        strays = [hash for hash in objects if hash not in named]
        return Collected(*await _drop(store, strays, _nobodys(documents, found)))


async def verify(store: ObjectStore) -> Verified:
    """Reads everything; what is not what its hash says is dropped, and fetched again by the next
    who opens the model."""
    async with store.lock(LOCK):  # what others remove meanwhile is not damaged
        objects, documents = await store.list(), await store.texts()
        dropped = [name for name in documents if await store.get_text(name) is None]
    hurt = [name.removeprefix(PREFIX) for name in dropped if name.startswith(PREFIX)]
    for at in range(0, len(objects), AT_A_TIME):
        async with store.lock(LOCK):
            some = objects[at : at + AT_A_TIME]
            there = await store.has(some)
            dropped += [h for h, here in zip(some, there, strict=True)
                        if here and not await store.check(h)]  # fmt: skip
    hurt += [
        record.name for record in await all_records(store)
        if any(each in record.objects or record.owns(each) for each in dropped)
    ]  # fmt: skip
    return Verified(len(objects), len(documents), tuple(dropped), tuple(hurt))


async def _contents(store: ObjectStore, found: Iterable[Record]) -> list[dict[str, int]]:
    """What is here of each model: bytes by hash or document's name."""
    objects, documents = set(await store.list()), await store.texts()
    return [
        {hash: nbytes for hash, nbytes in record.objects.items() if hash in objects}
        | {name: nbytes for name, nbytes in documents.items() if record.owns(name)}
        for record in found
    ]


async def _short(store: ObjectStore, nbytes: int) -> int:
    """How many of these bytes have no room; 0 where the machine does not say."""
    room = await store.estimate()
    if room.quota is None or room.usage is None:
        return 0
    return max(0, nbytes - (room.quota - room.usage))


async def _remove(store: ObjectStore, going: Sequence[Record]) -> None:
    urls = {record.url for record in going}
    stay = [record for record in await all_records(store) if record.url not in urls]
    needed = {hash for record in stay for hash in record.objects}
    documents = [name for name in await store.texts() if any(each.owns(name) for each in going)]
    for url in urls:
        await store.remove_text(PREFIX + url)
    objects = {hash for record in going for hash in record.objects} - needed
    await _drop(store, sorted(objects), _nobodys(documents, stay))


def _nobodys(documents: Iterable[str], found: Sequence[Record]) -> list[str]:
    return [
        name for name in documents
        if name.partition(" ")[0] in KINDS and not any(record.owns(name) for record in found)
    ]  # fmt: skip


async def _drop(
    store: ObjectStore, objects: Sequence[str], documents: Iterable[str]
) -> tuple[int, int]:
    """How many objects and documents were there to be removed."""
    n_objects = await store.remove_all(objects)
    return n_objects, sum([await store.remove_text(name) for name in documents])
