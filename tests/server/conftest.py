"""One server for all tests that leave it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgewise.server.app import create_app
from tests.serving import Server, engine_of, running, until_ready
from tests.tiny_chat import TinyChat


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="session")
def server(tiny: TinyChat, store: Path) -> Iterator[Server]:
    engine = engine_of(tiny, store)
    with running(create_app(engine), engine) as it:
        yield until_ready(it)
