"""GGUF headers written byte by byte, right or wrong, from docs/gguf.md alone."""

from __future__ import annotations

import struct

U8, U32, BOOL, STRING, ARRAY = 0, 4, 7, 8, 9
F32, Q4_0 = 0, 2


def u32(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def u64(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}Q", *values)


def string(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return u64(len(raw)) + raw


def pair(key: str | bytes, code: int, value: bytes) -> bytes:
    return string(key) + u32(code) + value


def tensor(name: str, dims: list[int], type: int = F32, offset: int = 0) -> bytes:
    """`dims` innermost first, as stored."""
    return string(name) + u32(len(dims)) + u64(*dims) + u32(type) + u64(offset)


def file(
    pairs: list[bytes] = [],  # noqa: B006 - never changed
    tensors: list[bytes] = [],  # noqa: B006
    *,
    n_pairs: int | None = None,
    n_tensors: int | None = None,
    version: int = 3,
    data: int = 0,
) -> bytes:
    """A whole file; counts lie if given. `data` bytes follow the header, aligned to 32."""
    header = b"GGUF" + u32(version)
    header += u64(len(tensors) if n_tensors is None else n_tensors)
    header += u64(len(pairs) if n_pairs is None else n_pairs)
    header += b"".join(pairs) + b"".join(tensors)
    return header + bytes(-len(header) % 32 + data if data else 0)
