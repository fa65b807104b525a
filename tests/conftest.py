"""What tests of several layers share: the wgpu device and the model file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
MODEL = ROOT / ".cache" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture(scope="session")
def wgpu_device() -> Any:
    """A native WebGPU device; lavapipe counts."""
    import wgpu

    adapter = wgpu.gpu.request_adapter_sync(power_preference="high-performance")
    return adapter.request_device_sync()


@pytest.fixture(scope="session")
def model_path() -> Path:
    """SmolLM2-135M-Instruct as Q4_1 GGUF, put in place by the set-up."""
    if not MODEL.exists():
        pytest.fail(f"{MODEL.relative_to(ROOT)} is missing; the set-up command fetches it")
    return MODEL
