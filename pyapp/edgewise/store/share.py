"""Where a file may be found before it is fetched, and to whom it is offered after. Policy only.

The ladder: places that all sites share (Cross-Origin Storage, then the site's hub), what this
origin stores itself, and memory where it may store nothing. Shared places know whole files by their
SHA-256. A file that is found there is read where it lies; each object of it is verified all the
same. What a place says need not be true: whatever it refuses, the network stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol
from urllib.parse import urlsplit

from ..errors import StoreError
from . import learn
from .base import ObjectStore, Segment
from .manifest import FileRef, Manifest
from .runs import file_of, missing, plan, wanted

LOOKUPS = 8  # of a page at one place: Cross-Origin Storage may allow no more
WAIT_S = 20.0  # for a person who is asked; then the network is taken


class Place(Protocol):
    """One place that sites share. Every call may raise StoreError: the place refuses."""

    @property
    def title(self) -> str:
        """Its name, at the beginning of a sentence."""
        ...

    async def find(self, sha256: str) -> int | None:
        """The size of the file with this SHA-256, None where it is said not to be there."""
        ...

    async def digests(self, sha256: str, sizes: Sequence[int]) -> list[str] | None:
        """The hashes of a found file's segments of these sizes, None where it is another file."""
        ...

    async def lay(self, sha256: str, segments: Sequence[Segment]) -> None:
        """Makes a found file's objects readable in this machine's store, where they lie."""
        ...

    async def offer(self, sha256: str, hashes: Sequence[str]) -> bool:
        """Hands over the file that consists of these stored objects; whether it is kept."""
        ...


@dataclass(frozen=True, slots=True)
class Own:
    """What keeps objects here: its name, and a sentence on what is above it, where one is due."""

    title: str
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """Where a file is read from.

    file     its name.
    place    the title of the rung that has it.
    nbytes   of it that the network had to bring.
    reasons  why each rung above does not, a sentence each.
    offered  what became of offering it to those above, a sentence each.
    """

    file: str
    place: str
    nbytes: int
    reasons: tuple[str, ...]
    offered: tuple[str, ...] = ()


class Ladder:
    """The places of one page, and what they said so far. `served` is by URL."""

    def __init__(
        self,
        places: Sequence[Place],
        own: Callable[[], Awaitable[Own]],
        lacking: Sequence[str] = (),
        *,
        wait_s: float = WAIT_S,
    ) -> None:
        """`lacking`: why there are not more places, a sentence each."""
        self.places, self.served = tuple(places), dict[str, Served]()
        self._own, self._lacking, self._wait_s = own, tuple(lacking), wait_s
        self._asked: dict[str, set[str]] = {place.title: set() for place in places}
        self._willing: dict[str, list[Place]] = {}
        self._offers: set[asyncio.Task[None]] = set()

    async def look(self, store: ObjectStore, manifest: Manifest) -> Manifest:
        """Finds what the store lacks of a model at the places above, where files are whole.

        Returns  the manifest, with the hashes filled in that are known now.
        """
        url = manifest.file.url
        manifest, etag = (
            (manifest, None) if _known(manifest) else await learn.recall(store, url, manifest)
        )
        lacks = await self._lacks(store, manifest)
        for number, file in enumerate(manifest.files):
            before = self.served.get(file.url)
            if before is None:
                served, hashes = await self._look(manifest, number, file, lacks[number])
                self.served[file.url] = served
                if hashes is not None:
                    manifest = manifest.with_hashes(hashes)
                    await learn.record(store, url, manifest, etag)
            elif lacks[number]:
                self.served[file.url] = _mended(before, lacks[number])
        return manifest

    async def _lacks(self, store: ObjectStore, manifest: Manifest) -> list[int]:
        """The bytes that each file's wanted objects lack."""
        indices = wanted(manifest)
        hashes = [manifest.segments[i].hash for i in indices]
        known = [hash for hash in hashes if hash is not None]
        found = await store.has(known)
        there = {hash for hash, is_there in zip(known, found, strict=True) if is_there}
        lacks = [0] * len(manifest.files)
        for index in missing(manifest, indices, there):
            lacks[file_of(manifest, index)] += manifest.segments[index].nbytes
        return lacks

    async def _look(
        self, manifest: Manifest, number: int, file: FileRef, lacks: int
    ) -> tuple[Served, Sequence[str] | None]:
        """Where a file is, and its segments' hashes if they are learnt by that."""
        own, name = await self._own(), urlsplit(file.url).path.rpartition("/")[2]
        if not lacks:
            here = "It was here already: no other place was asked."
            return Served(name, own.title, 0, (here,)), None
        segments, reasons = _segments(manifest, number), list(self._lacking)
        for place in self.places:
            why, hashes = await self._ask(place, file), None
            if why is None and not _known(manifest):
                hashes = await place.digests(file.sha256 or "", [s.nbytes for s in segments])
                why = "its bytes are another file's" if hashes is None else None
            if why is None:
                self._willing.pop(file.sha256 or "", None)  # offered is what the network brought
                if hashes is not None:
                    segments = manifest.with_hashes(hashes).segments
                await place.lay(file.sha256 or "", segments)
                return Served(name, place.title, 0, tuple(reasons)), hashes
            reasons.append(f"{place.title}: {why}.")
        if own.why is not None:
            reasons.append(own.why)
        return Served(name, own.title, lacks, tuple(reasons)), None

    async def _ask(self, place: Place, file: FileRef) -> str | None:
        """Why a place does not have a file; None if it has."""
        sha256, nbytes = file.sha256, file.nbytes
        asked = self._asked[place.title]
        if sha256 is None:
            return "the file's SHA-256 is not known before it is here"
        if len(asked) == LOOKUPS:
            return f"the {LOOKUPS} look-ups of a page are used up"
        asked.add(sha256)
        try:
            found = await asyncio.wait_for(place.find(sha256), self._wait_s)
        except TimeoutError:
            self._willing.setdefault(sha256, []).append(place)
            return f"no answer within {self._wait_s:.0f} s"
        except StoreError as error:
            return str(error.got or error.what)
        if found == nbytes:
            return None
        self._willing.setdefault(sha256, []).append(place)
        if found is None:
            return "it says that the file is not there"
        return f"its file has {found} bytes, {nbytes} are needed"

    def offer(self, store: ObjectStore, manifest: Manifest) -> None:
        """Hands the files that the network brought to the places above, beside all else."""
        for number, file in enumerate(manifest.files):
            places = self._willing.pop(file.sha256 or "", [])
            if places:
                task = asyncio.ensure_future(self._offer(store, manifest, number, file, places))
                self._offers.add(task)

    async def settled(self) -> None:
        """Waits until every offer was taken or refused."""
        await asyncio.gather(*self._offers)

    async def _offer(
        self,
        store: ObjectStore,
        manifest: Manifest,
        number: int,
        file: FileRef,
        places: Sequence[Place],
    ) -> None:
        said: list[str] = []
        try:
            hashes = await _complete(store, manifest, number)
        except StoreError as error:
            said.append(f"The file is not whole here: {error.what}.")
            places = ()
        for place in places:
            try:
                kept = await place.offer(file.sha256 or "", hashes)
                said.append(f"{place.title} {'keeps it' if kept else 'did not keep it'}.")
            except StoreError as error:
                said.append(f"{place.title} did not take it: {error.got or error.what}.")
        self.served[file.url] = replace(self.served[file.url], offered=tuple(said))


def _known(manifest: Manifest) -> bool:
    """Whether all hashes are known; else they are learnt, which is done for single files alone."""
    return bool(manifest.more_files) or all(each.hash for each in manifest.segments)


def _mended(served: Served, nbytes: int) -> Served:
    """The same after some of it could not be read."""
    said = "Some of it was wrong or gone there, and came from the network."
    reasons = [reason for reason in served.reasons if reason != said]
    return replace(served, nbytes=served.nbytes + nbytes, reasons=(*reasons, said))


def _segments(manifest: Manifest, number: int) -> tuple[Segment, ...]:
    """All segments of a file."""
    indices = range(len(manifest.segments))
    return tuple(manifest.segments[i] for i in indices if file_of(manifest, i) == number)


async def _complete(store: ObjectStore, manifest: Manifest, number: int) -> list[str]:
    """All hashes of a file, once what no tensor needs is fetched too, such as the header: a place
    takes whole files only."""
    indices = [i for i in range(len(manifest.segments)) if file_of(manifest, i) == number]
    hashes = [manifest.segments[i].hash for i in indices]
    known = [hash for hash in hashes if hash is not None]
    found = await store.has(known)
    there = {hash for hash, is_there in zip(known, found, strict=True) if is_there}
    urls = [file.url for file in manifest.files]
    for index in missing(manifest, indices, there):
        (run,) = plan(manifest, urls, [index], parts=1, ranged=True)
        result = await store.fetch_run(run, on_bytes=lambda nbytes: None)
        if result.error is not None:
            raise result.error
        hashes[index - indices[0]] = result.done[0]
    return [hash or "" for hash in hashes]
