"""What Python in a page does with the store: locks, documents, the models in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.browsers import engines
from e2e.library_story import TELL
from e2e.python_page import PythonPage
from tests.store import story
from tests.tiny_chat import TinyChat, make

STEPS = 60


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyChat:
    return make(tmp_path_factory.mktemp("tiny"))


LOCK = """
    async def free(name, **options):
        async with host.store.lock(name, wait=False, **options) as held:
            return held

    found = []
    async with host.store.lock("a", shared=True) as held:
        found += [held, await free("a"), await free("a", shared=True), await free("b")]
    found.append(await free("a"))
    async with host.store.lock("a"):
        import asyncio
        waiting = asyncio.ensure_future(host.store.lock("a").__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    found += [waiting.cancelled(), await free("a")]
    return found
"""
TEXTS = """
    await host.store.put_text("a b/ü?", "text\\u00fc")
    return [dict(await host.store.texts()).get("a b/ü?"), await host.store.check("0" * 64)]
"""


MODELS = """
    import hashlib
    from dataclasses import replace
    from edgewise.errors import StoreError
    from edgewise.host.browser.archive import export_to, import_from, own_file
    from edgewise.store import library
    from edgewise.store.base import Segment
    from edgewise.store.manifest import Demands, FileRef, Manifest, TensorRef
    from edgewise.store.records import pin, running, use

    store = host.store

    async def add(name, letters):
        pieces = [letter.encode() * 1000 for letter in letters]
        hashes = [hashlib.sha256(piece).hexdigest() for piece in pieces]
        tensors = {x: TensorRef("I8", (1000,), 1000 * i, 1000) for i, x in enumerate(letters)}
        manifest = Manifest(
            name, "test", "none", None, FileRef("a.bin", "bin", None, 1000 * len(letters)),
            tuple(Segment(hash, 1000) for hash in hashes), tensors, {}, None, None,
            Demands(0, 0, 0, 0, 0),
        )
        url = f"https://models.test/{name}.json"
        await use(store, url, manifest)
        await store.put_text(f"manifest {url}", manifest.to_json())
        for hash, piece in zip(hashes, pieces):
            await store.write(hash, piece)
        return url

    async def shown():
        texts = await store.texts()
        return [
            [held.record.name, held.alone_nbytes - sum(
                nbytes for name, nbytes in texts.items() if held.record.url in name
            ), held.shared_nbytes, held.missing, held.running]
            for held in await library.models(store) if "models.test" in held.record.url
        ]

    found = []
    url = await add("one", "abc")
    await add("two", "cd")
    found.append(await shown())
    handle = await own_file("one.tar")
    file = await export_to(store, "one", handle)
    async with store.lock(running(url), shared=True):
        found.append((await shown())[0][-1])
        try:
            await library.evict(store, url)
        except StoreError as error:
            found.append(error.what)
    await library.evict(store, url)
    found.append(await shown())
    await import_from(store, file)
    found.append(sorted(await shown()))
    bad = file.slice(0, file.size - 3000)
    await library.evict(store, url)
    try:
        await import_from(store, bad)
    except Exception as error:
        found.append(type(error).__name__)
    found.append(await shown())
    verified = await library.verify(store)
    collected = await library.gc(store)
    return [*found, list(verified.dropped), collected.objects, await shown()]
"""


@engines("chromium", "firefox")
def test_models_are_counted_exported_and_removed(python: PythonPage) -> None:
    one, two = ["one", 2000, 1000, 0, False], ["two", 1000, 1000, 0, False]
    alone = ["two", 2000, 0, 0, False]
    assert python.run(MODELS) == [
        [one, two], True, "'one' is running", [alone], [one, two],
        "FormatError", [alone], [], 0, [alone],
    ]  # fmt: skip


@engines("chromium", "firefox")
def test_locks_and_documents(python: PythonPage) -> None:
    assert python.run(LOCK) == [True, False, True, True, True, True, True]
    assert python.run(TEXTS) == [6, False]


RUN = """
    import sys
    import js
    from urllib.parse import urljoin
    from edgewise.tasks.chat import Chat

    url = urljoin(str(js.location.href), path)
    sys.modules["kept"] = chat = await Chat.open(host, url, policy="local", target="reference")
    said = [piece.text async for piece in chat.stream([{"role": "user", "content": "hi"}],
                                                      max_new_tokens=3)]
    return [url, "".join(said)]
"""
EVICT = """
    from edgewise.errors import StoreError
    from edgewise.host.browser.store import BrowserStore
    from edgewise.store import library
    from edgewise.store.base import Estimate
    from edgewise.store.records import pin, running

    class Full(BrowserStore):
        gone = 0

        async def estimate(self):
            return Estimate(1, 1 + self.gone)

        async def remove(self, hash):
            self.gone = 10**9
            return await super().remove(hash)

    store, told = Full(host._shims), []

    async def here():
        found = [held for held in await library.models(store) if held.record.url == url]
        return [[held.missing, held.running, held.record.pinned] for held in found]

    async def refused():
        try:
            await library.evict(store, url)
        except StoreError as error:
            told.append(error.what)
        told.append(await library.make_room(store, 10**8))
        told.append(await here())

    if not dead:
        await refused()
        return told
    async with store.lock(running(url)):
        pass
    await pin(store, url)
    await refused()
    await pin(store, url, False)
    told.append(await library.make_room(store, await library.evictable(store)))
    told.append(await here())
    return told
"""


@engines("chromium", "firefox")
def test_a_model_that_another_tab_runs_stays(python: PythonPage, tiny: TinyChat) -> None:
    for path in tiny.manifest.parent.iterdir():
        python.serve(path.name, path)
    other = python.another_tab()
    url, said = other.run(RUN, path=f"/files/{tiny.manifest.name}")
    ids = tiny.greedy(tiny.prompt({"role": "user", "content": "hi"}), 3)
    assert said == tiny.tokenizer.decode(ids)
    told = python.run(EVICT, url=url, dead=False)
    assert told == ["'tiny' is running", False, [[0, True, False]]]
    other.page.close()
    told = python.run(EVICT, url=url, dead=True)
    assert told == ["'tiny' is pinned", False, [[0, False, True]], True, []]


@engines("chromium", "firefox")
def test_a_random_story(python: PythonPage) -> None:
    source = Path(story.__file__).read_text()
    for seed in (1, 2):
        assert python.run(TELL, source=source, seed=seed, steps=STEPS) > STEPS // 2
