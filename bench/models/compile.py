"""Plans of every case for the devices of one browser, compiled ahead, and its inputs as files.

    PYTHONPATH=pyapp:. python3 -m bench.models.compile FACTS.json FOLDER [--models FOLDER] [CASE …]

FACTS.json is what the page reports of devices: {"webgpu": …, "webnn": …}, null for what is not
there. Goes the way of any model in Edgewise (OnnxSession, Model) up to a device that keeps the
plan instead of loading it. Writes FOLDER/CASE.json for the page, with what was planned, and files
beside it. Needs Python with NumPy and onnx.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
from onnx import helper, numpy_helper

from bench.models.cases import CASES, MINILM, Case, made
from edgewise.formats.onnx_read import parse
from edgewise.graph.graph import specialise
from edgewise.host.base import Executable, Host, WeightBytes, Weights
from edgewise.importers import bert
from edgewise.runtime.arrays import sizes
from edgewise.runtime.model import Model
from edgewise.runtime.onnx import Files, OnnxSession
from edgewise.store.pack_folder import describe_folder
from edgewise.targets.device import DeviceFacts
from edgewise.targets.webnn.facts import WebnnFacts

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / ".cache" / "models"
DATA = ROOT / "tests" / "data"


class Clock:
    """All of a host that compiling needs; that of CPython wants packages that may be missing."""

    def clock(self) -> float:
        """Milliseconds that only grow."""
        return 1e3 * time.perf_counter()


HERE = cast(Host, Clock())


class Kept:
    """In place of what a device loads: nothing is on it."""

    nbytes = peak_nbytes = 0

    async def close(self) -> None:
        """Nothing is held."""


class Keeper:
    """A device that keeps what it is to load."""

    def __init__(self, facts: DeviceFacts) -> None:
        self.facts = facts
        self.plan = ""
        self.weights: Weights = WeightBytes(b"")

    async def load(
        self,
        plan: str,
        weights: Weights,
        on_progress: Callable[[int, int], None],
        share: Sequence[Executable] = (),
    ) -> Any:
        """Keep it."""
        self.plan, self.weights = plan, weights
        return Kept()

    async def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Where files go, and where models lie."""

    out: Path
    models: Path

    def path(self, name: str) -> Path:
        """A model's file."""
        found = self.models / name
        return found if found.exists() else DATA / name

    def file(self, data: bytes) -> str:
        """A file of these bytes, named by them."""
        name = f"{hashlib.sha256(data).hexdigest()[:16]}.bin"
        (self.out / name).write_bytes(data)
        return name

    def plan(
        self, name: str, keeper: Keeper, model: Model, files: list[tuple[str, int]],
        inputs: Mapping[str, np.ndarray[Any, Any]], ms: float, bindings: Mapping[str, int],
    ) -> dict[str, Any]:  # fmt: skip
        """A plan and what the page needs beside it to run it."""
        (self.out / f"{name}.plan.json").write_text(keeper.plan)
        data = keeper.weights.tail
        before = sum(nbytes for _, nbytes in files)
        tail = data[before:]
        if tail:
            files = [*files, (self.file(tail), len(tail))]
        report, graph = model.report, model.graph
        made = report.plan
        values = {public: graph.values[value] for public, value in graph.outputs.items()}
        return {
            "plan": f"{name}.plan.json",
            "target": keeper.facts.target,
            "weights": files,
            "bindings": dict(bindings),
            "inputs": [[key, self.file(array.tobytes())] for key, array in inputs.items()],
            "outputs": [
                [public, value.dtype.nbytes(math.prod(sizes(value, bindings)))]
                for public, value in values.items()
            ],
            "compile_ms": round(ms),
            "passes_and_plan_ms": round(report.compile_ms),
            "plan_nbytes": len(keeper.plan),
            "nodes": list(report.nodes),
            "kernels": made.kernels,
            "steps": made.steps["main"],
            "by_kernel": by_kernel(keeper.plan),
            "device_nbytes": made.nbytes,
            "live_nbytes": made.live_nbytes,
        }


def by_kernel(text: str) -> dict[str, int]:
    """How many dispatches of each kernel a WebGPU plan has."""
    plan = json.loads(text)
    steps = plan.get("programs", {}).get("main", [])
    return dict(Counter(plan["kernels"][step[0]][0] for step in steps).most_common())


def onnx_plan(writer: Writer, case: Case, facts: DeviceFacts) -> dict[str, Any]:
    """The plan of an ONNX file."""
    paths = {"": writer.path(case.model)}
    paths |= {name: writer.path(path) for name, path in case.files.items()}
    files = {name: path.read_bytes() for name, path in paths.items()}
    given = made(case)
    keeper = Keeper(facts)
    start = time.perf_counter()
    session = OnnxSession(HERE, parse(files[""]), Files.joined(files), keeper)
    ready = asyncio.run(session.specialise(given))
    ms = 1e3 * (time.perf_counter() - start)
    graph = ready.imported.graph
    inputs = {p.name: given[p.name] for p in ready.imported.inputs if p.name in graph.inputs}
    parts = [(served(writer, path), path.stat().st_size) for path in paths.values()]
    name = f"{case.name}-{facts.target}"
    return writer.plan(name, keeper, ready.model, parts, inputs, ms, {})


def safetensors_plan(writer: Writer, case: Case, facts: DeviceFacts) -> dict[str, Any]:
    """The plan of MiniLM through the importer for safetensors; one for all shapes on WebGPU."""
    path = writer.path(MINILM)
    manifest = describe_folder(path.parent).manifest
    batch, seq = case.inputs["input_ids"]
    keeper = Keeper(facts)
    start = time.perf_counter()
    graph = bert.build(manifest.config, manifest.tensors, max_batch=16)
    bindings = {"batch": batch, "seq": seq}
    if isinstance(facts, WebnnFacts):
        graph, bindings = specialise(graph, bindings), {}
    weights = WeightBytes(path.read_bytes())
    model = asyncio.run(Model.load(HERE, graph, manifest.tensors, weights, device=keeper))
    ms = 1e3 * (time.perf_counter() - start)
    inputs = {name: array.astype(np.int32) for name, array in made(case).items()}
    name = f"{case.name}-safetensors-{facts.target}"
    parts = [(served(writer, path), path.stat().st_size)]
    return writer.plan(name, keeper, model, parts, inputs, ms, bindings)


def served(writer: Writer, path: Path) -> str:
    """The address of a file that lies in one of the served folders."""
    home = writer.models if path.is_relative_to(writer.models) else DATA
    return path.relative_to(home).as_posix()


def peer(writer: Writer, case: Case) -> dict[str, Any]:
    """What ONNX Runtime needs."""
    types = {"int64": "int64", "float32": "float32"}
    return {
        "model": writer.file(without_doubles(writer.path(case.model).read_bytes())),
        "external": [[name, served(writer, writer.path(file))]
                     for name, file in case.files.items()],
        "sizes": dict(case.sizes),
        "inputs": [[name, types[array.dtype.name], list(array.shape), writer.file(array.tobytes())]
                   for name, array in made(case).items()],
    }  # fmt: skip


def without_doubles(data: bytes) -> bytes:
    """A model with the casts of its constants done: the peer's WebGPU build has no float64, and
    refuses a model that casts a number from it."""
    model = onnx.load_model_from_string(data)
    constants = {}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        elif node.op_type == "Cast" and node.input[0] in constants:
            want = helper.tensor_dtype_to_np_dtype(node.attribute[0].i)
            array = constants[node.input[0]].astype(want)
            made = helper.make_node("Constant", [], node.output, node.name,
                                    value=numpy_helper.from_array(array))  # fmt: skip
            constants[node.output[0]] = array
            node.CopyFrom(made)
    return bytes(model.SerializeToString())


def facts_of(found: Mapping[str, Any]) -> list[DeviceFacts]:
    """The devices that the page found. On WebNN everything must run natively."""
    devices: list[DeviceFacts] = []
    if found.get("webgpu"):
        devices.append(DeviceFacts.from_dict(found["webgpu"]))
    if found.get("webnn"):
        devices.append(replace(WebnnFacts.from_dict(found["webnn"]), rest=()))
    return devices


def compile_all(
    found: Mapping[str, Any], out: Path, models: Path, names: list[str]
) -> list[dict[str, Any]]:
    """Write every case; a row about each, also about what a device does not take."""
    writer = Writer(out, models)
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for case in (CASES[name] for name in names):
        plans: dict[str, Any] = {}
        for facts in facts_of(found):
            ways = {f"edgewise-{facts.target}": onnx_plan}
            if MINILM in case.files.values():
                ways[f"edgewise-{facts.target}-safetensors"] = safetensors_plan
            for engine, way in ways.items():
                try:
                    plans[engine] = way(writer, case, facts)
                except Exception as error:  # noqa: BLE001  what is refused is a result
                    plans[engine] = {"error": f"{type(error).__name__}: {error}"[:600]}
        row = {"case": case.name, "ort": peer(writer, case), "plans": plans}
        (out / f"{case.name}.json").write_text(json.dumps(row))
        rows.append(row)
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("facts", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--models", type=Path, default=MODELS)
    args = parser.parse_args()
    told = json.loads(args.facts.read_text())
    for each in compile_all(told, args.out, args.models, args.cases):
        for engine, plan in each["plans"].items():
            kept = {k: v for k, v in plan.items() if k not in ("weights", "inputs", "outputs")}
            print(each["case"], engine, json.dumps(kept))
