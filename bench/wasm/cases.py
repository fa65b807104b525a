"""What is measured: suites of tasks, and the engines that are measured side by side in each.

The first engine of a suite is Edgewise; every other one is compared with it. Times are
milliseconds: of a run, of reading a prompt, of one token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DETECTION = "PP-OCRv4/ch_PP-OCRv4_det_infer.onnx"
GGUF = "SmolLM2-135M-Instruct.{}.gguf"
OURS = "edgewise"

#: (task, metric) of the language model, in the order of the table.
METRICS = ("prefill128", "prefill512", "decode")


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine in one suite.

    page    the module in pages/; none: the native program
    query   what the page is asked with
    main    whether it lives in the page, because it starts a worker by itself
    tokens  how many tokens it makes at most; fewer where it takes too long
    long    whether it also reads the long prompt
    """

    name: str
    page: str | None
    query: Mapping[str, object]
    main: bool = False
    tokens: int = 64
    long: bool = True


@dataclass(frozen=True, slots=True)
class Suite:
    """Engines that do the same.

    tasks   arguments of a turn, by name
    goals   metric -> engine (or several, whose best counts) -> how many times as fast to be
    """

    name: str
    engines: tuple[Engine, ...]
    tasks: Mapping[str, Mapping[str, Any]]
    goals: Mapping[str, Mapping[tuple[str, ...], float]]


@dataclass(frozen=True, slots=True)
class Case:
    """An ONNX file with inputs of certain shapes.

    model   the file, in one of the served folders
    ours    what Edgewise makes its own variant of, with `edgewise pack --quantise int8`; else the
            same file
    inputs  name -> (type, shape, file)
    sizes   names that the file has for dimensions -> their sizes here
    """

    name: str
    model: str
    inputs: Mapping[str, tuple[str, tuple[int, ...], str]]
    sizes: Mapping[str, int] = field(default_factory=dict)
    ours: str | None = None


def _ours(name: str, kind: str) -> str | None:
    return f"{name}-f32.onnx" if kind == "q8" else None


def _minilm(kind: str, batch: int, seq: int) -> Case:
    names = ("input_ids", "attention_mask", "token_type_ids")
    shape = f"{batch}x{seq}"
    return Case(
        f"minilm-{kind}-{shape}", f"minilm-{kind}.onnx",
        {n: ("int64", (batch, seq), f"inputs/minilm-{shape}-{n}.bin") for n in names},
        {"batch": batch, "seq": seq}, _ours("minilm", kind),
    )  # fmt: skip


def _detection(size: int) -> Case:
    sizes = {"0": 1, "1": size, "2": size}
    return Case(
        f"detection-{size}", DETECTION,
        {"x": ("float32", (1, 3, size, size), f"inputs/page{size}.bin")},
        {f"p2o.DynamicDimension.{key}": value for key, value in sizes.items()},
    )  # fmt: skip


def _whisper(kind: str) -> Case:
    mel = ("float32", (1, 80, 3000), "inputs/mel30s.bin")
    return Case(f"whisper-{kind}", f"whisper-{kind}.onnx", {"input_features": mel}, {"batch": 1},
                _ours("whisper", kind))  # fmt: skip


KINDS = ("f32", "q8")
SHAPES = ((1, 32), (1, 128), (16, 128))
CASES = {
    case.name: case
    for case in (
        *(_minilm(kind, *shape) for kind in KINDS for shape in SHAPES),
        _detection(320),
        _detection(640),
        *(_whisper(kind) for kind in KINDS),
    )
}

LLM = "smollm2"
WLLAMA2 = {kind: f"wllama 2.3.1 {kind}" for kind in ("Q4_1", "Q4_0", "Q8_0")}
NEWEST = "wllama 3.13.0 Q4_1"
ORT = {kind: f"ONNX Runtime Web {kind}" for kind in ("4-bit", "8-bit", "f32")}
NATIVE = "llama.cpp, native Q4_1"
IN_WASM = (*WLLAMA2.values(), NEWEST, *ORT.values())


EDGEWISE = Engine(OURS, "edgewise", {})  # run.py says with which plan


def told(suite: str, threads: int) -> str:
    """The file that says what was compiled for a suite."""
    return f"{suite}-t{threads}.json"


def language_model() -> Suite:
    """SmolLM2 on everything."""
    files = {"4-bit": "smollm2-q4.onnx", "8-bit": "smollm2-q8.onnx", "f32": "smollm2-f32.onnx"}
    engines = [EDGEWISE]
    for kind, name in WLLAMA2.items():
        engines.append(Engine(name, "wllama2", {"model": GGUF.format(kind)}, main=True))
    for kind, name in ORT.items():
        few = 12 if kind == "4-bit" else 64
        engines.append(Engine(name, "ort_llm", {"model": files[kind]}, tokens=few))
    engines.append(
        Engine(NEWEST, "wllama", {"model": GGUF.format("Q4_1")}, main=True, tokens=16, long=False)
    )
    engines.append(Engine(NATIVE, None, {"model": GGUF.format("Q4_1")}))
    first = WLLAMA2["Q4_1"]
    return Suite(
        LLM, tuple(engines),
        {"128": {"prompt": "128", "tokens": 64}, "512": {"prompt": "512", "tokens": 1}},
        {
            "prefill128": {tuple(WLLAMA2.values()): 1.5},
            "prefill512": {tuple(WLLAMA2.values()): 2.0},
            "decode": {(first,): 2.0, IN_WASM: 1.3, (NATIVE,): 0.6},
        },
    )  # fmt: skip


def model(case: Case) -> Suite:
    """One ONNX file on Edgewise and on ONNX Runtime Web."""
    given = [[name, kind, shape, file] for name, (kind, shape, file) in case.inputs.items()]
    peer = Engine("ONNX Runtime Web", "ort",
                  {"model": case.model, "inputs": given, "sizes": dict(case.sizes)})  # fmt: skip
    goal = 1.5 if "-q8" in case.name else 1.2
    return Suite(
        case.name, (EDGEWISE, peer), {"run": {}},
        {"run": {(peer.name,): goal}},
    )  # fmt: skip


SUITES = {suite.name: suite for suite in (language_model(), *map(model, CASES.values()))}
