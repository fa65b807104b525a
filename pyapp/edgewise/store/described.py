"""A model as it lies on disk, described and not yet hashed: what every kind of pack begins with."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from .manifest import Manifest, TextRef


@dataclass(frozen=True, slots=True)
class Described:
    """A model of one weight file.

    manifest   without hashes; `file.url` is the name that the file gets beside the manifest.
    file       where it lies now.
    tokenizer  the text of its tokenizer.json, if it has one.
    """

    manifest: Manifest
    file: Path
    tokenizer: str | None


def text_ref(text: str, url: str | None) -> TextRef:
    """What a manifest says of a document."""
    data = text.encode()
    return TextRef(hashlib.sha256(data).hexdigest(), len(data), url)


def safe(name: str) -> str:
    """A file name that means the same in a URL."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", name).lstrip(".-")
