"""A model as it lies on disk, described and not yet hashed: what every kind of pack begins with."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from ..errors import NeedMoreBytes
from .manifest import Manifest, TextRef

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Described:
    """A model and where it lies.

    manifest    without hashes; the files' urls are the names that they get beside the manifest.
    file        where its first weight file lies now; `more_files`: the others.
    tokenizer   the text of its tokenizer.json, if it has one.
    structure   the text of its graph, if the architecture does not say it.
    """

    manifest: Manifest
    file: Path
    tokenizer: str | None
    more_files: tuple[Path, ...] = ()
    structure: str | None = None


def text_ref(text: str, url: str | None) -> TextRef:
    """What a manifest says of a document."""
    data = text.encode()
    return TextRef(hashlib.sha256(data).hexdigest(), len(data), url)


def safe(name: str) -> str:
    """A file name that means the same in a URL."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", name).lstrip(".-")


def read_header(file: BinaryIO, parse: Callable[[bytes, int], T], nbytes: int) -> T:
    """What `parse(beginning, file's size)` makes of a file's first `nbytes`, or of twice as many
    as long as it raises NeedMoreBytes."""
    file_nbytes = os.fstat(file.fileno()).st_size
    while True:
        file.seek(0)
        try:
            return parse(file.read(nbytes), file_nbytes)
        except NeedMoreBytes:
            nbytes *= 2
