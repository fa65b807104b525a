"""safetensors: names, types and places of tensors from the beginning of a model file.

The file is a length, a JSON object and the tensors' bytes. As in `gguf`, the header alone is
read, every number is held against the file before it is used, and nothing of the data is touched.

Source: https://github.com/huggingface/safetensors, README "Format". Must not import NumPy.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from ..errors import FormatError, NeedMoreBytes, UnsupportedError
from .tensor import TensorInfo

LENGTH_NBYTES = 8  # an unsigned 64-bit number before the JSON
#: A file with 100,000 tensors has 12 MB; the format's own limit, 100 MB, would cost 2 GB parsed.
MAX_HEADER_NBYTES = 16 << 20
MAX_ELEMENTS = 2**63 - 1
METADATA = "__metadata__"

#: Bits of an element, by safetensors' names (safetensors/src/tensor.rs `Dtype`).
BITS = {
    "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8,
    "F8_E8M0": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SafeTensors:
    """A parsed header. `header_nbytes` is where tensor data begins."""

    metadata: dict[str, str]
    tensors: dict[str, TensorInfo]
    header_nbytes: int


def parse(data: bytes | memoryview, *, file_nbytes: int | None = None) -> SafeTensors:
    """Read the header of a safetensors file.

    data         the file's beginning: all of the header, or more.
    file_nbytes  size of the whole file; len(data) unless given.

    Raises   NeedMoreBytes if the header goes past `data` but not past the file; FormatError with
             the byte in `where`, also for tensors that overlap, leave holes or pass the end;
             UnsupportedError for types of unknown size and headers of more than 16 MiB.
    Cost     one pass; memory at most about twenty times the header.
    """
    whole = max(len(data) if file_nbytes is None else file_nbytes, len(data))
    header = _Header(_json(bytes(data[: LENGTH_NBYTES + MAX_HEADER_NBYTES]), whole), whole)
    entries = header.entries()
    metadata = header.metadata(entries.pop(METADATA, {}))
    tensors = [header.tensor(name, entry) for name, entry in entries.items()]
    header.check_places(tensors)
    return SafeTensors(metadata, {each.name: each for each in tensors}, header.end)


def _json(data: bytes, file_nbytes: int) -> bytes:
    """The bytes of the JSON object."""
    _require(LENGTH_NBYTES, len(data), file_nbytes, 0)
    nbytes = int.from_bytes(data[:LENGTH_NBYTES], "little")
    if LENGTH_NBYTES + nbytes > file_nbytes:
        left = file_nbytes - LENGTH_NBYTES
        raise _wrong("length of the header", str(nbytes), f"at most the {left} bytes left", 0)
    if nbytes > MAX_HEADER_NBYTES:
        raise UnsupportedError("safetensors header too large", got=f"{nbytes} bytes",
                               need=f"at most {MAX_HEADER_NBYTES}", where="byte 0")  # fmt: skip
    _require(LENGTH_NBYTES + nbytes, len(data), file_nbytes, LENGTH_NBYTES)
    return data[LENGTH_NBYTES : LENGTH_NBYTES + nbytes]


def _require(nbytes: int, have: int, file_nbytes: int, at: int) -> None:
    if nbytes <= have:
        return
    if nbytes > file_nbytes:
        raise FormatError(
            "safetensors file ends inside its header", got=f"{file_nbytes} bytes",
            need=f"at least {nbytes}", where=f"byte {at}",
            fix="the file is cut short or damaged; fetch it again",
        )  # fmt: skip
    raise NeedMoreBytes(
        "safetensors header continues", got=f"the first {have} bytes",
        need=f"at least {nbytes} bytes", where=f"byte {at}", fix="pass a longer prefix of the file",
    )  # fmt: skip


def _wrong(what: str, got: str, need: str, at: int) -> FormatError:
    return FormatError(
        f"not a valid safetensors file: {what}", got=f"{got:.80}", need=need, where=f"byte {at}"
    )


class _Header:
    """The JSON text, and what is checked against it and the file's size."""

    def __init__(self, raw: bytes, file_nbytes: int) -> None:
        self.raw = raw
        self.end = LENGTH_NBYTES + len(raw)
        self.data_nbytes = file_nbytes - self.end

    def at(self, name: str) -> int:
        """The byte where a name stands first; that of the object if it is written otherwise."""
        plain = json.dumps(name, ensure_ascii=False).encode(errors="replace")
        return LENGTH_NBYTES + max(self.raw.find(plain), 0)

    def wrong(self, name: str, what: str, got: object, need: str) -> FormatError:
        return _wrong(f"{what} of {name!r}" if what else repr(name), repr(got), need, self.at(name))

    def entries(self) -> dict[str, object]:
        """The members of the object."""
        if self.raw[:1] != b"{":
            raise _wrong("header", repr(self.raw[:1]), "a JSON object that begins with '{'", 8)
        try:
            text = self.raw.decode("utf-8")
            found = json.loads(text, object_pairs_hook=self._members, parse_constant=self._number)
        except UnicodeDecodeError as error:
            at = LENGTH_NBYTES + error.start
            raise _wrong("header", f"byte 0x{self.raw[error.start]:02x}", "UTF-8", at) from None
        except json.JSONDecodeError as error:
            at = LENGTH_NBYTES + len(text[: error.pos].encode())
            raise _wrong("header", error.msg, "JSON", at) from None
        except (ValueError, RecursionError) as error:  # numbers of 4300 digits, deep nesting
            raise _wrong("header", str(error), "JSON of the format's form", 8) from None
        assert isinstance(found, dict), "a text that begins with { is an object"
        return found

    def metadata(self, value: object) -> dict[str, str]:
        good = isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
        if not good:
            raise self.wrong(METADATA, "", value, "an object of texts")
        return value  # type: ignore[return-value]

    def tensor(self, name: str, entry: object) -> TensorInfo:
        if any(0xD800 <= ord(letter) < 0xE000 for letter in name):
            raise self.wrong(name, "name", name, "letters, not halves of surrogate pairs")
        if not isinstance(entry, dict) or not entry.keys() >= {"dtype", "shape", "data_offsets"}:
            raise self.wrong(name, "", entry, "an object of dtype, shape and data_offsets")
        dtype, shape, span = (entry[key] for key in ("dtype", "shape", "data_offsets"))
        if not isinstance(dtype, str):
            raise self.wrong(name, "dtype", dtype, "a name")
        if dtype not in BITS:
            raise UnsupportedError(
                f"safetensors dtype of {name!r}", got=f"{dtype!r:.40}",
                need="one of " + ", ".join(BITS), where=f"byte {self.at(name)}",
            )  # fmt: skip
        if not _sizes(shape):
            raise self.wrong(name, "shape", shape, "a list of sizes")
        if not _sizes(span) or len(span) != 2 or not span[0] <= span[1] <= self.data_nbytes:
            need = f"[begin, end] within the {self.data_nbytes} bytes of data"
            raise self.wrong(name, "data_offsets", span, need)
        bits = _count(shape) * BITS[dtype]
        begin, end = span
        if bits != 8 * (end - begin):
            need = f"{bits / 8:g} bytes for {dtype} {shape!s:.60}"
            raise self.wrong(name, "data_offsets", span, need)
        return TensorInfo(name, dtype, tuple(shape), self.end + begin, end - begin)

    def check_places(self, tensors: Sequence[TensorInfo]) -> None:
        """Raise unless the tensors cover the data, one after the other."""
        end = self.end
        for info in sorted(tensors, key=lambda info: (info.offset, info.nbytes)):
            if info.offset != end:
                need = f"a start at {end - self.end}, where the one before ends"
                raise self.wrong(info.name, "data_offsets", info.offset - self.end, need)
            end += info.nbytes
        if end != self.end + self.data_nbytes:
            need = f"{end - self.end}: what the tensors cover"
            raise _wrong("data", f"{self.data_nbytes} bytes", need, end)

    def _members(self, pairs: list[tuple[str, object]]) -> Mapping[str, object]:
        members = dict(pairs)
        if len(members) < len(pairs):
            counts = Counter(name for name, _ in pairs)
            raise self.wrong(counts.most_common(1)[0][0], "", "a second time", "a new name")
        return members

    def _number(self, text: str) -> NoReturn:
        raise _wrong("header", text, "JSON, which has no such number", LENGTH_NBYTES)


def _sizes(value: object) -> bool:
    """Whether this is a list of integers from 0 on. `type` and not isinstance: true is no size."""
    return isinstance(value, list) and all(
        type(each) is int and 0 <= each <= MAX_ELEMENTS for each in value
    )


def _count(shape: Sequence[int]) -> int:
    """The number of elements, or one beyond MAX_ELEMENTS; in no case a huge product."""
    if 0 in shape:
        return 0
    total = 1
    for size in shape:
        total *= size
        if total > MAX_ELEMENTS:
            break
    return total
