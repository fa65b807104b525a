"""The Wasm modules: each is small, and has what the others have."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from edgewise.host.wasm_threads import kernel_names, load_module

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("simd", "relaxed", "threads")
MOST_NBYTES = 150_000  # compressed: what a page fetches


@pytest.mark.parametrize("name", NAMES)
def test_size(name: str) -> None:
    """By gzip, the least that a host does."""
    code = (ROOT / "shims" / "wasm" / f"{name}.wasm").read_bytes()
    packed = len(gzip.compress(code, 9))
    print(f"{name}: {len(code):,} bytes, {packed:,} compressed")
    assert packed <= MOST_NBYTES


def test_all_have_the_same_kernels() -> None:
    simd, relaxed, threads = (kernel_names(load_module(name)) for name in NAMES)
    assert simd == relaxed == threads
