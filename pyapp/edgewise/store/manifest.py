"""A manifest: which objects make up a model, what it is and what it demands.

Plain data, read by page and server before any weight is there, so everything in it is checked
on the way in. The JSON form is `edgewise-manifest/1`; members that are not known are ignored.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import accumulate
from urllib.parse import urljoin

from ..errors import FormatError
from ..formats.tokenizer import Chat
from .base import Segment
from .cut import SEGMENT_NBYTES
from .document import Value, parse

FORMAT = "edgewise-manifest/1"
MIRRORS = 16  # more are a mistake
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
TEXT_NBYTES = 64 * 1024 * 1024  # the largest tokenizers known (262,144 tokens) have 33 MB


@dataclass(frozen=True, slots=True)
class FileRef:
    """A file of the model. url is relative to the manifest; sha256 None: opened without a pack.

    mirrors  other addresses of the same bytes, asked in this order where the first fails.
    """

    url: str
    format: str
    sha256: str | None
    nbytes: int
    mirrors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TensorRef:
    """A tensor in the file: ggml type, shape outermost first, absolute offset, bytes."""

    type: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class TextRef:
    """A document kept as one object; url is relative to the manifest, None: held in the file."""

    sha256: str
    nbytes: int
    url: str | None


@dataclass(frozen=True, slots=True)
class Demands:
    """What running the model takes, known before any byte of it is here.

    weight_nbytes        all tensors.
    kv_nbytes_per_token  keys and values of all layers in float32.
    flops_per_token      two per matmul weight; attention over the past comes on top.
    nbytes_per_token     weights read to decode one token.
    context              the most tokens.
    """

    weight_nbytes: int
    kv_nbytes_per_token: int
    flops_per_token: int
    nbytes_per_token: int
    context: int


@dataclass(frozen=True, slots=True)
class Quantised:
    """That a pack rounded the weights, and what it cost.

    type       "int8": codes with a scale for each row.
    matrices   how many were rounded.
    error_ppm  root mean square of the worst one's error, in millionths of that of its values.
    """

    type: str
    matrices: int
    error_ppm: int


@dataclass(frozen=True, slots=True)
class Span:
    """Where bytes lie: [begin, end) inside the concatenation of consecutive segments.

    first  index of the first of them in `Manifest.segments`.
    """

    first: int
    segments: tuple[Segment, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """See the module. `config` is the architecture's own, checked by its importer.

    more_files  further weight files: they follow `file`, as if all were one, in the segments and
                in every offset.
    structure   the model's graph as a document, where the architecture does not say it (ONNX).
    quantised   what was done to the weights when this was packed.
    """

    name: str
    task: str
    architecture: str
    license: str | None
    file: FileRef
    segments: tuple[Segment, ...]
    tensors: Mapping[str, TensorRef]
    config: Mapping[str, object]
    tokenizer: TextRef | None
    chat: Chat | None
    demands: Demands
    more_files: tuple[FileRef, ...] = ()
    structure: TextRef | None = None
    quantised: Quantised | None = None
    offsets: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        starts = accumulate((s.nbytes for s in self.segments[:-1]), initial=0)
        object.__setattr__(self, "offsets", tuple(starts))

    @property
    def files(self) -> tuple[FileRef, ...]:
        """All weight files, in the order in which they are one."""
        return (self.file, *self.more_files)

    @property
    def starts(self) -> tuple[int, ...]:
        """Where each of `files` begins in their concatenation."""
        return tuple(accumulate((each.nbytes for each in self.files[:-1]), initial=0))

    def segments_of(self, tensor: str) -> Span:
        """The segments that hold a tensor and the byte range inside. Raises FormatError."""
        ref = self.tensors.get(tensor)
        if ref is None:
            raise FormatError(
                "the model has no such tensor",
                got=f"{len(self.tensors)} others",
                need=repr(tensor),
                where=f"manifest {self.name}",
            )
        first = bisect_right(self.offsets, ref.offset) - 1
        last = max(bisect_left(self.offsets, ref.offset + ref.nbytes), first + 1)
        begin = ref.offset - self.offsets[first]
        return Span(first, self.segments[first:last], begin, begin + ref.nbytes)

    def with_hashes(self, hashes: Sequence[str | None]) -> Manifest:
        """The same with these hashes, one a segment."""
        pairs = zip(hashes, self.segments, strict=True)
        return replace(self, segments=tuple(replace(s, hash=h) for h, s in pairs))

    def at(self, base: str) -> Manifest:
        """The same with the addresses of files and documents joined to the manifest's own."""
        first, *more = (
            replace(file, url=urljoin(base, file.url),
                    mirrors=tuple(urljoin(base, mirror) for mirror in file.mirrors))
            for file in self.files
        )  # fmt: skip
        tokenizer, structure = (
            ref if ref is None or ref.url is None else replace(ref, url=urljoin(base, ref.url))
            for ref in (self.tokenizer, self.structure)
        )
        return replace(
            self, file=first, more_files=tuple(more), tokenizer=tokenizer, structure=structure
        )

    def to_json(self) -> str:
        chat, tokenizer = self.chat, self.tokenizer
        data: dict[str, object] = {
            "format": FORMAT,
            "name": self.name,
            "task": self.task,
            "architecture": self.architecture,
            "license": self.license,
            "file": _plain_file(self.file),
            "segments": [[segment.hash, segment.nbytes] for segment in self.segments],
            "tensors": {name: _plain(tensor) for name, tensor in self.tensors.items()},
            "config": dict(self.config),
            "tokenizer": _plain(tokenizer) if tokenizer else None,
            "chat": _plain(chat) if chat else None,
            "demands": _plain(self.demands),
        }
        if self.more_files:
            data["more_files"] = [_plain_file(each) for each in self.more_files]
        if self.structure is not None:
            data["structure"] = _plain(self.structure)
        if self.quantised is not None:
            data["quantised"] = _plain(self.quantised)
        return json.dumps(data, ensure_ascii=False, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> Manifest:
        """Reads and checks one. Raises FormatError, `where` being the path in the document."""
        root = parse(text)
        if root.field("format").data != FORMAT:
            raise root.field("format").wrong(repr(FORMAT))
        file = _file(root.field("file"))
        more = root.field("more_files")
        files = (file, *(() if more.data is None else map(_file, more.items())))
        nbytes = sum(each.nbytes for each in files)
        segments = _segments(root.field("segments"), nbytes)
        _need_borders(root.field("segments"), files, segments)
        tensors = root.field("tensors").members()
        return Manifest(
            name=root.field("name").text(),
            task=root.field("task").text(),
            architecture=root.field("architecture").text(),
            license=root.field("license").text_or_none(),
            file=file,
            segments=segments,
            tensors={name: _tensor(value, nbytes) for name, value in tensors},
            config=root.field("config").mapping(),
            tokenizer=_text(root.field("tokenizer")),
            chat=_chat(root.field("chat")),
            demands=_demands(root.field("demands")),
            more_files=files[1:],
            structure=_text(root.field("structure")),
            quantised=_quantised(root.field("quantised")),
        )


def _plain(data: FileRef | TensorRef | TextRef | Chat | Demands | Quantised) -> dict[str, object]:
    return {item.name: getattr(data, item.name) for item in fields(data)}


def _plain_file(file: FileRef) -> dict[str, object]:
    return {key: item for key, item in _plain(file).items() if item != ()}


def _file(value: Value) -> FileRef:
    return FileRef(
        url=value.field("url").text(),
        format=value.field("format").text(),
        sha256=value.field("sha256").sha256_or_none(),
        nbytes=value.field("nbytes").integer(1),
        mirrors=_mirrors(value.field("mirrors")),
    )


def _mirrors(value: Value) -> tuple[str, ...]:
    found = () if value.data is None else tuple(item.text() for item in value.items(most=MIRRORS))
    for at, url in enumerate(found):
        if _SCHEME.match(url) and not url.startswith(("https:", "http:")):
            raise Value(url, f"{value.path}[{at}]").wrong("an address, or one beside the manifest")
    return found


def _segments(value: Value, file_nbytes: int) -> tuple[Segment, ...]:
    pairs = [item.items(2) for item in value.items()]
    found = tuple(
        Segment(hash.sha256_or_none(), nbytes.integer(1, SEGMENT_NBYTES)) for hash, nbytes in pairs
    )
    total = sum(segment.nbytes for segment in found)
    if total != file_nbytes:
        whole = Value(f"{len(found)} segments of {total} bytes", value.path)
        raise whole.wrong(f"segments that cover the files' {file_nbytes} bytes")
    return found


def _need_borders(value: Value, files: Sequence[FileRef], segments: Sequence[Segment]) -> None:
    """A request is for one file, so no segment is in two."""
    ends = set(accumulate(segment.nbytes for segment in segments))
    if not ends.issuperset(accumulate(file.nbytes for file in files)):
        raise Value("a segment in two files", value.path).wrong("segments that end with each file")


def _tensor(value: Value, file_nbytes: int) -> TensorRef:
    offset = value.field("offset").integer(0, file_nbytes)
    return TensorRef(
        type=value.field("type").text(),
        shape=tuple(item.integer() for item in value.field("shape").items()),
        offset=offset,
        nbytes=value.field("nbytes").integer(0, file_nbytes - offset),
    )


def _text(value: Value) -> TextRef | None:
    if value.data is None:
        return None
    return TextRef(
        sha256=value.field("sha256").sha256(),
        nbytes=value.field("nbytes").integer(1, TEXT_NBYTES),
        url=value.field("url").text_or_none(),
    )


def _chat(value: Value) -> Chat | None:
    if value.data is None:
        return None
    return Chat(
        template=value.field("template").text_or_none(),
        bos=value.field("bos").text_or_none(),
        eos=value.field("eos").text_or_none(),
        stop_ids=tuple(item.integer() for item in value.field("stop_ids").items()),
    )


def _quantised(value: Value) -> Quantised | None:
    if value.data is None:
        return None
    return Quantised(value.field("type").text(), value.field("matrices").integer(),
                     value.field("error_ppm").integer())  # fmt: skip


def _demands(value: Value) -> Demands:
    return Demands(**{item.name: value.field(item.name).integer() for item in fields(Demands)})
