"""Builds the static site: `.venv/bin/python tools/build_site.py` writes build/site/.

    index.html …      the pages, as they are in site/
    shims/            the ES modules of shims/, and the Wasm modules that are compiled from it
    vendor/pyodide/   Python itself, self-hosted
    vendor/           the tokenizer and the chat templates' engine, one ES module each
    wheels/           Edgewise as a wheel, without the Wasm modules that CPython gets
    models/           packed models: manifest, tokenizer, and the model's own file (a hard link);
                      index.json says what each is for
    packages/         wheels that a page loads when it needs them: NumPy, onnx
    build.json        {"version", "wheel", "models": [manifest path, …],
                       "packages": {name: [{"path", "nbytes", "sha256",
                                            "segments": [[sha256, nbytes], …]}, …]},
                       "files": [{"path", "nbytes", "sha256"}, …]}

`files` of build.json lists everything but models/, packages/, Wasm modules and itself: what a
service worker keeps for a visit without a network. Weights and packages are not in it, they live in
the store under their own hashes; of the Wasm modules a page keeps the one that it runs.
Incremental: what has the source's size and time is not copied again, what has no source goes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
SITE = BUILD / "site"
WHEELS = BUILD / "wheels"
PACKED = BUILD / "models"
STAMPS = BUILD / "stamps"
PACKAGE = ROOT / "pyapp" / "edgewise"
NPM = ROOT / "node_modules"
FETCHED = ROOT / ".cache" / "wheels"

SEGMENT_NBYTES = 16 * 1024 * 1024  # the most that the store holds as one object

PYODIDE = (
    "pyodide.mjs",
    "pyodide.asm.js",
    "pyodide.asm.wasm",
    "python_stdlib.zip",
    "pyodide-lock.json",
)
#: Path in the site → file that it is a copy of.
VENDOR = {
    **{f"vendor/pyodide/{name}": NPM / "pyodide" / name for name in PYODIDE},
    "vendor/tokenizers.mjs": NPM / "@huggingface/tokenizers/dist/tokenizers.min.mjs",
    "vendor/jinja.mjs": NPM / "@huggingface/jinja/dist/index.js",
}


def main() -> None:
    """Build what changed and print one line."""
    start = time.monotonic()
    version = package_version()
    subprocess.run([sys.executable, ROOT / "tools" / "build_wasm.py"], check=True)
    wheel = build_wheel(version)
    manifests = pack_models(wheel)
    index_models(wheel)
    sources = (
        tree(ROOT / "site", "")
        | tree(ROOT / "shims", "shims/", "*.js")
        | VENDOR
        | {f"wheels/{wheel.name}": wheel}
    )
    packages = page_packages()
    kept_apart = tree(PACKED, "models/") | tree(ROOT / "shims" / "wasm", "shims/wasm/", "*.wasm")
    for wheels in packages.values():
        kept_apart |= wheels
    changed = mirror(sources | kept_apart)
    if changed or not (SITE / "build.json").exists():
        index = {
            "version": version,
            "wheel": f"wheels/{wheel.name}",
            "models": [f"models/{manifest.name}" for manifest in manifests],
            "packages": {
                name: [package_row(path, wheel) for path, wheel in wheels.items()]
                for name, wheels in packages.items()
            },
            "files": [describe(path) for path in sorted(sources)],
        }
        (SITE / "build.json").write_text(json.dumps(index, indent=1) + "\n")
    print(
        f"build/site: {len(sources) + len(kept_apart)} files, {changed} changed,"
        f" {time.monotonic() - start:.1f} s"
    )


def page_packages() -> dict[str, dict[str, Path]]:
    """What pyodide.lock.json has for each package, as path in the site → wheel of set-up."""
    found: dict[str, dict[str, Path]] = {}
    for row in json.loads((ROOT / "pyodide.lock.json").read_text()):
        wheel = FETCHED / row["file"]
        if not wheel.exists():
            sys.exit(f"{wheel.relative_to(ROOT)} is missing: run python3 tools/setup.py serve")
        found.setdefault(row["for"], {})[f"packages/{wheel.name}"] = wheel
    return found


def package_row(path: str, wheel: Path) -> dict[str, Any]:
    """The entry of a wheel in build.json, with the objects that the store keeps of it."""
    data = wheel.read_bytes()
    cuts = [data[at : at + SEGMENT_NBYTES] for at in range(0, len(data), SEGMENT_NBYTES)]
    segments = [(hashlib.sha256(cut).hexdigest(), len(cut)) for cut in cuts]
    whole = hashlib.sha256(data).hexdigest()
    return {"path": path, "nbytes": len(data), "sha256": whole, "segments": segments}


def package_version() -> str:
    """What edgewise/__init__.py says, read without importing it."""
    found = re.search(r'^__version__ = "(.+)"', (PACKAGE / "__init__.py").read_text(), re.M)
    assert found, f"{PACKAGE / '__init__.py'} has no __version__ line"
    return found[1]


def tree(folder: Path, prefix: str, pattern: str = "*") -> dict[str, Path]:
    """Every file below a folder as path in the site → file, caches of Python left out."""
    return {
        prefix + path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob(pattern))
        if path.is_file() and "__pycache__" not in path.parts
    }


def up_to_date(made: Path, digest: str) -> bool:
    """Whether `made` was made from inputs with this digest."""
    stamp = STAMPS / made.name
    return made.exists() and stamp.exists() and stamp.read_text() == digest


def made_from(made: Path, digest: str) -> None:
    """Note what `made` was made from."""
    STAMPS.mkdir(parents=True, exist_ok=True)
    (STAMPS / made.name).write_text(digest)


def build_wheel(version: str) -> Path:
    """The page's wheel, in build/wheels. Its stamp is a digest of the sources' contents."""
    wheel = WHEELS / f"edgewise-{version}-py3-none-any.whl"
    sources = {name: path for name, path in tree(PACKAGE, "").items() if path.suffix != ".wasm"}
    sources |= {name: ROOT / name for name in ("pyproject.toml", "README.md", "LICENSE")}
    digest = hashlib.sha256()
    for name, path in sources.items():
        digest.update(f"{name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    if up_to_date(wheel, digest.hexdigest()):
        return wheel
    shutil.rmtree(WHEELS, ignore_errors=True)
    command("hatchling", "build", "-t", "wheel", "-d", WHEELS, HATCH_BUILD_NO_HOOKS="true")
    made_from(wheel, digest.hexdigest())
    return wheel


def pack_models(wheel: Path) -> list[Path]:
    """Pack the models that models.lock.json has for serving; the manifests, in that order.

    Packed again when the model or anything in the package changed.
    """
    code = (STAMPS / wheel.name).read_text()
    manifests = []
    packages = json.loads((ROOT / "models.lock.json").read_text())
    served = [package for package in packages if package["purpose"] == "serve"]
    for model in (row for package in served for row in package["files"]):
        file = ROOT / ".cache" / "models" / model["file"]
        if not file.exists():
            sys.exit(f"{file.relative_to(ROOT)} is missing: run python3 tools/setup.py serve")
        packed, digest = PACKED / model["file"], f"{model['sha256']} {code}"
        if not up_to_date(packed, digest):
            PACKED.mkdir(parents=True, exist_ok=True)
            link(file, packed)
            command("edgewise", "pack", packed, "-o", PACKED)
            made_from(packed, digest)
        manifests.append(manifest_of(model["file"]))
    return manifests


def index_models(wheel: Path) -> None:
    """Pack what else set-up fetched, and write the index of all; again when anything changed."""
    tool, index = ROOT / "tools" / "site_index.py", PACKED / "index.json"
    fetched = [name for name in tree(ROOT / ".cache" / "models", "") if not name.endswith(".part")]
    pins = (ROOT / "models.lock.json").read_text()
    text = "\0".join([(STAMPS / wheel.name).read_text(), pins, tool.read_text(), *fetched])
    digest = hashlib.sha256(text.encode()).hexdigest()
    if not up_to_date(index, digest):
        subprocess.run([sys.executable, tool], check=True)
        made_from(index, digest)


def manifest_of(file: str) -> Path:
    """The manifest in build/models whose `file.url` is this file."""
    for path in PACKED.glob("*.manifest.json"):
        if json.loads(path.read_text())["file"]["url"] == file:
            return path
    sys.exit(f"`edgewise pack` wrote no manifest for {file}")


def command(name: str, *arguments: str | Path, **environment: str) -> None:
    """Run a command of the environment; what it prints is shown only if it fails."""
    path = Path(sys.executable).with_name(name)
    ran = subprocess.run(
        [path, *arguments], cwd=ROOT, env=os.environ | environment,
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    if ran.returncode:
        sys.exit(f"{name} {' '.join(map(str, arguments))}\n{ran.stdout}exit {ran.returncode}")


def link(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`, or a copy where the disk has no hard links."""
    if target.exists() and same(source, target):
        return
    target.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copy2(source, target)


def same(source: Path, target: Path) -> bool:
    """Whether a copy is fresh: size and time agree (a hard link's always do)."""
    a, b = source.stat(), target.stat()
    return (a.st_size, a.st_mtime_ns) == (b.st_size, b.st_mtime_ns)


def mirror(sources: dict[str, Path]) -> int:
    """Make build/site hold exactly these files; how many were written or removed."""
    changed = 0
    for path, source in sources.items():
        target = SITE / path
        if target.exists() and same(source, target):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.startswith(("models/", "packages/")):
            link(source, target)
        else:
            shutil.copy2(source, target)
        changed += 1
    for path, stale in tree(SITE, "").items():
        if path not in sources and path != "build.json":
            stale.unlink()
            changed += 1
    return changed


def describe(path: str) -> dict[str, str | int]:
    """The entry of one file in build.json."""
    data = (SITE / path).read_bytes()
    return {"path": path, "nbytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


if __name__ == "__main__":
    main()
