"""A base model and adapters beside it, as one model with more tensors.

A tensor is whole segments, and a device reads weights segment by segment: so those of several
adapters for one matrix become neighbours by the order in which their segments are named. No byte
is copied, here or in the store, and the base's segments are what they were.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import isfinite, prod

from ..errors import FormatError, InputError, UnsupportedError
from ..importers.adapters import Adapters, Stack
from ..importers.llama_adapter import Addition
from ..store.adapter import AdapterConfig, adapter_config, check_base
from ..store.base import Segment
from ..store.manifest import Manifest, TensorRef
from .context import Weights


@dataclass(frozen=True)
class Adapted:
    """A model's manifest and those of the adapters that a session may use, by their names there.

    Raises InputError for an adapter of another base, as far as the base's hashes are known.
    """

    base: Manifest
    parts: Mapping[str, Manifest] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for part in self.parts.values():
            check_base(part, self.base)

    @property
    def manifest(self) -> Manifest:
        """The base with the tensors and segments of the adapters behind its own."""
        return self._joined[0]

    @property
    def adapters(self) -> Adapters:
        """What the importer is told."""
        return self._joined[1]

    def weights(self, chosen: str | Mapping[str, float] | None) -> Weights:
        """The weight of each adapter. Raises InputError for a name or a number that is none."""
        given = {} if chosen is None else {chosen: 1.0} if isinstance(chosen, str) else chosen
        unknown = sorted(given.keys() - self.parts.keys())
        if unknown:
            raise InputError("no such adapter", got=", ".join(map(repr, unknown)),
                             need=f"one of {sorted(self.parts)}",
                             fix="name it when the session is opened")  # fmt: skip
        if not all(isfinite(weight) for weight in given.values()):
            raise InputError("weights of adapters", got=str(dict(given)), need="finite numbers")
        return tuple(float(given.get(name, 0.0)) for name in self.parts)

    @cached_property
    def _joined(self) -> tuple[Manifest, Adapters]:
        if not self.parts:
            return self.base, Adapters()
        configs = {name: adapter_config(part) for name, part in self.parts.items()}
        types = {each.type for part in self.parts.values() for each in part.tensors.values()}
        if len(types) > 1:
            raise UnsupportedError("adapters in one session", got=", ".join(sorted(types)),
                                   need="one data type", fix="save them in the same")  # fmt: skip
        joined = _Joined(self, types.pop())
        adapted = {name for config in configs.values() for name in config.matrices}
        stacks = {name: joined.stack(name, configs) for name in sorted(adapted)}
        manifest = replace(
            self.base, tensors={**self.base.tensors, **joined.tensors},
            segments=(*self.base.segments, *joined.segments),
        )  # fmt: skip
        return manifest, Adapters(len(self.parts), stacks)


class _Joined:
    """The tensors behind the base's while they are collected."""

    def __init__(self, model: Adapted, type: str) -> None:
        self.tensors: dict[str, TensorRef] = {}
        self.segments: list[Segment] = []
        self._parts, self._type = model.parts, type
        self._end = sum(segment.nbytes for segment in model.base.segments)
        texts = "".join(part.to_json() for part in model.parts.values())
        self._digest = hashlib.sha256(texts.encode()).hexdigest()  # equal names, equal bytes

    def stack(self, matrix: str, configs: Mapping[str, AdapterConfig]) -> Stack:
        """What all adapters add to one matrix."""
        found = {name: c.matrices[matrix] for name, c in configs.items() if matrix in c.matrices}
        ranks = {name: self._shape(name, each)[0] for name, each in found.items()}
        width = {self._shape(name, each)[1] for name, each in found.items()}.pop()
        rows = sum(ranks.values())
        downs = [(name, each.down) for name, each in found.items()]
        ups = [(name, each.up) for name, each in found.items()]
        return Stack(
            self._add(f"{matrix} down {self._digest}", downs, (rows, width)),
            self._add(f"{matrix} up {self._digest}", ups, None),
            tuple(ranks.get(name, 0) for name in configs),
            tuple(found[name].scale if name in found else 0.0 for name in configs),
        )

    def _shape(self, name: str, each: Addition) -> tuple[int, ...]:
        return self._parts[name].tensors[each.down].shape

    def _add(self, name: str, tensors: list[tuple[str, str]], shape: tuple[int, ...] | None) -> str:
        """A tensor of several, one after the other; flat without a shape."""
        start, elements = self._end, 0
        for part, tensor in tensors:
            span = self._parts[part].segments_of(tensor)
            nbytes = sum(segment.nbytes for segment in span.segments)
            if span.begin or span.end != nbytes:
                raise FormatError(f"adapter '{part}'", got=f"'{tensor}' in segments with others",
                                  need="segments that end with each tensor",
                                  fix="pack it again")  # fmt: skip
            elements += prod(self._parts[part].tensors[tensor].shape)
            self.segments += span.segments
            self._end += nbytes
        self.tensors[name] = TensorRef(self._type, shape or (elements,), start, self._end - start)
        return name
