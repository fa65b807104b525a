"""One download of a file when several tabs or processes want it. Policy only.

Who holds a file's lock fetches it and tells the others how much is left. A holder that goes away
loses its lock, and the next one fetches what is not there by then. Locks bear the file's SHA-256,
so that one file under two addresses is one download; shims/prefetch.js takes the same ones.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from .base import ObjectStore
from .manifest import FileRef


class Together:
    """The others who want these files, which lie at `urls`."""

    def __init__(self, store: ObjectStore, files: Sequence[FileRef], urls: Sequence[str]) -> None:
        pairs = zip(files, urls, strict=True)
        self._store, self._alone = store, False
        # in one order for everybody: nobody holds what another one waits for
        self._names = sorted({f"download {file.sha256 or url}" for file, url in pairs})

    @asynccontextmanager
    async def alone(self, on_left: Callable[[int], None]) -> AsyncIterator[None]:
        """Waits until nobody else fetches these files, and holds the others off.

        on_left  called while it waits, with how many bytes who fetches has still to bring.
        """
        async with AsyncExitStack() as stack:
            async with self._store.hear(self._names[0], lambda text: on_left(int(text))):
                for name in self._names:
                    await stack.enter_async_context(self._store.lock(name))
            self._alone = True
            try:
                yield
            finally:
                self._alone = False

    def tell(self, left_nbytes: int) -> None:
        """Says to those who wait how much is left, if it is ours to say."""
        if self._alone:
            self._store.tell(self._names[0], str(left_nbytes))
