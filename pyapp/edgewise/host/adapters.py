"""The WebGPU adapters of this machine as facts, in WebGPU's own names, over `wgpu`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from edgewise.host.base import DeviceFacts

#: wgpu's names that differ from the specification's.
FEATURES = {"subgroup": "subgroups"}


def list_adapters() -> list[DeviceFacts]:
    """Every adapter that wgpu finds, software ones and OpenGL included; none is opened."""
    import wgpu

    return [facts_of(adapter) for adapter in wgpu.gpu.enumerate_adapters_sync()]


def facts_of(adapter: Any) -> DeviceFacts:
    """The facts of a `wgpu.GPUAdapter`."""
    info: Mapping[str, object] = adapter.info
    return DeviceFacts(
        target="webgpu",
        name=f"{info.get('device') or info.get('description')} ({info.get('backend_type')})",
        features=frozenset(FEATURES.get(name, name) for name in adapter.features),
        limits={_camel(name): int(value) for name, value in adapter.limits.items()},
        subgroup_min=_subgroup(info, "min"),
        subgroup_max=_subgroup(info, "max"),
        fallback=info.get("adapter_type") == "CPU",
    )


def _subgroup(info: Mapping[str, object], end: str) -> int:
    # wgpu 0.32 calls it "stackgroup_min_size"
    value = info.get(f"subgroup_{end}_size", info.get(f"stackgroup_{end}_size"))
    return value if isinstance(value, int) else 0


def _camel(name: str) -> str:
    """ "max-buffer-size" -> "maxBufferSize"; a name in camel case stays."""
    return re.sub("-(.)", lambda match: match[1].upper(), name)
