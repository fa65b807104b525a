"""What tests of several layers share: the wgpu device, the model file, hypothesis settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

ROOT = Path(__file__).parent.parent
MODEL = ROOT / ".cache" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"

# The same examples in every run; a failure prints the blob that makes it again.
settings.register_profile("edgewise", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("edgewise")


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
