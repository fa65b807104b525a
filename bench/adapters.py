"""What adapters cost: a swap in the middle of an answer, and tokens a second with and without.

    PYTHONPATH=pyapp:. .venv/bin/python -m bench.adapters [--page]

SmolLM2-135M-Instruct with two random LoRAs of rank 8: on q and v, and on all matrices of every
layer. In CPython (wgpu, wasmtime) or, with --page, in Chromium. The sessions take turns; medians.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from e2e.browsers import ENGINES, ROOT
from e2e.python_page import PythonPage, lay_out
from e2e.server import SiteServer
from edgewise.host.cpython import CPythonHost
from edgewise.importers.llama_config import parse_config, tensor_shapes
from edgewise.store.manifest import Manifest
from edgewise.store.pack import pack
from tests.tiny_adapter import MODULES, TinyAdapter

MODEL = ROOT / ".cache" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
ADAPTERS = {
    "q and v": TinyAdapter(rank=8),
    "all matrices": TinyAdapter(tuple(MODULES), rank=8, seed=2),
}
TARGETS = ("wasm", "webgpu")
ROUNDS, TOKENS, EVERY = 2, 24, 4

#: Runs here and in a page: the body of an async function of `host`, `model`, `adapters` and sizes.
MEASURE = '''
from statistics import median
from edgewise.runtime.session import Sampling, Session
from edgewise.tasks.documents import load_manifest

prompt = list(range(1000, 1032))

async def times(session, swaps=()):
    """When each token came, swapping after those whose number is a multiple of `every`."""
    made, start = [], host.clock()
    batches = session.generate(prompt, max_new_tokens=tokens, stop_ids=(), sampling=Sampling())
    async for batch in batches:
        made += [host.clock() - start] * len(batch)
        if swaps and len(made) % every == 0:
            session.set_adapter(swaps[len(made) // every % len(swaps)])
    return made

async def swap(session, name):
    """Of a session that waits: until the device has the weights."""
    start = host.clock()
    session.set_adapter(name)
    await session._write_weights(session._weights)
    return host.clock() - start

base = await load_manifest(host, model)
parts = {name: await load_manifest(host, url) for name, url in adapters.items()}
plain = await Session.open(host, base, target=target, max_context=256)
both = await Session.open(host, base, target=target, max_context=256, adapters=parts)
rates, gaps, idle = {}, {"swapped": [], "not": []}, []
for number in range(rounds + 1):
    rows = {"without": (plain, None), "off": (both, None)} | {n: (both, n) for n in parts}
    for row, (session, chosen) in rows.items():
        session.set_adapter(chosen)
        found = await times(session)
        if number:
            rates.setdefault(row, []).append(1e3 * (tokens - 1) / (found[-1] - found[0]))
    both.set_adapter(None)
    found = await times(both, list(parts))
    for at in range(every, len(found)):
        if number:
            gaps["swapped" if at % every == 0 else "not"].append(found[at] - found[at - 1])
    idle += [await swap(both, name) for name in parts for _ in range(5)]
result = {
    "rates": {row: median(each) for row, each in rates.items()},
    "gaps": {row: median(each) for row, each in gaps.items()},
    "idle_ms": median(idle), "load_ms": [plain.report.load_ms, both.report.load_ms],
    "nbytes": [plain.report.device_nbytes, both.report.device_nbytes],
}
await plain.close()
await both.close()
return result
'''


@dataclass(frozen=True)
class Shapes:
    """A model's matrices, for adapters to be made for."""

    manifest: Manifest

    @property
    def layers(self) -> int:
        return int(str(self.manifest.config["layers"]))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return tensor_shapes(parse_config(self.manifest.config))


def packed(folder: Path) -> tuple[Path, dict[str, Path]]:
    """The model's manifest and those of its adapters."""
    base = pack(MODEL, folder)
    model: Any = Shapes(Manifest.from_json(base.read_text()))
    return base, {
        name: pack(each.write(folder / "saved" / name, model), folder, base=base)
        for name, each in ADAPTERS.items()
    }


def here(folder: Path, base: Path, adapters: Mapping[str, Path], target: str) -> Any:
    """Measured in CPython."""
    names: dict[str, Any] = {}
    lines = "\n".join(f"    {line}" for line in MEASURE.splitlines())
    exec(
        f"async def measure(host, model, adapters, target, rounds, tokens, every):\n{lines}", names
    )
    addresses = {name: str(path) for name, path in adapters.items()}
    host = CPythonHost(folder / "store")
    return asyncio.run(names["measure"](host, str(base), addresses, target, ROUNDS, TOKENS, EVERY))


def in_page(folder: Path, base: Path, adapters: Mapping[str, Path]) -> dict[str, Any]:
    """Measured in Chromium, by target."""
    site = folder / "page"
    lay_out(site)
    with sync_playwright() as playwright, SiteServer(site) as server:
        browser = ENGINES["chromium"].launch(playwright)
        page = browser.new_page()
        page.set_default_timeout(600_000)
        page.goto(f"{server.url}/pages/python.html")
        page.wait_for_selector("html[data-ready]", state="attached")
        python = PythonPage(page, site)
        for path in folder.iterdir():
            if path.is_file():
                python.serve(path.name, path)
        addresses = {name: f"/files/{path.name}" for name, path in adapters.items()}
        return {
            target: python.run(
                MEASURE, model=f"/files/{base.name}", adapters=addresses, target=target,
                rounds=ROUNDS, tokens=TOKENS, every=EVERY,
            )
            for target in TARGETS
        }  # fmt: skip


def show(target: str, found: Any) -> None:
    """A row of figures of one target."""
    rates = ", ".join(f"{row} {rate:.1f}" for row, rate in found["rates"].items())
    gaps, (plain, both) = found["gaps"], found["nbytes"]
    print(f"{target}: tokens a second: {rates}")
    print(f"  a token after a swap {gaps['swapped']:.2f} ms, others {gaps['not']:.2f} ms;"
          f" a swap between answers {found['idle_ms']:.3f} ms")  # fmt: skip
    print(f"  load {found['load_ms'][0]:.0f} and {found['load_ms'][1]:.0f} ms,"
          f" {plain / 1e6:.1f} and {both / 1e6:.1f} MB on the device")  # fmt: skip


def main() -> None:
    """Pack, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", action="store_true", help="in Chromium instead of CPython")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base, adapters = packed(folder)
        found = (
            in_page(folder, base, adapters) if given.page
            else {target: here(folder, base, adapters, target) for target in TARGETS}
        )  # fmt: skip
    for target, each in found.items():
        show(target, each)


if __name__ == "__main__":
    main()
