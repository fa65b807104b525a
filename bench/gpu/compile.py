"""Plans for a device, compiled ahead: one for each variant that its facts allow.

    PYTHONPATH=pyapp python3 -m bench.gpu.compile FACTS.json MANIFEST.json FOLDER

FACTS.json is what `facts.html` reports, MANIFEST.json a packed model's. Writes FOLDER/NAME.json
for each variant, and FOLDER/plans.json with their names, dispatches and bytes. Needs nothing but
Python: that machine may have no packages.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewise.dtypes import DType
from edgewise.passes import pipeline
from edgewise.plan.plan import Plan
from edgewise.runtime.compiling import DECODER, webgpu_plan
from edgewise.runtime.programs import IMPORTERS
from edgewise.store.manifest import Manifest
from edgewise.targets.device import DeviceFacts

CONTEXT = 2048


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to compute the model; `max_seq` tokens are read at a time."""

    activation: DType
    features: frozenset[str]
    max_seq: int

    @property
    def name(self) -> str:
        """ "f16-subgroups-512": the plan's file name."""
        sort = "f16" if self.activation == DType.FLOAT16 else "f32"
        return "-".join([sort, *sorted(self.features - {"shader-f16"}), str(self.max_seq)])


def variants(facts: DeviceFacts) -> list[Variant]:
    """Every precision with and without subgroups; the best one for more sizes of a chunk."""
    subgroups = facts.features & {"subgroups"}
    kinds = [(DType.FLOAT32, subgroups), (DType.FLOAT32, frozenset[str]())]
    if "shader-f16" in facts.features:
        half = frozenset({"shader-f16"})
        kinds = [(DType.FLOAT16, half | subgroups), (DType.FLOAT16, half), *kinds]
    kinds = list(dict.fromkeys(kinds))
    best = [Variant(*kinds[0], max_seq) for max_seq in (512, 256, 128)]
    return [*best, *(Variant(*kind, 512) for kind in kinds[1:])]


def compiled(variant: Variant, manifest: Manifest, facts: DeviceFacts) -> Plan:
    """The plan that runtime/programs.py makes, with the variant's `max_seq`."""
    graph = IMPORTERS[manifest.architecture](
        manifest.config,
        manifest.tensors,
        max_seq=variant.max_seq,
        max_context=CONTEXT,
        activation=variant.activation,
    )
    graph, _ = pipeline.run(graph)
    return webgpu_plan(graph, manifest.tensors, facts, variant.features, DECODER)


def compile_all(facts: dict[str, Any], manifest: Path, folder: Path) -> list[dict[str, Any]]:
    """Write every variant's plan; a row about each."""
    device = DeviceFacts.from_dict(facts)
    packed = Manifest.from_json(manifest.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for variant in variants(device):
        start = time.perf_counter()
        plan = compiled(variant, packed, device)
        text = plan.to_json()
        (folder / f"{variant.name}.json").write_text(text)
        row = {
            "name": variant.name,
            "compile_ms": round(1e3 * (time.perf_counter() - start)),
            "dispatches": {name: len(steps) for name, steps in plan.programs.items()},
            "kernels": len(plan.kernels),
            "device_nbytes": plan.nbytes,
            "nbytes": {
                kind: sum(b.nbytes for b in plan.buffers if b.kind == kind)
                for kind in sorted({b.kind for b in plan.buffers})
            },
            "peak_live": plan.peak_live,
            "plan_nbytes": len(text),
        }
        print(json.dumps(row), flush=True)
        rows.append(row)
    (folder / "plans.json").write_text(json.dumps(rows, indent=1))
    return rows


if __name__ == "__main__":
    facts_file, manifest_file, out = map(Path, sys.argv[1:])
    compile_all(json.loads(facts_file.read_text()), manifest_file, out)
