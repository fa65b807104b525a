"""What a GPU says of itself: the facts that a plan is compiled for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """Features and limits carry their WebGPU names (WebGPU, section 3.6).

    `subgroup_min`, `subgroup_max`  sizes that the adapter names, 0 when it names none
    `fallback`  a software adapter: correct, and as slow as the CPU it runs on
    """

    target: str
    name: str
    features: frozenset[str]
    limits: Mapping[str, int]
    subgroup_min: int
    subgroup_max: int
    fallback: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain data with sorted features."""
        return {
            "target": self.target,
            "name": self.name,
            "features": sorted(self.features),
            "limits": dict(self.limits),
            "subgroup_min": self.subgroup_min,
            "subgroup_max": self.subgroup_max,
            "fallback": self.fallback,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DeviceFacts:
        """The inverse of `to_dict`."""
        return cls(**{**data, "features": frozenset(data["features"])})
