"""What several modules of these tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.targets.wasm import Devices, close, open_devices


@pytest.fixture(scope="module")
def devices() -> Iterator[Devices]:
    """Every kind of Wasm device."""
    made = open_devices()
    yield made
    close(made)
