"""Several objects to an entry of Cache Storage: what one suffers does not touch the rest."""

from __future__ import annotations

import random

from e2e.browsers import engines
from e2e.entries import damage, entries, truncate
from e2e.server import SiteServer
from e2e.test_store import (  # noqa: F401  fixtures
    HASHES,
    PATH,
    RUNS,
    SEGMENTS,
    SIZES,
    STARTS,
    Store,
    reload,
    server,
    store,
)
from tests.store.models import manifest_of, random_bytes

SMALL = [4096] * 300
MANY = random_bytes(sum(SMALL), seed=1)
MANY_SEGMENTS = [[each.hash, each.nbytes] for each in manifest_of(MANY, SMALL).segments]
TINY = [64, 2, 200, 33, 90]
WITHOUT_BYOB = """() => {
  const before = ReadableStream.prototype.getReader;
  ReadableStream.prototype.getReader = function (options) {
    if (options?.mode) throw new TypeError("not a byte stream");
    return before.call(this);
  };
}"""


def fill(store: Store, server: SiteServer) -> list[str]:  # noqa: F811
    """Stores many small objects; their hashes."""
    (server.root / "many.gguf").write_bytes(MANY)
    done: list[str] = store("fetchRun", "/many.gguf", 0, MANY_SEGMENTS)["done"]
    assert done == [hash for hash, _ in MANY_SEGMENTS]
    return done


@engines(*RUNS)
def test_many_small_objects_are_few_entries(store: Store, server: SiteServer) -> None:  # noqa: F811
    hashes = fill(store, server)
    assert len(entries(store.page)) < len(hashes) / 4
    reload(store)
    assert store("has", hashes) == [True] * len(hashes)
    for i in (0, 7, 150, 299):
        assert store.get(hashes[i]) == MANY[i * 4096 : (i + 1) * 4096]


@engines(*RUNS)
def test_one_is_removed_and_the_rest_stays(store: Store, server: SiteServer) -> None:  # noqa: F811
    hashes = fill(store, server)
    gone = [hashes[i] for i in (3, 4, 200)]
    assert store("remove", gone[0]) is True
    assert store("removeAll", [*gone, HASHES[0]]) == [False, True, True, False]
    assert store("has", hashes) == [hash not in gone for hash in hashes]
    assert store.get(hashes[5]) == MANY[5 * 4096 : 6 * 4096]
    assert store("removeAll", hashes).count(True) == len(hashes) - 3
    assert entries(store.page) == {}


@engines(*RUNS)
def test_damage_is_found_and_mended(store: Store, server: SiteServer) -> None:  # noqa: F811
    """Flips, and entries cut short: what is read is right or is not there, and comes again."""
    chance = random.Random(4)
    data = MANY[: sum(TINY)]
    (server.root / "tiny.gguf").write_bytes(data)
    model = manifest_of(data, TINY)
    hashes = [each.hash or "" for each in model.segments]
    segments = [[each.hash, each.nbytes] for each in model.segments]
    right = [data[a : a + n] for a, n in zip(model.offsets, TINY, strict=True)]
    store("fetchRun", "/tiny.gguf", 0, segments)
    for _ in range(8):
        victim = chance.randrange(len(TINY))
        if chance.random() < 0.5:
            damage(store.page, hashes[victim], chance.randrange(TINY[victim]))
        else:
            truncate(store.page, hashes[victim])
        reload(store)
        read = [store.get(hash) for hash in hashes]
        assert read[victim] is None
        assert all(found in (None, each) for found, each in zip(read, right, strict=True))
        assert store("has", hashes) == [found is not None for found in read]
        for i, found in enumerate(read):
            if found is None:
                again = store("fetchRun", "/tiny.gguf", model.offsets[i], [segments[i]])
                assert again["done"] == [hashes[i]]
        assert [store.get(hash) for hash in hashes] == right


@engines("chromium")
def test_a_browser_whose_bodies_are_no_byte_streams(store: Store) -> None:  # noqa: F811
    if store.where == "window":
        store.page.evaluate(WITHOUT_BYOB)
    assert store("fetchRun", PATH, STARTS[1], SEGMENTS[1:])["done"] == HASHES[1:]
    assert store.holds() == [i > 0 for i in range(len(SIZES))]
