"""The models of a page's store against plain data: two writers, cancelled at any await, bytes that
go bad in Cache Storage. The same story as in tests/store/test_story.py, told by random numbers.
"""

from __future__ import annotations

TELL = """
    import asyncio, random, sys, types
    from contextlib import AsyncExitStack
    from dataclasses import replace
    from hashlib import sha256
    import js
    from pyodide.ffi import to_js
    from edgewise.host.browser.store import BrowserStore
    from edgewise.store import library
    from edgewise.store.base import Estimate
    from edgewise.store.records import all_records, pin, running

    story = types.ModuleType("story")
    sys.modules["story"] = story
    exec(source, story.__dict__)

    async def cache():
        return await js.caches.open("edgewise-objects-1")

    def key(hash):
        return f"https://edgewise.invalid/objects/{hash}"

    class Page(BrowserStore):
        quota = 10**9

        async def estimate(self):
            texts = await self.texts()
            return Estimate(len(await self.list()) * story.NBYTES + sum(texts.values()), self.quota)

        async def fill(self):
            self.quota = (await self.estimate()).usage

        async def is_right(self, hash):
            found = await (await cache()).match(key(hash))
            return sha256((await found.arrayBuffer()).to_bytes()).hexdigest() == hash

    one, two = Page(host._shims), Page(host._shims)
    for record in await all_records(one):  # of the page's own packages, of another story
        await pin(one, record.url, False)
        await library.evict(one, record.url)
    await library.gc(one)

    rng, state = random.Random(seed), story.State()
    held = {name: AsyncExitStack() for name in story.MODELS}

    def op(at):
        kind = rng.choice("open open open evict pin unpin put get gc verify make_room".split())
        if kind in ("put", "get"):
            return kind, rng.choice(story.LETTERS), at
        if kind == "make_room":
            return kind, rng.randint(1, 4), at
        return kind, None if kind in ("gc", "verify") else rng.choice(list(story.MODELS)), at

    told = []
    for step in range(steps):
        what = rng.choice("alone both both cancelled cancelled beside damage start stop".split())
        first, second, point = op(2 * step + 1), op(2 * step + 2), rng.randint(0, 40)
        name = rng.choice(list(story.MODELS))
        if what == "alone":
            state = await story.tell(one, state, first)
        elif what == "both":
            if state.damaged and {first[0], second[0]} & {"make_room", "verify", "get"}:
                continue
            state = await story.tell_both([one, two], state, (first, second))
        elif what in ("cancelled", "beside"):
            ops = (first, second) if what == "beside" else (first,)
            others = [story.act(two, second)] if what == "beside" else []
            await asyncio.gather(story.cut_off(story.act(one, first), point), *others)
            state = story.settle(state, await story.look(one, state), ops)
        elif what == "damage" and state.objects:
            letter = rng.choice(sorted(state.objects))
            wrong = js.Response.new(to_js(story.content(letter)[:-1] + b"!"))
            await (await cache()).put(key(story.HASHES[letter]), wrong)
            state = replace(state, damaged=state.damaged | {letter})
        elif what == "start":
            state = await story.tell(one, state, ("open", name, 2 * step + 1))
            lock = one.lock(running(story.address(name)), shared=True)
            await held[name].enter_async_context(lock)
            state = replace(state, running=state.running | {name})
        elif what == "stop":
            await held[name].aclose()
            state = replace(state, running=state.running - {name})
        assert await story.look(one, state) == state
        told.append(what)
    for stack in held.values():
        await stack.aclose()
    return len(told)
"""
