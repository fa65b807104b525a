"""GGUF: metadata and tensor places from the beginning of a model file.

Think of a reader that walks the header once. Every count and length is held against the bytes
that are there before anything is allocated, so a hostile file costs at most a few times its own
header. Tensor data is never touched: what comes out says where it lies.

Source: ggml docs/gguf.md (versions 2 and 3, little-endian). Must not import NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from struct import Struct, unpack_from

from ..errors import FormatError, NeedMoreBytes, UnsupportedError
from .blocks import block_type
from .tensor import TensorInfo

MAX_HEADER_NBYTES = 64 << 20  # four times the largest tokenizer known (262,144 tokens: 16 MB)
MAX_NAME_NBYTES = 65535  # docs/gguf.md, keys
MAX_DIMENSIONS = 4  # GGML_MAX_DIMS
MAX_ARRAY_DEPTH = 4  # the format sets none; no known file nests
MAX_ELEMENTS = 2**63 - 1  # ggml counts in int64
DEFAULT_ALIGNMENT = 32
MIN_TENSOR_NBYTES = 8 + 4 + 4 + 8  # an info with an empty name and no dimension
MIN_PAIR_NBYTES = 8 + 4 + 1  # an empty key with a one-byte value

# docs/gguf.md gguf_metadata_value_type
_SCALARS = {
    0: Struct("<B"), 1: Struct("<b"), 2: Struct("<H"), 3: Struct("<h"), 4: Struct("<I"),
    5: Struct("<i"), 6: Struct("<f"), 10: Struct("<Q"), 11: Struct("<q"), 12: Struct("<d"),
}  # fmt: skip
_UINT32, _BOOL, _STRING, _ARRAY = 4, 7, 8, 9
_MIN_NBYTES = {
    **{code: item.size for code, item in _SCALARS.items()}, _BOOL: 1, _STRING: 8, _ARRAY: 12,
}  # fmt: skip
_U32, _U64 = _SCALARS[4], _SCALARS[10]


@dataclass(frozen=True, slots=True)
class GGUF:
    """A parsed header. Metadata values are int, float, bool, str or lists of them.

    `header_nbytes` ends the tensor infos; `data_offset` is where aligned tensor data begins.
    """

    version: int
    metadata: dict[str, object]
    tensors: dict[str, TensorInfo]
    data_offset: int
    header_nbytes: int


def parse(data: bytes | memoryview, *, file_nbytes: int | None = None) -> GGUF:
    """Read the header of a GGUF file.

    data         the file's beginning: all of the header, or more.
    file_nbytes  size of the whole file; len(data) unless given.

    Raises   NeedMoreBytes if the header goes past `data` but not past the file; FormatError with
             the byte in `where`; UnsupportedError for big-endian files, other versions, tensor
             types without a known size, and headers of more than 64 MiB.
    Cost     one pass; memory at most about ten times the header.
    """
    reader = _Reader(data, len(data) if file_nbytes is None else file_nbytes)
    version = _version(reader)
    n_tensors = reader.count("tensors", MIN_TENSOR_NBYTES)
    n_pairs = reader.count("metadata pairs", MIN_PAIR_NBYTES)
    metadata, alignment = _metadata(reader, n_pairs)
    starts: list[int] = []
    infos: dict[str, TensorInfo] = {}
    for _ in range(n_tensors):
        starts.append(reader.at)
        info = _tensor(reader, alignment)
        if info.name in infos:
            raise reader.wrong("tensor name", repr(info.name), "a new name", starts[-1])
        infos[info.name] = info
    data_offset = -(-reader.at // alignment) * alignment
    tensors = _place(infos, starts, data_offset, reader)
    return GGUF(version, metadata, tensors, data_offset, reader.at)


class _Reader:
    """A place in the header; every step is checked against the prefix and the file."""

    def __init__(self, data: bytes | memoryview, file_nbytes: int) -> None:
        self.data = memoryview(data).cast("B")
        self.file_nbytes = max(file_nbytes, len(data))
        self.at = 0

    def wrong(self, what: str, got: str, need: str, at: int) -> FormatError:
        return FormatError(f"not a valid GGUF file: {what}", got=got, need=need, where=f"byte {at}")

    def require(self, nbytes: int, what: str) -> None:
        """Raise unless `nbytes` more bytes are in the prefix."""
        end = self.at + nbytes
        if end <= len(self.data):
            return
        where = f"byte {self.at}"
        if end > self.file_nbytes:
            left = self.file_nbytes - self.at
            raise FormatError(
                f"GGUF file ends inside its header: {what}",
                got=f"{left} bytes left", need=f"{nbytes} bytes", where=where,
                fix="the file is cut short or damaged; fetch it again",
            )  # fmt: skip
        if end > MAX_HEADER_NBYTES:
            raise UnsupportedError(
                f"GGUF header too large: {what}", got=f"a header of at least {end} bytes",
                need=f"at most {MAX_HEADER_NBYTES} bytes", where=where,
            )  # fmt: skip
        raise NeedMoreBytes(
            f"GGUF header continues: {what}", got=f"the first {len(self.data)} bytes",
            need=f"at least {end} bytes", where=where, fix="pass a longer prefix of the file",
        )  # fmt: skip

    def integer(self, kind: Struct, what: str) -> int:
        self.require(kind.size, what)
        value: int = kind.unpack_from(self.data, self.at)[0]
        self.at += kind.size
        return value

    def count(self, what: str, min_nbytes: int) -> int:
        """A 64-bit count of things that take at least `min_nbytes` each."""
        at = self.at
        n = self.integer(_U64, f"number of {what}")
        room = self.file_nbytes - self.at
        if n * min_nbytes > room:
            need = f"at most {room // min_nbytes}: {room} bytes are left"
            raise self.wrong(f"number of {what}", str(n), need, at)
        return n

    def string(self, what: str, limit: int | None = None) -> str:
        at = self.at
        n = self.integer(_U64, f"length of {what}")
        if limit is not None and n > limit:
            raise self.wrong(f"length of {what}", f"{n} bytes", f"at most {limit}", at)
        self.require(n, what)
        start, self.at = self.at, self.at + n
        try:
            return str(self.data[start : self.at], "utf-8")
        except UnicodeDecodeError as error:
            raise self.not_utf8(what, start, error) from None

    def strings(self, n: int, what: str) -> list[str]:
        """`string` n times, with the loop laid bare: tokenizers hold 100,000 of them."""
        data, end, unpack = self.data, len(self.data), _U64.unpack_from
        found: list[str] = []
        append, at = found.append, self.at
        for _ in range(n):
            start = at + 8
            if start > end:
                break
            stop = start + unpack(data, at)[0]
            if stop > end:
                break
            try:
                append(str(data[start:stop], "utf-8"))
            except UnicodeDecodeError as error:
                raise self.not_utf8(what, start, error) from None
            at = stop
        self.at = at
        if len(found) < n:
            self.string(what)  # the first that does not fit: raises and says why
        return found

    def not_utf8(self, what: str, start: int, error: UnicodeDecodeError) -> FormatError:
        got = f"byte 0x{error.object[error.start]:02x}"
        return self.wrong(what, got, "UTF-8", start + error.start)


def _version(reader: _Reader) -> int:
    reader.require(8, "magic and version")
    magic = bytes(reader.data[:4])
    if magic != b"GGUF":
        raise reader.wrong("magic", repr(magic), "b'GGUF'", 0)
    reader.at = 4
    version = reader.integer(_U32, "version")
    if version in (2, 3):
        return version
    if version == 0:
        raise reader.wrong("version", "0", "2 or 3", 4)
    if version & 0xFFFF == 0:  # a small number stored from its other end
        raise UnsupportedError(
            "GGUF file is big-endian", got=f"version bytes {bytes(reader.data[4:8]).hex(' ')}",
            need="a little-endian file", where="byte 4",
            fix="convert it with gguf-py's gguf_convert_endian.py",
        )  # fmt: skip
    raise UnsupportedError("GGUF version", got=str(version), need="2 or 3", where="byte 4")


def _metadata(reader: _Reader, n: int) -> tuple[dict[str, object], int]:
    """All pairs, and the alignment that they set."""
    pairs: dict[str, object] = {}
    alignment = DEFAULT_ALIGNMENT
    for _ in range(n):
        at = reader.at
        key = reader.string("metadata key", MAX_NAME_NBYTES)
        if key in pairs:
            raise reader.wrong("metadata key", repr(key), "a new key", at)
        at = reader.at
        code = _value_code(reader, key)
        pairs[key] = value = _value(reader, code, key, 0)
        if key == "general.alignment":
            if code != _UINT32 or not isinstance(value, int) or value.bit_count() != 1:
                raise reader.wrong(key, repr(value), "a uint32 power of two", at)
            alignment = value
    return pairs, alignment


def _value_code(reader: _Reader, key: str) -> int:
    at = reader.at
    code = reader.integer(_U32, f"type of {key!r}")
    if code not in _MIN_NBYTES:
        raise reader.wrong(f"type of {key!r}", str(code), f"0 to {max(_MIN_NBYTES)}", at)
    return code


def _value(reader: _Reader, code: int, key: str, depth: int) -> object:
    if code == _STRING:
        return reader.string(repr(key))
    if code == _ARRAY:
        return _array(reader, key, depth)
    if code == _BOOL:
        return _bools(reader, 1, key)[0]
    return _numbers(reader, _SCALARS[code], 1, key)[0]


def _array(reader: _Reader, key: str, depth: int) -> list[object]:
    if depth == MAX_ARRAY_DEPTH:
        raise UnsupportedError(
            f"GGUF metadata {key!r} nests arrays too deeply", got=f"{depth + 1} levels or more",
            need=f"at most {MAX_ARRAY_DEPTH}", where=f"byte {reader.at}",
        )  # fmt: skip
    code = _value_code(reader, key)
    n = reader.count(f"elements of {key!r}", _MIN_NBYTES[code])
    many: dict[int, Callable[[], list[object]]] = {
        _STRING: lambda: list(reader.strings(n, repr(key))),
        _ARRAY: lambda: [_array(reader, key, depth + 1) for _ in range(n)],
        _BOOL: lambda: list(_bools(reader, n, key)),
    }
    read = many.get(code, lambda: list(_numbers(reader, _SCALARS[code], n, key)))
    return read()


def _numbers(reader: _Reader, kind: Struct, n: int, key: str) -> tuple[int | float, ...]:
    reader.require(n * kind.size, repr(key))
    values = unpack_from(f"<{n}{kind.format[-1]}", reader.data, reader.at)
    reader.at += n * kind.size
    return values


def _bools(reader: _Reader, n: int, key: str) -> list[bool]:
    reader.require(n, repr(key))
    raw = bytes(reader.data[reader.at : reader.at + n])
    beyond = raw.lstrip(b"\0\1")
    if beyond:
        at = reader.at + n - len(beyond)
        raise reader.wrong(repr(key), f"a bool of {beyond[0]}", "0 or 1", at)
    reader.at += n
    return [byte == 1 for byte in raw]


def _tensor(reader: _Reader, alignment: int) -> TensorInfo:
    """One info; its `offset` still counts from the data's start."""
    name = reader.string("tensor name", MAX_NAME_NBYTES)
    at = reader.at
    n_dims = reader.integer(_U32, f"dimensions of {name!r}")
    if n_dims > MAX_DIMENSIONS:
        raise reader.wrong(f"dimensions of {name!r}", str(n_dims), f"at most {MAX_DIMENSIONS}", at)
    at = reader.at
    # Stored innermost first.
    shape = tuple(reader.integer(_U64, f"shape of {name!r}") for _ in range(n_dims))[::-1]
    n_elements = prod(shape)
    if not 0 < n_elements <= MAX_ELEMENTS:
        need = "1 to 2^63 - 1 elements"
        raise reader.wrong(f"shape of {name!r}", f"{list(shape)} (outermost first)", need, at)
    at = reader.at
    block = block_type(reader.integer(_U32, f"type of {name!r}"), f"tensor {name!r}", at)
    if (shape[-1] if shape else 1) % block.elements:
        need = f"a last dimension that is a multiple of {block.elements} ({block.name})"
        raise reader.wrong(f"shape of {name!r}", f"{list(shape)} (outermost first)", need, at)
    at = reader.at
    offset = reader.integer(_U64, f"offset of {name!r}")
    if offset % alignment:
        raise reader.wrong(f"offset of {name!r}", str(offset), f"a multiple of {alignment}", at)
    return TensorInfo(name, block.name, shape, offset, n_elements // block.elements * block.nbytes)


def _place(
    infos: dict[str, TensorInfo], starts: list[int], data_offset: int, reader: _Reader
) -> dict[str, TensorInfo]:
    """The infos with offsets from the file's start: inside the file, none over another."""
    placed = {
        name: TensorInfo(name, info.type, info.shape, data_offset + info.offset, info.nbytes)
        for name, info in infos.items()
    }
    info_at = dict(zip(infos, starts, strict=True))
    end, before = data_offset, ""
    for info in sorted(placed.values(), key=lambda info: info.offset):
        got = f"bytes {info.offset} to {info.offset + info.nbytes}"
        at = info_at[info.name]
        if info.offset < end:
            need = f"a start at or after {end}, where {before!r} ends"
            raise reader.wrong(f"place of {info.name!r}", got, need, at)
        end, before = info.offset + info.nbytes, info.name
        if end > reader.file_nbytes:
            need = f"an end within the file's {reader.file_nbytes} bytes"
            raise reader.wrong(f"place of {info.name!r}", got, need, at)
    return placed
