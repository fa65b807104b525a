"""A model as one file: an uncompressed tar that any program can read.

    edgewise-model.json   what follows: address, name, objects and documents with their bytes
    objects/HASH          each object; the manifest says which segments of its files they are
    documents/N           the documents, the manifest first

Written and read from front to end, one object in memory at a time. Every object is verified by
its hash on the way in; the documents come last, so a model that broke off has no manifest yet.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import FormatError, InputError, QuotaError, StoreError
from .base import ObjectStore
from .document import Value, parse
from .library import evict, make_room
from .manifest import TEXT_NBYTES
from .records import KINDS, LOCK, Record, find, running, write_record

FORMAT = "edgewise-model/1"
HEAD = "edgewise-model.json"
BLOCK = tarfile.BLOCKSIZE

Write = Callable[[bytes], Awaitable[object]]
Read = Callable[[int], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class _Document:
    name: str
    nbytes: int
    sha256: str


async def export_model(store: ObjectStore, model: str, write: Write) -> Record:
    """Writes a model, by its address or name, piece by piece.

    Raises InputError where it is not there, StoreError where an object of it is missing.
    """
    record = await find(store, model)
    async with store.lock(running(record.url), shared=True):
        texts: dict[str, bytes] = {}
        for name in record.documents:
            text = await store.get_text(name)
            if text is not None:
                texts[name] = text.encode()
        objects = await _needed(store, record)
        await write(_member(HEAD, _head(replace(record, objects=objects), texts)))
        for hash in objects:
            data = await store.read(hash)
            if data is None:
                raise _not_whole(record)
            await write(_member(f"objects/{hash}", data))
        for index, encoded in enumerate(texts.values()):
            await write(_member(f"documents/{index}", encoded))
        await write(bytes(2 * BLOCK))
    return record


async def import_model(
    store: ObjectStore, read: Read, clock: Callable[[], float] = time.time
) -> Record:
    """Brings what `export_model` wrote; `read` gives the next bytes, fewer only at the end.

    Raises FormatError for another file or one that ends early, HashMismatchError, QuotaError; a
    model that was not there before is then not there either.
    """
    record, documents = _checked(await _next(read, HEAD, None))
    new = True
    try:
        async with store.lock(running(record.url), shared=True):
            async with store.lock(LOCK):
                with suppress(InputError):
                    before = await find(store, record.url)
                    new, record = False, replace(record, pinned=before.pinned)
                record = replace(record, used_s=clock())
                await write_record(store, record)
            await _need_room(store, record)
            for hash, nbytes in record.objects.items():
                await store.write(hash, await _next(read, f"objects/{hash}", nbytes))
            for index, document in enumerate(documents):
                data = await _next(read, f"documents/{index}", document.nbytes)
                await store.put_text(document.name, _text(document, data))
    except BaseException:
        if new:
            with suppress(StoreError, InputError):
                await evict(store, record.url)
        raise
    return record


async def export_file(store: ObjectStore, model: str, path: Path) -> Record:
    """As `export_model`, into a file that is there at once or not at all."""
    partial = path.with_name(f"{path.name}.part")
    try:
        with partial.open("wb") as file:

            async def write(data: bytes) -> None:
                file.write(data)

            record = await export_model(store, model, write)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return record


async def import_file(store: ObjectStore, path: Path) -> Record:
    """As `import_model`, from a file."""
    with path.open("rb") as file:

        async def read(nbytes: int) -> bytes:
            return file.read(nbytes)

        return await import_model(store, read)


def _head(record: Record, texts: dict[str, bytes]) -> bytes:
    documents = [[n, len(d), hashlib.sha256(d).hexdigest()] for n, d in texts.items()]
    head = {
        "format": FORMAT,
        "name": record.name,
        "url": record.url,
        "objects": list(record.objects.items()),
        "documents": documents,
    }
    return json.dumps(head).encode()


def _checked(data: bytes) -> tuple[Record, list[_Document]]:
    root = parse(data.decode(errors="replace"))
    if root.field("format").data != FORMAT:
        raise root.field("format").wrong(repr(FORMAT))
    pairs = [item.items(2) for item in root.field("objects").items()]
    objects = {hash.sha256(): nbytes.integer(0, TEXT_NBYTES) for hash, nbytes in pairs}
    url = root.field("url").text()
    documents = [_document(item, url) for item in root.field("documents").items()]
    names = tuple(each.name for each in documents)
    return Record(url, root.field("name").text(), 0.0, False, objects, names), documents


def _document(item: Value, url: str) -> _Document:
    name, nbytes, sha256 = item.items(3)
    kind, _, rest = name.text().partition(" ")
    if kind not in KINDS or (kind == "manifest" and rest != url):
        raise name.wrong("a document of this model")
    if kind in ("tokenizer", "structure") and rest != sha256.sha256():
        raise name.wrong("a document that is named by its hash")
    return _Document(name.text(), nbytes.integer(0, TEXT_NBYTES), sha256.sha256())


def _text(document: _Document, data: bytes) -> str:
    got = hashlib.sha256(data).hexdigest()
    if got != document.sha256:
        raise _broken(f"SHA-256 {got}", document.sha256, document.name)
    return data.decode(errors="replace")


async def _needed(store: ObjectStore, record: Record) -> dict[str, int]:
    """The objects to be exported: padding only if it is here."""
    hashes = list(record.objects)
    there = await store.has(hashes)
    found = {h: record.objects[h] for h, here in zip(hashes, there, strict=True) if here}
    if record.unknown or record.objects.keys() - found.keys() - record.fillers:
        raise _not_whole(record)
    return found


def _not_whole(record: Record) -> StoreError:
    return StoreError(f"'{record.name}' is not whole", got="an object that is missing",
                      need="all with tensors", fix="open it once with a network")  # fmt: skip


async def _need_room(store: ObjectStore, record: Record) -> None:
    hashes = list(record.objects)
    there = await store.has(hashes)
    need = sum(record.objects[h] for h, here in zip(hashes, there, strict=True) if not here)
    if not await make_room(store, need):
        raise QuotaError(f"the store has no room for '{record.name}'", need=f"{need} more bytes",
                         fix="evict or unpin other models, or free space on the disk")  # fmt: skip


def _member(name: str, data: bytes) -> bytes:
    """A file of a tar: header, bytes, padding."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return b"".join((info.tobuf(tarfile.USTAR_FORMAT), data, bytes(-len(data) % BLOCK)))


async def _next(read: Read, name: str, nbytes: int | None) -> bytes:
    """The bytes of the next file, which must be called so and have so many bytes."""
    block = await read(BLOCK)
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "replace")
    except tarfile.HeaderError as error:
        raise _broken(str(error) or type(error).__name__, "the header of a file", name) from None
    if info.name != name or nbytes not in (None, info.size) or info.size > TEXT_NBYTES:
        need = f"'{name}' of {TEXT_NBYTES if nbytes is None else nbytes} bytes"
        raise _broken(f"'{info.name}' of {info.size} bytes", need, name)
    padded = info.size + -info.size % BLOCK
    data = await read(padded)
    if len(data) < padded:
        raise _broken(f"{len(data)} bytes", str(padded), name)
    return data[: info.size]


def _broken(got: str, need: str, where: str) -> FormatError:
    return FormatError("the file of an exported model", got=got, need=need, where=where,
                       fix="export it again, and check that the whole file was copied")  # fmt: skip
