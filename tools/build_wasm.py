"""Compiles shims/wasm/*.c to the three modules: `.venv/bin/python tools/build_wasm.py`.

    simd.wasm     SIMD128: what every browser with Wasm SIMD runs
    relaxed.wasm  and relaxed SIMD: fused multiply-add, 8-bit dot products
    threads.wasm  and shared memory, for pages that are cross-origin isolated, and for CPython

They are written to pyapp/edgewise/host/modules/ for the wheel, and to shims/wasm/ for pages. Every
module has all kernels; which one a machine gets is decided by the host.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "shims" / "wasm"
MODULES = ROOT / "pyapp" / "edgewise" / "host" / "modules"
STACK_BYTES = 1 << 20  # of the first thread; helpers get theirs from the executor

RELAXED = "+relaxed_simd"
FEATURES = {
    "simd": ("simd128", "bulk_memory", "nontrapping_fptoint"),
    "relaxed": ("simd128", "bulk_memory", "nontrapping_fptoint", "relaxed_simd"),
    "threads": ("simd128", "bulk_memory", "nontrapping_fptoint", "relaxed_simd", "atomics"),
}
#: 4 GiB less a page: the most that a 32-bit address reaches.
SHARED = ("-Wl,--shared-memory", "-Wl,--max-memory=4294901760")


def command(name: str, to: Path) -> list[str]:
    """The compiler's command line for one module."""
    return [
        sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-freestanding", "-O3",
        f"-mcpu=generic+{'+'.join(FEATURES[name])}", "-nostdlib", "-ffreestanding",
        "-ffp-contract=off", "-fno-math-errno", "-Wall", "-Wextra",
        "-Wno-unused-parameter", "-Werror",
        "-Wl,--no-entry", "-Wl,--import-memory", "-Wl,--export-table", "-Wl,--growable-table",
        "-Wl,--export=__stack_pointer", "-Wl,--export=__heap_base",
        f"-Wl,-z,stack-size={STACK_BYTES}",
        "-Wl,--strip-all", *(SHARED if name == "threads" else ()), "-o", str(to),
        *map(str, sorted(SOURCES.glob("*.c"))),
    ]  # fmt: skip


def main() -> None:
    """Build what changed."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path in sorted(SOURCES.glob("*.[ch]")):
        digest.update(path.name.encode() + path.read_bytes())
    stamp = MODULES / ".built"
    made = [folder / f"{name}.wasm" for folder in (MODULES, SOURCES) for name in FEATURES]
    if all(map(Path.exists, [stamp, *made])) and stamp.read_text() == digest.hexdigest():
        return
    MODULES.mkdir(parents=True, exist_ok=True)
    for name in FEATURES:
        subprocess.run(command(name, MODULES / f"{name}.wasm"), check=True, cwd=ROOT)
        shutil.copyfile(MODULES / f"{name}.wasm", SOURCES / f"{name}.wasm")
    stamp.write_text(digest.hexdigest())
    sizes = ", ".join(f"{n} {(MODULES / f'{n}.wasm').stat().st_size:,} bytes" for n in FEATURES)
    print(f"wasm: {sizes}")


if __name__ == "__main__":
    main()
