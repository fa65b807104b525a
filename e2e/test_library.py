"""What Python in a page does with the store: locks, documents, the models in it."""

from __future__ import annotations

from e2e.browsers import engines
from e2e.python_page import PythonPage

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


@engines("chromium", "firefox")
def test_locks_and_documents(python: PythonPage) -> None:
    assert python.run(LOCK) == [True, False, True, True, True, True, True]
    assert python.run(TEXTS) == [6, False]
