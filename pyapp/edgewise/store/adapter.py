"""Adapters in a store: manifests of their own that name their base by what is in its tensors.

An adapter's manifest has the task "adapter", the architecture of its base, and this `config`:

    base      {"name", "sha256"}: for people, and `tensors_id` of the base's manifest
    matrices  {matrix of the base: [tensor A, tensor B, scale]}

So it is downloaded, verified and counted as any model; the base is not in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import FormatError, InputError
from ..importers.llama_adapter import Addition
from .document import Value
from .manifest import Manifest

TASK = "adapter"


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """The checked `config` of an adapter's manifest."""

    base_name: str
    base_sha256: str
    matrices: Mapping[str, Addition]

    def to_dict(self) -> dict[str, object]:
        """As it stands in the manifest."""
        return {
            "base": {"name": self.base_name, "sha256": self.base_sha256},
            "matrices": {
                name: [each.down, each.up, each.scale] for name, each in self.matrices.items()
            },
        }


def tensors_id(manifest: Manifest) -> str | None:
    """The SHA-256 of the names, types, shapes and hashes of all tensors of a model.

    Files that hold the same tensors beside other metadata have the same one. None while a hash is
    not known: the model was opened without a pack and is not here yet.
    """
    lines = []
    for name, tensor in sorted(manifest.tensors.items()):
        hashes = [segment.hash for segment in manifest.segments_of(name).segments]
        if None in hashes:
            return None
        lines.append([name, tensor.type, tensor.shape, hashes])
    return hashlib.sha256(json.dumps(lines, separators=(",", ":")).encode()).hexdigest()


def adapter_config(manifest: Manifest) -> AdapterConfig:
    """What an adapter's manifest says of it.

    Raises InputError for the manifest of something else, FormatError for a broken one.
    """
    if manifest.task != TASK:
        raise InputError(f"'{manifest.name}' is no adapter", got=f"the task '{manifest.task}'",
                         need=f"a manifest of the task '{TASK}'",
                         fix="make one with `edgewise pack FOLDER --base MANIFEST`")  # fmt: skip
    config = Value(dict(manifest.config), "$.config")
    base = config.field("base")
    return AdapterConfig(
        base.field("name").text(),
        base.field("sha256").sha256(),
        {
            name: _addition(value, manifest)
            for name, value in config.field("matrices").members()
        },
    )  # fmt: skip


def _addition(value: Value, manifest: Manifest) -> Addition:
    down, up, scale = value.items(3)
    for each in (down, up):
        if each.text() not in manifest.tensors or len(manifest.tensors[each.text()].shape) != 2:
            raise each.wrong("the name of a matrix of the adapter")
    if isinstance(scale.data, bool) or not isinstance(scale.data, int | float):
        raise scale.wrong("a number")
    ranks = manifest.tensors[down.text()].shape[0], manifest.tensors[up.text()].shape[1]
    if ranks[0] != ranks[1]:
        raise FormatError(f"adapter '{manifest.name}'", got=f"ranks {ranks[0]} and {ranks[1]}",
                          need="A [rank, K] and B [N, rank]", where=value.path)  # fmt: skip
    return Addition(down.text(), up.text(), float(scale.data))


def check_base(adapter: Manifest, base: Manifest) -> None:
    """Raise InputError where an adapter is for another base than this one, as far as is known."""
    config, found = adapter_config(adapter), tensors_id(base)
    if found is None or found == config.base_sha256:
        return
    raise InputError(
        f"adapter '{adapter.name}' is for another base",
        got=f"'{base.name}', whose tensors are {found}",
        need=f"'{config.base_name}', whose tensors are {config.base_sha256}",
        fix="open that model, or pack the adapter again with --base",
    )
