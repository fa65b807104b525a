"""A thousand ways for bytes to go wrong, on the wire and in the store: each is refused and mended.

Flips of a byte, answers cut short, segments and answers in another order; seeded, over real HTTP
into a real folder.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from edgewise.store.download import Retry, download
from edgewise.store.folder import Folder
from tests.store.hostile import host, send
from tests.store.models import manifest_of, random_bytes

SIZES = [700, 33, 512, 1, 900, 64, 300]
DATA = random_bytes(sum(SIZES))
MODEL = manifest_of(DATA, SIZES)
PIECES = {
    segment.hash or "": DATA[at : at + segment.nbytes]
    for segment, at in zip(MODEL.segments, MODEL.offsets, strict=True)
}
ON_THE_WIRE, IN_THE_STORE = 150, 100  # of each of four kinds


async def at_once(seconds: float) -> None:
    """Stands in for waiting."""


class Liar:
    """A host: the next answer is spoilt by `spoil`, given its bytes, and all after it are right."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.spoil: Callable[[bytes], bytes] | None = None

    def answer(self, handler: BaseHTTPRequestHandler, _: int) -> None:
        first, last = map(int, handler.headers["range"].removeprefix("bytes=").split("-"))
        right = DATA[first : last + 1]
        body = self.spoil(right) if self.spoil else right
        self.spoil = None
        shown: dict[str, str | int] = {
            "content_range": f"bytes {first}-{last}/{len(DATA)}",
            "content_length": len(right),
        }
        send(handler, 206, body, **shown)
        handler.close_connection = True

    def flip(self, right: bytes) -> bytes:
        wrong = bytearray(right)
        wrong[self.chance.randrange(len(right))] ^= 1 << self.chance.randrange(8)
        return bytes(wrong)

    def truncate(self, right: bytes) -> bytes:
        return right[: self.chance.randrange(len(right))]

    def reorder(self, right: bytes) -> bytes:
        """Two parts of it change places: segments, if it has several."""
        cut = self.chance.randrange(1, len(right)) if len(right) > 1 else 0
        return right[cut:] + right[:cut]

    def another(self, right: bytes) -> bytes:
        """What belongs to another request."""
        at = self.chance.randrange(len(DATA) - len(right) + 1)
        return DATA[at : at + len(right)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # no power fails here
    return Folder(tmp_path)


@pytest.fixture
def lying() -> Iterator[tuple[Liar, str]]:
    liar = Liar(random.Random(1))
    with host(liar.answer) as (url, _):
        yield liar, url


async def fetch(folder: Folder, url: str) -> None:
    await download(folder, MODEL, url, parallel=2, retry=Retry(sleep=at_once))
    assert {hash: folder.get(hash) for hash in PIECES} == PIECES


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["flip", "truncate", "reorder", "another"])
def test_on_the_wire(folder: Folder, lying: tuple[Liar, str], kind: str) -> None:
    liar, url = lying

    async def main() -> None:
        for _ in range(ON_THE_WIRE):
            count = liar.chance.randint(1, len(PIECES))
            await folder.remove_all(liar.chance.sample(sorted(PIECES), count))
            liar.spoil = getattr(liar, kind)
            await fetch(folder, url)

    asyncio.run(main())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["flip", "truncate", "replace", "swap"])
def test_in_the_store(folder: Folder, lying: tuple[Liar, str], kind: str) -> None:
    liar, url = lying

    async def main() -> None:
        await fetch(folder, url)
        for _ in range(IN_THE_STORE):
            damage(folder, liar, kind)
            # what is read is right, or is not there; and then it is fetched
            found = {hash: folder.get(hash) for hash in PIECES}
            assert all(found[hash] in (None, piece) for hash, piece in PIECES.items())
            assert None in found.values()
            await fetch(folder, url)

    asyncio.run(main())


def damage(folder: Folder, liar: Liar, kind: str) -> None:
    """Of one object; `replace` gives it another one's bytes, `swap` both each other's."""
    hashes = liar.chance.sample(sorted(PIECES), 2)
    one, other = (folder.root / "objects" / hash[:2] / hash[2:] for hash in hashes)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(getattr(liar, kind)(first) if kind in ("flip", "truncate") else second)
    if kind == "swap":
        other.write_bytes(first)
