"""The models of a store: who needs what, what goes and what stays, in a real folder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from edgewise.errors import InputError, StoreError
from edgewise.store import learn, library
from edgewise.store.base import Estimate
from edgewise.store.folder import Folder
from edgewise.store.manifest import Manifest, TextRef
from edgewise.store.records import KINDS, pin, running, use
from tests.store.models import digest, manifest_of, unknown
from tests.store.waiting import run

HOST = "https://models.test"


class Small(Folder):
    """A folder that may hold so many bytes."""

    quota = 10**9

    async def estimate(self) -> Estimate:
        objects = sum(path.stat().st_size for path in (self.root / "objects").glob("??/*"))
        return Estimate(objects + sum((await self.texts()).values()), self.quota)

    async def fill(self) -> int:
        """Leaves no room at all; how much there is."""
        self.quota = (await self.estimate()).usage or 0
        return self.quota


@pytest.fixture
def store(tmp_path: Path) -> Small:
    return Small(tmp_path)


def model(name: str, pieces: Iterable[str]) -> tuple[str, Manifest]:
    """A model of one tensor a letter, of 100 bytes each; its address."""
    data = b"".join(letter.encode() * 100 for letter in pieces)
    manifest = manifest_of(data, [100] * len(list(pieces)), f"{HOST}/{name}.gguf")
    return f"{HOST}/{name}.json", replace(manifest, name=name)


def piece(letter: str) -> str:
    return digest(letter.encode() * 100)


async def add(store: Folder, name: str, pieces: str, at: float = 0.0) -> str:
    """Opens a model as `tasks` do, and brings it."""
    url, manifest = model(name, pieces)
    await use(store, url, manifest, lambda: at)
    await store.put_text(f"manifest {url}", "{}")
    for letter in pieces:
        store.put(piece(letter), letter.encode() * 100)
    return url


async def letters(store: Folder) -> str:
    there = await store.list()
    return "".join(letter for letter in "abcdefgh" if piece(letter) in there)


async def names(store: Folder) -> list[str]:
    return [held.record.name for held in await library.models(store)]


@run
async def test_what_is_shared_is_counted_as_such(store: Small) -> None:
    url = await add(store, "one", "abc", at=1)
    await add(store, "two", "cd", at=2)
    async with store.lock(running(url), shared=True):
        one, two = await library.models(store)
    texts = await store.texts()
    own = [n for n in texts if n.endswith("one.json")]
    assert len(own) == 2, "its record and its manifest"
    assert (one.shared_nbytes, two.shared_nbytes) == (100, 100)
    assert one.alone_nbytes == 200 + sum(texts[name] for name in own)
    assert two.alone_nbytes == 100 + sum(texts.values()) - sum(texts[name] for name in own)
    assert (one.running, two.running) == (True, False)
    assert (one.missing, two.missing) == (0, 0)
    await store.remove(piece("c"))
    one, two = await library.models(store)
    assert (one.missing, two.missing, one.shared_nbytes) == (1, 1, 0)


@run
async def test_eviction_takes_a_model_whole_and_leaves_what_others_need(store: Small) -> None:
    url = await add(store, "one", "abc")
    await add(store, "two", "cd")
    await store.put_text("plan 1f one", "steps")
    await store.put_text("plan 1f two", "steps")
    assert (await library.evict(store, "one")).url == url
    assert await letters(store) == "cd"
    assert await names(store) == ["two"]
    own = {f"{kind} {HOST}/two.json" for kind in ("model", "manifest")}
    assert set(await store.texts()) == own | {"plan 1f two"}


@run
async def test_a_pinned_or_running_model_stays(store: Small) -> None:
    url = await add(store, "one", "ab")
    await pin(store, "one")
    with pytest.raises(StoreError, match="pinned"):
        await library.evict(store, url)
    await add(store, "one", "ab")
    with pytest.raises(StoreError, match="pinned"):
        await library.evict(store, url)
    await pin(store, url, False)
    async with store.lock(running(url), shared=True):
        with pytest.raises(StoreError, match="running"):
            await library.evict(Folder(store.root), url)
    assert await letters(store) == "ab"
    await library.evict(store, url)
    assert await letters(store) == ""


@run
async def test_models_are_found_by_address_or_by_a_name_that_is_one_models(store: Small) -> None:
    await add(store, "one", "ab")
    url, manifest = model("other", "c")
    await use(store, url, replace(manifest, name="one"))
    with pytest.raises(InputError, match="'one', which 2 of 2"):
        await pin(store, "one")
    with pytest.raises(InputError, match="'three', which none of 2"):
        await library.evict(store, "three")
    await library.evict(store, url)
    await library.evict(store, "one")


@run
async def test_room_is_made_by_what_was_not_used_for_longest(store: Small) -> None:
    await add(store, "old", "ab", at=1)
    await add(store, "mid", "be", at=2)
    await add(store, "new", "f", at=3)
    await add(store, "pinned", "c")
    url = await add(store, "open", "d")
    await pin(store, "pinned")
    store.put(digest(b"stray"), b"stray")
    whole = await store.fill()
    async with store.lock(running(url), shared=True):
        assert await library.make_room(store, 5)
        assert await store.has([digest(b"stray")]) == [False], "it belonged to nothing"
        await store.fill()
        held = {held.record.name: held.alone_nbytes for held in await library.models(store)}
        may_go = whole - 5 - held["pinned"] - held["open"]
        assert await library.evictable(store) == may_go
        assert not await library.make_room(store, may_go + 1)
        assert await letters(store) == "abcdef", "what is not enough does not go either"
        assert await library.make_room(store, held["old"])
        assert await letters(store) == "bcdef"
        assert await library.make_room(store, held["old"]), "there is room now"
        assert await names(store) == ["open", "pinned", "mid", "new"]
        assert await library.make_room(store, may_go)
    assert await names(store) == ["open", "pinned"]
    assert await letters(store) == "cd"


@run
async def test_a_folder_with_room_is_left_alone(store: Small) -> None:
    await add(store, "one", "ab")
    store.put(digest(b"stray"), b"stray")
    assert await library.make_room(store, 1000)
    assert await store.has([digest(b"stray")]) == [True]


@run
async def test_gc_takes_what_belongs_to_nothing(store: Small) -> None:
    url, manifest = model("one", "ab")
    tokenizer = TextRef(digest(b"{}"), 2, None)
    await use(store, url, replace(manifest, tokenizer=tokenizer))
    mine = [f"manifest {url}", f"tokenizer {digest(b'{}')}", "plan 1f one", "golden x"]
    for name in [*mine, *(f"{kind} of nobody" for kind in KINDS)]:
        await store.put_text(name, "{}")
    store.put(piece("a"), b"a" * 100)  # a download in progress: `b` is on its way
    store.put(piece("c"), b"c" * 100)
    assert await library.gc(store) == library.Collected(1, len(KINDS))
    assert await letters(store) == "a"
    assert set(await store.texts()) == {*mine, f"model {url}"}
    assert await library.gc(store) == library.Collected(0, 0)


@run
async def test_gc_waits_for_hashes_that_are_being_learnt(store: Small) -> None:
    url, manifest = model("one", "ab")
    file = manifest.file.url
    store.put(piece("c"), b"c" * 100)
    async with store.lock(running(url), shared=True):
        await use(store, url, unknown(manifest))
        store.put(piece("a"), b"a" * 100)
        assert await library.gc(store) == library.Collected(0, 0, busy="one")
        await learn.record(store, file, unknown(manifest).with_hashes([piece("a"), None]), None)
        store.put(piece("b"), b"b" * 100)
        assert await library.gc(store) == library.Collected(0, 0, busy="one")
        await learn.record(store, file, manifest, None)
        assert await library.gc(store) == library.Collected(1, 0)
    assert await letters(store) == "ab"
    await learn.forget(store, file)
    assert await library.gc(store) == library.Collected(2, 0), (
        "nobody has it open, nobody knows them"
    )
    await learn.record(store, file, manifest, None)
    await library.evict(store, url)
    assert await store.texts() == {}


@run
async def test_verify_drops_what_is_wrong_and_says_whom_it_hurts(store: Small) -> None:
    await add(store, "one", "abc")
    await add(store, "two", "cd")
    await add(store, "three", "e")
    assert await library.verify(store) == library.Verified(5, 6, (), ())
    for letter in "cd":
        (store.root / "objects" / piece(letter)[:2] / piece(letter)[2:]).write_bytes(b"!")
    found = await library.verify(store)
    assert (set(found.dropped), set(found.hurt)) == ({piece("c"), piece("d")}, {"one", "two"})
    assert await letters(store) == "abe"
    name = f"manifest {HOST}/three.json"
    text = store.root / "texts" / digest(name.encode())
    text.write_bytes(text.read_bytes() + b"!")
    found = await library.verify(store)
    assert (found.dropped, found.hurt) == ((name,), ("three",))
