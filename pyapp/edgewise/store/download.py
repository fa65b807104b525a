"""Brings a model's missing segments into a store. Policy only: the store moves the bytes.

Nothing remembers a download: what is there is asked of the store each time, so one that was
cut, cancelled or corrupted is resumed by calling again, and fetches only what is not there.
Cancelling the task ends its requests; what they had stored stays. Of several tabs or processes
that want a file one fetches it (`together`); when that one goes, the next goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from urllib.parse import urljoin

from ..errors import (
    DownloadError,
    EdgewiseError,
    FormatError,
    HashMismatchError,
    QuotaError,
)
from . import learn
from .base import ObjectStore, Run, RunResult, Segment
from .library import free, make_room
from .manifest import Manifest
from .progress import Meter, Progress
from .runs import missing, plan, wanted
from .sources import Sources
from .together import Together

LEARN_NBYTES = 32 * 1024 * 1024  # hashes are recorded after each request: what a crash may lose


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a request that brought nothing is tried again, and after how long.

    The wait doubles each time: 0.5 s, 1 s, 2 s, 4 s. Progress starts the count anew.
    """

    limit: int = 4
    first_s: float = 0.5
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


async def download(
    store: ObjectStore,
    manifest: Manifest,
    manifest_url: str,
    *,
    tensors: Iterable[str] | None = None,
    parallel: int = 4,
    on_progress: Callable[[Progress], None] | None = None,
    retry: Retry | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Manifest:
    """Fetches the segments of these tensors (None: all) and the tokenizer that are not there.

    Returns  the manifest, with the hashes that were not known before filled in.
    Raises   QuotaError before the first byte where the room is short; DownloadError after the
             last retry, or at once where no retry helps; HashMismatchError, naming segment and
             URL, where a segment is wrong twice. What had arrived by then stays stored.
    """
    task = _Download(store, manifest, manifest_url, retry or Retry(), on_progress, clock)
    return await task.run(tensors, parallel)


@dataclass(frozen=True, slots=True)
class _Lack:
    """What a download has to fetch: segments, the tokenizer's run, and the bytes of both."""

    absent: list[int]
    extra: list[Run]
    nbytes: int


class _Download:
    """One call of `download`: what it has found out so far."""

    def __init__(
        self,
        store: ObjectStore,
        manifest: Manifest,
        manifest_url: str,
        retry: Retry,
        on_progress: Callable[[Progress], None] | None,
        clock: Callable[[], float],
    ) -> None:
        self.store, self.manifest, self.retry = store, manifest, retry
        self.base = manifest_url
        self.urls = [_resolve(manifest_url, file.url) for file in manifest.files]
        self.url = self.urls[0]  # hashes are learnt of a file that was opened alone
        self.on_progress, self.clock = on_progress, clock
        self.learning = any(segment.hash is None for segment in manifest.segments)
        self.etag: str | None = None
        self.refetched: set[tuple[str, int]] = set()
        self.meter = Meter(0, 0, clock())
        # what two addresses have need not be one file while its hashes are not known
        self.sources = Sources({} if self.learning else {
            url: [url, *(_resolve(manifest_url, mirror) for mirror in file.mirrors)]
            for url, file in zip(self.urls, manifest.files, strict=True)
        })  # fmt: skip
        self.together = Together(store, manifest.files, self.urls)
        self.absent: list[int] = []
        self.freeing, self.freed = asyncio.Lock(), False

    async def run(self, tensors: Iterable[str] | None, parallel: int) -> Manifest:
        names = None if tensors is None else tuple(tensors)
        lack = await self._look(names)
        if lack.nbytes:
            async with self.together.alone(lambda left: self._elsewhere(lack.nbytes - left)):
                lack = await self._look(names)  # others may have brought it meanwhile
                if lack.nbytes and await self._make_room(lack.nbytes):
                    lack = await self._look(names)
                await self._fetch_all(lack.absent, lack.extra, parallel)
                self._report(always=True)
        self._report(always=True)
        return self.manifest

    async def _look(self, tensors: Iterable[str] | None) -> _Lack:
        """What is not there, with what others have learnt by now."""
        if self.learning:
            self.manifest, self.etag = await learn.recall(self.store, self.url, self.manifest)
        segments = self.manifest.segments
        indices = wanted(self.manifest, tensors)
        document = self._tokenizer()
        there = await self._there([segments[i].hash for i in indices], document)
        absent = missing(self.manifest, indices, there)
        extra = [run for run in document if run.segments[0].hash not in there]
        total = sum(segments[i].nbytes for i in indices) + sum(run.nbytes for run in document)
        need = sum(segments[i].nbytes for i in absent) + sum(run.nbytes for run in extra)
        self.meter = Meter(total - need, total, self.clock())
        return _Lack(absent, extra, need)

    def _tokenizer(self) -> list[Run]:
        """The request for the tokenizer, where it is a file of its own."""
        ref = self.manifest.tokenizer
        if ref is None or ref.url is None:
            return []
        return [Run(_resolve(self.base, ref.url), 0, (Segment(ref.sha256, ref.nbytes),))]

    async def _there(self, hashes: list[str | None], document: list[Run]) -> set[str]:
        asked = [hash for hash in hashes if hash is not None]
        asked += [segment.hash for run in document for segment in run.segments if segment.hash]
        found = await self.store.has(asked)
        return {hash for hash, is_there in zip(asked, found, strict=True) if is_there}

    async def _make_room(self, need: int) -> bool:
        """Whether something was removed for it. Raises QuotaError where that is not enough."""
        room = await self.store.estimate()
        if room.quota is None or room.usage is None or need <= room.quota - room.usage:
            return False
        if await make_room(self.store, need):
            return True
        raise QuotaError(
            f"the store has no room for '{self.manifest.name}'",
            got=f"{_mb(room.quota - room.usage)} free of {_mb(room.quota)}",
            need=_mb(need),
            fix="remove other models, free space on the disk, or choose a smaller variant",
        )

    async def _free(self, error: EdgewiseError) -> bool:
        """Whether something went for all that is missing, since there is less room than was said
        (browsers may say anything): once for all requests."""
        if not isinstance(error, QuotaError):
            return False
        async with self.freeing:
            if not self.freed:
                segments = self.manifest.segments
                there = await self._there([segments[i].hash for i in self.absent], [])
                left = missing(self.manifest, self.absent, there)
                self.freed = await free(self.store, sum(segments[i].nbytes for i in left))
            return self.freed

    async def _fetch_all(self, absent: list[int], extra: list[Run], parallel: int) -> None:
        self.absent, parts = absent, parallel
        if self.learning:
            nbytes = sum(self.manifest.segments[i].nbytes for i in absent)
            parts = max(parts, -(-nbytes // LEARN_NBYTES))
        runs = plan(self.manifest, self.urls, absent, parts=parts, ranged=True)
        if len(runs) > 1:
            # The smallest goes alone: a server that ignores Range would send the whole file to
            # each of several requests, and its answer tells.
            scout = min(absent, key=lambda i: self.manifest.segments[i].nbytes)
            first = plan(self.manifest, self.urls, [scout], parts=1, ranged=True)
            ranged = await self._fetch(first[0])
            rest = [index for index in absent if index != scout]
            runs = plan(self.manifest, self.urls, rest, parts=parts, ranged=ranged)
        await self._share(deque(extra + runs), parallel)

    async def _share(self, queue: deque[Run], parallel: int) -> None:
        async def work() -> None:
            while queue:
                await self._fetch(queue.popleft())

        workers = [asyncio.ensure_future(work()) for _ in range(min(parallel, len(queue)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _fetch(self, run: Run) -> bool:
        """Fetches a run to its end, in as many requests as it takes; whether Range works."""
        tries = 0
        while True:
            source = self.sources.of(run.url)
            result, run = await self._request(run, source)
            error = result.error
            if error is None:
                return result.ranged
            tries = 0 if result.done else tries
            limit = self.retry.limit if self.sources.is_last(run.url, source) else 1
            place = (source, run.offset)
            again = place not in self.refetched
            if again and (isinstance(error, HashMismatchError) or await self._free(error)):
                self.refetched.add(place)
            elif isinstance(error, DownloadError) and result.retry and tries < limit:
                await self.retry.sleep(self.retry.first_s * 2**tries)
                tries += 1
            elif self.sources.drop(run.url, source, error):
                tries = 0
            else:
                await self._forget_if_stale(result)
                raise error

    async def _request(self, run: Run, source: str) -> tuple[RunResult, Run]:
        """One request: its result, and what of the run is left."""

        def arrived(nbytes: int) -> None:
            self.meter.arrived(run, nbytes)
            self._report()

        stored = 0
        etag = self.etag if run.url == self.url else None
        try:
            asked = replace(run, url=source)
            result = await self.store.fetch_run(asked, on_bytes=arrived, etag=etag)
            stored = sum(segment.nbytes for segment in run.segments[: len(result.done)])
        finally:
            self.meter.ended(run, stored)
        if self.learning and result.done and run.url == self.url:
            await self._learn(run.offset, result)
        left = replace(run, offset=run.offset + stored, segments=run.segments[len(result.done) :])
        return result, left

    async def _learn(self, offset: int, result: RunResult) -> None:
        self.etag = self.etag or result.etag
        first = self.manifest.offsets.index(offset)
        hashes = [segment.hash for segment in self.manifest.segments]
        hashes[first : first + len(result.done)] = result.done
        self.manifest = self.manifest.with_hashes(hashes)
        await learn.record(self.store, self.url, self.manifest, self.etag)

    async def _forget_if_stale(self, result: RunResult) -> None:
        """Drops what was learnt of a file that is another one now, so that it can be opened."""
        changed = result.etag not in (None, self.etag)
        if self.learning and (changed or isinstance(result.error, HashMismatchError)):
            await learn.forget(self.store, self.url)

    def _elsewhere(self, nbytes: int) -> None:
        """Another tab or process fetches: so much has arrived there."""
        self.meter.elsewhere(nbytes)
        self._report()

    def _report(self, always: bool = False) -> None:
        now = self.clock()
        if always or self.meter.due(now):
            progress = replace(self.meter.read(now), dropped=self.sources.dropped)
            self.together.tell(progress.total_nbytes - progress.done_nbytes)
            if self.on_progress:
                self.on_progress(progress)


def _resolve(base: str, url: str) -> str:
    try:
        return urljoin(base, url)
    except ValueError as error:
        raise FormatError("the manifest names no address", got=url, need=str(error)) from None


def _mb(nbytes: int) -> str:
    return f"{nbytes / 1e6:.1f} MB"
