"""Where the weights of an ONNX file lie: a walk over its protobuf, before protobuf reads it.

The walk follows the messages that can hold tensors and leaves out the bytes of every large one:
what remains, the skeleton, is a small model that the `onnx` package parses whatever the size of
the file. A tensor's place travels in its `doc_string`, which the walk takes from every tensor,
so that no file can forge one. Counts and depth are held against limits as it goes.

Source: protobuf.dev/programming-guides/encoding, field numbers of onnx.proto. Must not import
`onnx` or NumPy.
"""

from __future__ import annotations

from ..errors import FormatError, UnsupportedError

INLINE_NBYTES = 4096  # smaller data stays in the skeleton: shapes, axes, scalars, short tables
MAX_FIELDS = 2_000_000  # a model of 10,000 nodes has about 200,000
MAX_DEPTH = 48  # six levels of If or Loop in each other; protobuf itself stops at 100
MAX_SKELETON_NBYTES = 256 << 20

# Which fields of a message are messages that may hold a tensor.
_MESSAGES: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph"},
    "tensor": {},
}
_DOC_STRING = 12  # of TensorProto
_FLAT = {9: "raw_data", 4: "float_data", 10: "double_data"}  # the last two packed: the same bytes
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def skeleton(data: bytes | memoryview) -> bytes:
    """The model without the bytes of its large tensors; `place` reads where those lie.

    Raises   FormatError with the byte in `where`; UnsupportedError for what is past a limit.
    Cost     one pass over the messages, none over the weights; memory for the skeleton.
    """
    walk = _Walk(memoryview(data).cast("B"))
    nbytes = walk.message("model", 0, len(walk.data), 0)
    if nbytes > MAX_SKELETON_NBYTES:
        raise UnsupportedError(
            "ONNX structure too large", got=f"{nbytes} bytes without large raw data",
            need=f"at most {MAX_SKELETON_NBYTES}",
            fix="save the model again with its weights as raw_data or external data",
        )  # fmt: skip
    return b"".join(walk.pieces)


def place(doc_string: str) -> tuple[str, int, int] | None:
    """(field, offset, nbytes) of a tensor's data in the file; None where it is inline or absent."""
    if not doc_string:
        return None
    field, offset, nbytes = doc_string.split("+")
    return field, int(offset), int(nbytes)


class _Walk:
    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.pieces: list[bytes | memoryview] = []
        self.fields = 0

    def message(self, kind: str, at: int, end: int, depth: int) -> int:
        """Append what is kept of a message; return its length."""
        if depth > MAX_DEPTH:
            raise UnsupportedError("ONNX messages nested too deep", got=f"more than {depth - 1}",
                                   need=f"at most {MAX_DEPTH}", where=f"byte {at}")  # fmt: skip
        inner = _MESSAGES[kind]
        length, kept = 0, at  # data[kept:at] is yet to be appended
        large: tuple[str, int, int] | None = None
        while at < end:
            start = at
            number, wire, begin, at = self.field(start, end)
            if number in inner:
                self.need_bytes(kind, number, wire, start)
                length += self.keep(kept, start)
                length += self.nested(inner[number], number, begin, at, depth)
            elif kind == "tensor" and number == _DOC_STRING:
                length += self.keep(kept, start)
            elif kind == "tensor" and number in _FLAT and at - begin > INLINE_NBYTES:
                self.need_bytes(kind, number, wire, start)
                if large is not None:
                    raise _wrong("data of a tensor", "a second one", "one", start)
                large = (_FLAT[number], begin, at - begin)
                length += self.keep(kept, start)
            else:
                continue
            kept = at
        length += self.keep(kept, end)
        if large is not None:
            text = "{}+{}+{}".format(*large).encode()
            length += self.add(bytes((_DOC_STRING << 3 | _BYTES, len(text))) + text)
        return length

    def need_bytes(self, kind: str, number: int, wire: int, at: int) -> None:
        if wire != _BYTES:
            raise _wrong(f"field {number} of {kind}", f"wire type {wire}", "a length", at)

    def nested(self, kind: str, number: int, begin: int, end: int, depth: int) -> int:
        slot = len(self.pieces)
        self.pieces.append(b"")
        length = self.message(kind, begin, end, depth + 1)
        head = _varint(number << 3 | _BYTES) + _varint(length)
        self.pieces[slot] = head
        return len(head) + length

    def keep(self, start: int, end: int) -> int:
        return self.add(self.data[start:end]) if end > start else 0

    def add(self, piece: bytes | memoryview) -> int:
        self.pieces.append(piece)
        return len(piece)

    def field(self, at: int, end: int) -> tuple[int, int, int, int]:
        """Number, wire type, and [begin, end) of the content of the field at `at`."""
        self.fields += 1
        if self.fields > MAX_FIELDS:
            raise UnsupportedError("ONNX model has too many parts", got=f"more than {MAX_FIELDS}",
                                   need=f"at most {MAX_FIELDS}", where=f"byte {at}")  # fmt: skip
        tag, begin = self.varint(at, end)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise _wrong("field number", "0", "at least 1", at)
        if wire == _VARINT:
            stop = self.varint(begin, end)[1]
        elif wire == _BYTES:
            nbytes, begin = self.varint(begin, end)
            stop = begin + nbytes
        elif wire in (_FIXED64, _FIXED32):
            stop = begin + (8 if wire == _FIXED64 else 4)
        else:
            raise _wrong(f"wire type of field {number}", str(wire), "0, 1, 2 or 5", at)
        if stop > end:
            raise _wrong(f"length of field {number}", f"{stop - begin} bytes",
                         f"at most {end - begin}: the message ends", at)  # fmt: skip
        return number, wire, begin, stop

    def varint(self, at: int, end: int) -> tuple[int, int]:
        if at < end and self.data[at] < 128:  # most are one byte
            return self.data[at], at + 1
        value = shift = 0
        for here in range(at, min(end, at + 10)):
            byte = self.data[here]
            value |= (byte & 127) << shift
            if byte < 128:
                return value, here + 1
            shift += 7
        raise _wrong("varint", "no end", "an end within 10 bytes and its message", at)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _wrong(what: str, got: str, need: str, at: int) -> FormatError:
    return FormatError(f"not a valid ONNX file: {what}", got=got, need=need, where=f"byte {at}",
                       fix="the file is cut short or damaged; fetch it again")  # fmt: skip
