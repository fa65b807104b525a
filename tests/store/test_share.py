"""The ladder: which place is asked, what it may answer, and what is offered back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path

import pytest

from e2e.server import SiteServer
from edgewise.errors import StoreError
from edgewise.store.base import Segment
from edgewise.store.download import download
from edgewise.store.folder import Folder
from edgewise.store.manifest import FileRef, Manifest
from edgewise.store.share import LOOKUPS, Ladder, Own, Served
from tests.store.models import digest, manifest_of, random_bytes, unknown

SIZES = [50, 5_000, 9_000, 6_000, 7_000]
DATA = random_bytes(sum(SIZES))
HEADER = "t0"  # that no tensor is in the first segment: it is taken out
NONE = ("A: it says that the file is not there.", "B: it says that the file is not there.")


@dataclass
class Shared:
    """A place that keeps files; `says` is an error or a size that it answers instead."""

    title: str
    store: Folder
    files: dict[str, bytes] = field(default_factory=dict)
    says: StoreError | int | None = None
    asked: list[str] = field(default_factory=list)

    async def find(self, sha256: str) -> int | None:
        self.asked.append(sha256)
        if isinstance(self.says, StoreError):
            raise self.says
        if self.says is not None:
            return self.says
        return len(self.files[sha256]) if sha256 in self.files else None

    async def digests(self, sha256: str, sizes: Sequence[int]) -> list[str] | None:
        data = self.files[sha256]
        if digest(data) != sha256:
            return None
        ends = list(accumulate(sizes))
        return [digest(data[end - size : end]) for size, end in zip(sizes, ends, strict=True)]

    async def lay(self, sha256: str, segments: Sequence[Segment]) -> None:
        at = 0
        for segment in segments:
            self.store.put(segment.hash or "", self.files[sha256][at : at + segment.nbytes])
            at += segment.nbytes

    async def offer(self, sha256: str, hashes: Sequence[str]) -> bool:
        if isinstance(self.says, StoreError):
            raise self.says
        data = b"".join(self.store.get(hash) or b"" for hash in hashes)
        if digest(data) == sha256:
            self.files[sha256] = data
        return digest(data) == sha256


class Slow(Shared):
    """One that waits for a person."""

    async def find(self, sha256: str) -> int | None:
        await asyncio.Event().wait()
        return None


async def own() -> Own:
    return Own("Here")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SiteServer]:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "model.gguf").write_bytes(DATA)
    with SiteServer(tmp_path / "site") as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "store")


def model(url: str) -> Manifest:
    found = manifest_of(DATA, SIZES, f"{url}/model.gguf")
    return replace(found, tensors={n: t for n, t in found.tensors.items() if n != HEADER})


def bring(ladder: Ladder, store: Folder, manifest: Manifest) -> Served:
    """Look, download, offer; what is said of the file at the end."""

    async def story() -> Served:
        await ladder.look(store, manifest)
        await download(store, manifest, "")
        ladder.offer(store, manifest)
        await ladder.settled()
        return ladder.served[manifest.file.url]

    return asyncio.run(story())


def test_the_network_comes_last_and_what_it_brings_is_offered(
    server: SiteServer, store: Folder, tmp_path: Path
) -> None:
    manifest = model(server.url)
    a, b = Shared("A", store), Shared("B", store)
    served = bring(Ladder([a, b], own), store, manifest)
    nbytes = sum(SIZES[1:])
    kept = ("A keeps it.", "B keeps it.")
    assert served == Served("model.gguf", "Here", nbytes, NONE, kept)
    assert a.files == b.files == {digest(DATA): DATA}, "the header too, which no tensor needs"
    assert server.sent("/model.gguf") == len(DATA)

    # Another site of this machine finds it at B.
    other = Folder(tmp_path / "other")
    a, b = Shared("A", other), Shared("B", other, b.files)
    server.log.clear()
    served = bring(Ladder([a, b], own), other, manifest)
    assert served == Served("model.gguf", "B", 0, NONE[:1])
    assert server.log == []
    assert a.files == {}, "what was found is not offered on"


def test_nobody_is_asked_for_what_is_here(server: SiteServer, store: Folder) -> None:
    manifest = model(server.url)
    asyncio.run(download(store, manifest, ""))
    place = Shared("A", store)
    served = bring(Ladder([place], own), store, manifest)
    assert served.place == "Here"
    assert served.reasons == ("It was here already: no other place was asked.",)
    assert (place.asked, place.files) == ([], {})


@pytest.mark.parametrize(
    ("says", "reason", "offered"),
    [
        (StoreError("no", got="NotAllowedError: declined"), "A: NotAllowedError: declined.", ()),
        (StoreError("out of order"), "A: out of order.", ()),
        (7, f"A: its file has 7 bytes, {len(DATA)} are needed.", ("A keeps it.",)),
    ],
)
def test_a_place_that_refuses(
    server: SiteServer,
    store: Folder,
    says: StoreError | int,
    reason: str,
    offered: tuple[str, ...],
) -> None:
    place = Shared("A", store, says=says)
    served = bring(Ladder([place], own, ["B: none."]), store, model(server.url))
    assert served == Served("model.gguf", "Here", sum(SIZES[1:]), ("B: none.", reason), offered)


def test_a_person_who_does_not_answer(server: SiteServer, store: Folder) -> None:
    ladder = Ladder([Slow("A", store)], own, wait_s=0)
    served = bring(ladder, store, model(server.url))
    assert (served.place, served.reasons) == ("Here", ("A: no answer within 0 s.",))
    assert served.offered == ("A keeps it.",)


def test_look_ups_are_few(server: SiteServer, store: Folder) -> None:
    first = model(server.url)
    files = [FileRef(f"{server.url}/{n}", "gguf", digest(bytes([n])), 1) for n in range(LOOKUPS)]
    segments = tuple(Segment(file.sha256, 1) for file in files)
    shards = {f"s{n}": replace(first.tensors["t1"], offset=len(DATA) + n, nbytes=1, shape=(1,))
              for n in range(LOOKUPS)}  # fmt: skip
    manifest = replace(first, segments=first.segments + segments, more_files=tuple(files),
                       tensors={**first.tensors, **shards})  # fmt: skip
    place = Shared("A", store)
    ladder = Ladder([place], own)
    asyncio.run(ladder.look(store, manifest))
    assert len(place.asked) == LOOKUPS
    assert ladder.served[files[-1].url].reasons == ("A: the 8 look-ups of a page are used up.",)
    asyncio.run(ladder.look(store, manifest))
    assert len(place.asked) == LOOKUPS, "what was answered is not asked again"


def test_a_file_of_which_only_the_sha256_is_known(
    server: SiteServer, store: Folder, tmp_path: Path
) -> None:
    """A model hub tells it; the segments' hashes are learnt, here from the network."""
    manifest = unknown(model(server.url))
    place = Shared("A", store)
    assert bring(Ladder([place], own), store, manifest).offered == ("A keeps it.",)
    assert place.files == {digest(DATA): DATA}

    # There from the place, and once more without it: they are recorded.
    other = Folder(tmp_path / "other")
    server.log.clear()
    served = bring(Ladder([Shared("A", other, place.files)], own), other, manifest)
    assert (served.place, served.nbytes) == ("A", 0)
    assert bring(Ladder([], own), other, manifest).nbytes == 0
    assert server.log == []


def test_bytes_of_another_file(server: SiteServer, store: Folder) -> None:
    manifest = unknown(model(server.url))
    place = Shared("A", store, {digest(DATA): DATA[::-1]})
    served = bring(Ladder([place], own), store, manifest)
    assert served.place == "Here"
    assert served.reasons == ("A: its bytes are another file's.",)


def test_a_file_of_which_nothing_is_known(server: SiteServer, store: Folder) -> None:
    manifest = unknown(model(server.url))
    manifest = replace(manifest, file=replace(manifest.file, sha256=None))
    place = Shared("A", store)
    served = bring(Ladder([place], own), store, manifest)
    assert served.reasons == ("A: the file's SHA-256 is not known before it is here.",)
    assert (place.asked, place.files) == ([], {})


def test_what_is_gone_again_comes_from_the_network(server: SiteServer, store: Folder) -> None:
    manifest = model(server.url)
    ladder = Ladder([Shared("A", store, {digest(DATA): DATA})], own)
    assert bring(ladder, store, manifest).nbytes == 0
    asyncio.run(store.remove(manifest.segments[2].hash or ""))
    served = bring(ladder, store, manifest)
    assert (served.place, served.nbytes) == ("A", SIZES[2])
    assert served.reasons[-1].startswith("Some of it was wrong or gone")


def test_an_offer_that_cannot_be_made_whole(server: SiteServer, store: Folder) -> None:
    """The host goes away after the tensors came, before the header did."""
    manifest = model(server.url)
    place = Shared("A", store)
    ladder = Ladder([place], own)

    async def story() -> None:
        await ladder.look(store, manifest)
        await download(store, manifest, "")
        server.offline = True
        ladder.offer(store, manifest)
        await ladder.settled()

    asyncio.run(story())
    (said,) = ladder.served[manifest.file.url].offered
    assert said.startswith("The file is not whole here: ")
    assert place.files == {}
