"""Which models a store has: a small document for each, written before its first byte comes.

What a record names belongs to a model; objects and documents that no record names belong to
nothing. Whoever opens a model holds the lock `running(url)` shared and then calls `use`, so that
nobody takes away what it is about to read.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from ..errors import InputError
from . import learn
from .base import ObjectStore
from .document import Value, parse
from .manifest import Manifest
from .runs import wanted

PREFIX = "model "
LOCK = "library"  # held by who changes records, and by who removes what they do not name
#: Kinds of documents that belong to models: the first word of the name.
KINDS = ("manifest", "tokenizer", "structure", "learnt", "plan")


def running(url: str) -> str:
    """The name of the lock that is held, shared, while the model of a manifest is open."""
    return f"running {url}"


@dataclass(frozen=True, slots=True)
class Learns:
    """A file whose hashes are learnt while it is downloaded, and its segments with tensors."""

    url: str
    wanted: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """A model of the store.

    url        of its manifest, or of its file if it was opened without a pack.
    used_s     when it was opened last, in seconds since 1970.
    pinned     whether it stays whatever happens.
    objects    bytes of each by SHA-256, as far as they are known by now.
    fillers    those without a tensor, such as padding: they may be missing.
    documents  names of those that it has; models of the same text share them.
    unknown    how many of the objects that it `learns` are not known yet.
    """

    url: str
    name: str
    used_s: float
    pinned: bool
    objects: dict[str, int]
    documents: tuple[str, ...]
    fillers: frozenset[str] = frozenset()
    learns: Learns | None = None
    unknown: int = 0

    def owns(self, document: str) -> bool:
        """Whether a document is this model's."""
        plan = document.startswith("plan ") and document.endswith(f" {self.name}")
        return plan or document in self.documents or document == PREFIX + self.url

    @staticmethod
    def of(url: str, manifest: Manifest, used_s: float, *, pinned: bool) -> Record:
        """What a model consists of, as its manifest says."""
        segments, need = manifest.segments, wanted(manifest)
        objects = {each.hash: each.nbytes for each in segments if each.hash is not None}
        fillers = objects.keys() - {segments[index].hash for index in need}
        documents = [f"manifest {url}"]
        for kind, ref in (("tokenizer", manifest.tokenizer), ("structure", manifest.structure)):
            if ref is not None:
                documents.append(f"{kind} {ref.sha256}")
        unknown = sum(segments[index].hash is None for index in need)
        learns = Learns(manifest.file.url, tuple(need)) if unknown else None
        if learns is not None:
            documents.append(learn.document(learns.url))
        return Record(
            url, manifest.name, used_s, pinned, objects, tuple(documents), frozenset(fillers),
            learns, unknown,
        )  # fmt: skip


async def use(
    store: ObjectStore, url: str, manifest: Manifest, clock: Callable[[], float] = time.time
) -> None:
    """Records that a model is opened now: before its first byte. Raises QuotaError."""
    async with store.lock(LOCK):
        before = await _read(store, url)
        pinned = before is not None and before.pinned
        await write_record(store, Record.of(url, manifest, clock(), pinned=pinned))


async def pin(store: ObjectStore, url: str, pinned: bool = True) -> None:
    """Keeps a model from eviction, or no longer. Raises InputError where it is not there."""
    async with store.lock(LOCK):
        record = await find(store, url)
        await write_record(store, replace(record, pinned=pinned))


async def find(store: ObjectStore, model: str) -> Record:
    """The record of a model by its address, or by its name if only one has it.

    Raises InputError.
    """
    found = await all_records(store)
    named = [each for each in found if each.url == model] or [
        each for each in found if each.name == model
    ]
    if len(named) == 1:
        return named[0]
    raise InputError(
        "a model of the store",
        got=f"{model!r}, which {len(named) or 'none'} of {len(found)} is called",
        need="the address of its manifest or its name",
        fix="see `edgewise store ls`",
    )


async def all_records(store: ObjectStore) -> list[Record]:
    """All of them, the one used longest ago first."""
    urls = [name.removeprefix(PREFIX) for name in await store.texts() if name.startswith(PREFIX)]
    found = [await _read(store, url) for url in urls]
    return sorted(filter(None, found), key=lambda record: (record.used_s, record.url))


async def _read(store: ObjectStore, url: str) -> Record | None:
    text = await store.get_text(PREFIX + url)
    if text is None:
        return None
    root = parse(text)
    pairs = [item.items(2) for item in root.field("objects").items()]
    record = Record(
        url=url,
        name=root.field("name").text(),
        used_s=root.field("used_ms").integer() / 1e3,
        pinned=root.field("pinned").data is True,
        objects={hash.sha256(): nbytes.integer() for hash, nbytes in pairs},
        documents=tuple(item.text() for item in root.field("documents").items()),
        fillers=frozenset(item.sha256() for item in root.field("fillers").items()),
        learns=_learns(root.field("learns")),
    )
    return record if record.learns is None else await _with_learnt(store, record, record.learns)


def _learns(value: Value) -> Learns | None:
    if value.data is None:
        return None
    indices = tuple(item.integer() for item in value.field("wanted").items())
    return Learns(value.field("url").text(), indices)


async def _with_learnt(store: ObjectStore, record: Record, learns: Learns) -> Record:
    """The record with the objects that are known by now."""
    learnt = await learn.known(store, learns.url)
    found = {each.hash: each.nbytes for each in learnt if each.hash is not None}
    need = [learnt[index].hash if index < len(learnt) else None for index in learns.wanted]
    return replace(
        record,
        objects=record.objects | found,
        fillers=(record.fillers | found.keys()) - set(need),
        unknown=need.count(None),
    )


async def write_record(store: ObjectStore, record: Record) -> None:
    """Keeps a record; who calls holds `LOCK`. Raises QuotaError."""
    document = {
        "name": record.name,
        "url": record.url,
        "used_ms": round(record.used_s * 1e3),
        "pinned": record.pinned,
        "objects": list(record.objects.items()),
        "documents": record.documents,
        "fillers": sorted(record.fillers),
        "learns": asdict(record.learns) if record.learns else None,
    }
    await store.put_text(PREFIX + record.url, json.dumps(document))
