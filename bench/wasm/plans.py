"""Edgewise's plans for the device that a page finds, compiled ahead in CPython.

For each suite and number of threads writes NAME-tN.json, what pages/edgewise.js needs to run it,
and beside it the plan and the weights that are not a model file's own. Goes the way of any model
in Edgewise up to a device that keeps the plan instead of loading it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from onnxruntime import InferenceSession

from bench.models.compile import HERE, Keeper
from bench.wasm.cases import CASES, GGUF, LLM, Case, Engine, Suite, told
from bench.wasm.engines import Session
from edgewise.dtypes import DType
from edgewise.errors import EdgewiseError
from edgewise.formats.onnx_read import parse
from edgewise.runtime.arrays import sizes
from edgewise.runtime.compiling import usable
from edgewise.runtime.onnx import Files, OnnxSession
from edgewise.runtime.programs import Variant, build_plan
from edgewise.store.manifest import Manifest
from edgewise.store.quantise import write_int8
from edgewise.targets.device import DeviceFacts

CONTEXT = 1024  # as the peers have it
MANIFEST = Path(__file__).resolve().parents[2] / "build/models/smollm2-135m-instruct.manifest.json"


def compile_all(
    session: Session, page: Engine, suites: Sequence[Suite], threads: Sequence[int], out: Path
) -> None:
    """Write every suite's plan for every number of threads; say what is refused."""
    for count in threads:
        facts = DeviceFacts.from_dict(session.page(page, count).facts())
        print(f"Edgewise for {count} threads: {json.dumps(facts.to_dict())}", flush=True)
        for suite in suites:
            start = time.perf_counter()
            try:
                made = compiled(suite, facts, session, out, f"{suite.name}-t{count}")
            except EdgewiseError as error:
                print(f"  {suite.name}: {type(error).__name__}: {error}"[:900], flush=True)
                continue
            (out / told(suite.name, count)).write_text(json.dumps(made))
            taken = 1e3 * (time.perf_counter() - start)
            print(f"  {suite.name}: compiled in {taken:.0f} ms; {made['about']}", flush=True)


def compiled(
    suite: Suite, facts: DeviceFacts, session: Session, out: Path, name: str
) -> dict[str, Any]:
    """A suite's plan, written; what the page needs beside it. Raises EdgewiseError."""
    if suite.name == LLM:
        return language_model(facts, out, name)
    return onnx_model(CASES[suite.name], facts, [session.peers / "models", session.models],
                      out, name)  # fmt: skip


def language_model(facts: DeviceFacts, out: Path, name: str) -> dict[str, Any]:
    """The GGUF's plan."""
    manifest = Manifest.from_json(MANIFEST.read_text())
    features = usable(facts) - {"shader-f16"}
    text = build_plan(manifest, facts, Variant(DType.FLOAT32, features), CONTEXT)
    (out / f"{name}.plan").write_text(text)
    return {
        "llm": True,
        "plan": f"{name}.plan",
        "weights": [[GGUF.format("Q4_1"), manifest.file.nbytes]],
        "about": f"{len(text)} bytes of plan",
    }


def onnx_model(
    case: Case, facts: DeviceFacts, folders: Sequence[Path], out: Path, name: str
) -> dict[str, Any]:
    """An ONNX file's plan for its case's shapes."""
    path = _ours(case, folders)
    data = path.read_bytes()
    given = _given(case, folders)
    # what a model asks for by `shader-f16` is not what is measured here
    keeper = Keeper(replace(facts, features=facts.features - {"shader-f16"}))
    session = OnnxSession(HERE, parse(data), Files.joined({"": data}), keeper)
    with ThreadPoolExecutor(1) as apart:  # playwright has an event loop in this thread
        ready = apart.submit(asyncio.run, session.specialise(given)).result()
    graph, report = ready.model.graph, ready.model.report
    (out / f"{name}.plan").write_text(keeper.plan)
    tail = bytes(keeper.weights.tail[len(data) :])
    weights: list[list[object]] = [[case.model if case.ours is None else path.name, len(data)]]
    if tail:
        weights.append([_file(tail, out), len(tail)])
    fed: Mapping[str, Any] = {p.name: given[p.name] for p in ready.imported.inputs}
    values = {public: graph.values[value] for public, value in graph.outputs.items()}
    return {
        "plan": f"{name}.plan",
        "weights": weights,
        "bindings": {},
        "inputs": [[key, _file(array.tobytes(), out)] for key, array in fed.items()
                   if key in graph.inputs],
        "outputs": [[public, value.dtype.nbytes(math.prod(sizes(value, {})))]
                    for public, value in values.items()],
        "about": str(report.plan),
    }  # fmt: skip


def computed(name: str, folders: Sequence[Path]) -> np.ndarray[Any, Any]:
    """What the reference, ONNX Runtime in this process, gives for a case, as one row."""
    case = CASES[name]
    session = InferenceSession(_path(case, folders), providers=["CPUExecutionProvider"])
    made: np.ndarray[Any, Any] = session.run(None, _given(case, folders))[0]
    return made.ravel()


def _path(case: Case, folders: Sequence[Path]) -> Path:
    """The case's file."""
    return _found(case.model, folders)


def _ours(case: Case, folders: Sequence[Path]) -> Path:
    """The file that Edgewise runs: the case's, or its own variant in 8 bits, made once."""
    if case.ours is None:
        return _path(case, folders)
    source = _found(case.ours, folders)
    made = source.with_name(f"{source.stem}-int8.onnx")
    return made if made.exists() else write_int8(source, source.parent).path


def _found(name: str, folders: Sequence[Path]) -> Path:
    return next(path for folder in folders if (path := folder / name).exists())


def _given(case: Case, folders: Sequence[Path]) -> dict[str, np.ndarray[Any, Any]]:
    """The case's inputs."""
    return {
        key: np.fromfile(folders[0] / file, kind).reshape(shape)
        for key, (kind, shape, file) in case.inputs.items()
    }


def _file(data: bytes, out: Path) -> str:
    """A file of these bytes, named by them."""
    name = f"{hashlib.sha256(data).hexdigest()[:16]}.bin"
    (out / name).write_bytes(data)
    return name
