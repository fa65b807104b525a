"""The places that sites share, through `shims/share.js`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyodide.ffi import to_js

from ...store.base import Segment
from ...store.share import Ladder, Own
from .bridge import answer

#: In the order in which they are asked: name of the shim, title, why it may be lacking.
PLACES = (
    ("cos", "Cross-Origin Storage", "this browser has none"),
    ("hub", "The hub", "this site names none"),
)


class BrowserPlace:
    """One of them: `store.share.Place`."""

    def __init__(self, share: Any, name: str, title: str) -> None:
        self._share, self._name, self.title = share, name, title

    async def find(self, sha256: str) -> int | None:
        """The size of a file, None where it is said not to be there."""
        nbytes = await answer(self._share.find(self._name, sha256))
        return None if nbytes is None else int(nbytes)

    async def digests(self, sha256: str, sizes: Sequence[int]) -> list[str] | None:
        """The hashes of a found file's segments, None where the file is another one."""
        hashes = await answer(self._share.digests(sha256, to_js(list(sizes))))
        return None if hashes is None else [str(hash) for hash in hashes]

    async def lay(self, sha256: str, segments: Sequence[Segment]) -> None:
        """A found file's objects can be read from now on."""
        self._share.lay(sha256, to_js([[s.hash, s.nbytes] for s in segments]))

    async def offer(self, sha256: str, hashes: Sequence[str]) -> bool:
        """Streams a file out of the store; whether it is kept there."""
        return bool(await answer(self._share.offer(self._name, sha256, to_js(list(hashes)))))


def ladder(shims: Any) -> Ladder:
    """The ladder of a page's worker."""
    there = set(shims.share.names())
    places = [BrowserPlace(shims.share, name, title) for name, title, _ in PLACES if name in there]
    lacking = [f"{title}: {why}." for name, title, why in PLACES if name not in there]

    async def own() -> Own:
        if await answer(shims.share.persists()):
            return Own("This site's own storage")
        return Own("This page's memory", "This site's own storage: the browser gives it none.")

    return Ladder(places, own, lacking)
