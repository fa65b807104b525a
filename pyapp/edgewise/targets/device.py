"""What a GPU says of itself: the facts that a plan is compiled for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import FormatError


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What a GPU says of itself.

    target       which kind of plan it runs: "webgpu".
    name         the adapter's description, or vendor and architecture.
    features     WebGPU feature names: "shader-f16", "subgroups", ...
    limits       WebGPU limit names and their values.
    subgroup_*   invocations of a subgroup; 0 where the device does not say.
    fallback     a software adapter: correct, but slow.
    """

    target: str
    name: str
    features: frozenset[str]
    limits: Mapping[str, int]
    subgroup_min: int
    subgroup_max: int
    fallback: bool

    def to_dict(self) -> dict[str, object]:
        """Plain data, as `from_dict` and the shims have it."""
        return {
            "target": self.target,
            "name": self.name,
            "features": sorted(self.features),
            "limits": dict(self.limits),
            "subgroup_min": self.subgroup_min,
            "subgroup_max": self.subgroup_max,
            "fallback": self.fallback,
        }

    @staticmethod
    def from_dict(data: Mapping[str, object]) -> DeviceFacts:
        """The facts that `to_dict` or a shim wrote. Raises FormatError where one is missing."""
        features, limits = data.get("features"), data.get("limits")
        if not isinstance(features, Sequence) or not isinstance(limits, Mapping):
            raise FormatError(
                "facts of a device", got=str(sorted(data)), need="features and limits among them"
            )
        return DeviceFacts(
            target=str(data.get("target", "webgpu")),
            name=str(data.get("name") or "unnamed adapter"),
            features=frozenset(map(str, features)),
            limits={str(name): int(value) for name, value in limits.items()},
            subgroup_min=_count(data.get("subgroup_min")),
            subgroup_max=_count(data.get("subgroup_max")),
            fallback=bool(data.get("fallback")),
        )


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0
