"""The WebGPU adapters that `wgpu` finds on this machine."""

from __future__ import annotations

from ..targets.device import DeviceFacts
from .native import adapter_facts


def list_adapters() -> list[tuple[str, DeviceFacts]]:
    """Backend ("Vulkan", "Metal", …) and facts of each, software ones included; none is opened."""
    import wgpu

    found = wgpu.gpu.enumerate_adapters_sync()
    return [(str(adapter.info["backend_type"]), adapter_facts(adapter)) for adapter in found]
