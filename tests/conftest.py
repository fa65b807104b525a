"""What tests of several layers share: the wgpu device, the model file and a tiny model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.tiny_chat import TinyChat

ROOT = Path(__file__).parent.parent
MODELS = ROOT / ".cache" / "models"
MODEL = MODELS / "SmolLM2-135M-Instruct.Q4_1.gguf"


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


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    """all-MiniLM-L6-v2 as a Hugging Face folder, put in place by the set-up."""
    folder = MODELS / "all-MiniLM-L6-v2"
    if not folder.exists():
        pytest.fail(f"{folder.relative_to(ROOT)} is missing; the set-up command fetches it")
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyChat:
    """A packed model of random weights; tests leave its folder as it is."""
    from tests.tiny_chat import make

    return make(tmp_path_factory.mktemp("tiny"))
