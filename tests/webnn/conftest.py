from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgewise.host.cpython import CPythonHost
from edgewise.webnn import ML, MLContext

Make = Callable[..., MLContext]


@pytest.fixture
def ml(tmp_path: Path) -> ML:
    return ML(CPythonHost(tmp_path))


@pytest.fixture
def context(ml: ML) -> MLContext:
    return ml.create_context(target="reference")
