"""The Wasm executor in real browsers (shims/wasm.js): threads, memory, and what happens to them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page

from e2e.browsers import ROOT, engines
from e2e.server import SiteServer
from edgewise.dtypes import DType
from edgewise.graph.builder import GraphBuilder
from edgewise.graph.graph import Graph
from edgewise.targets.device import DeviceFacts
from edgewise.targets.wasm.compile import compile_plan

MODULES = [("simd", 1), ("relaxed", 1), ("threads", 1), ("threads", 2), ("threads", 5)]
ROWS = (300, 17, 0, 1)


@pytest.fixture
def wasm(page: Page, tmp_path: Path, site_server: Callable[[Path], SiteServer]) -> Page:
    """The page that opens Wasm devices and runs plans on them."""
    (tmp_path / "shims").symlink_to(ROOT / "shims")
    (tmp_path / "pages").symlink_to(ROOT / "e2e" / "pages")
    page.goto(f"{site_server(tmp_path).url}/pages/wasm.html")
    page.wait_for_selector("html[data-ready]", state="attached")
    return page


def turned(rows: int) -> Graph:
    b = GraphBuilder("turned")
    n = b.symbol("n", rows)
    x = b.input("x", DType.FLOAT32, (n, 7, 50))
    y = b.reshape(b.transpose(x, (0, 2, 1)), (n, 10, 35))
    b.output("y", b.transpose(y, (2, 1, 0)))
    return b.build()


def facts_of(page: Page, **options: Any) -> DeviceFacts:
    return DeviceFacts.from_dict(page.evaluate("options => openDevice(options)", options))


@engines("chromium", "firefox")
def test_a_plan_with_a_symbol(wasm: Page) -> None:
    for module, threads in MODULES:
        facts = facts_of(wasm, module=module, threads=threads)
        assert facts.limits["threads"] == threads
        assert ("relaxed-simd" in facts.features) is (module != "simd")
        plan = compile_plan({"main": turned(300)}, {}, facts).to_json()
        arrays = {n: np.random.default_rng(n).random((n, 7, 50), dtype=np.float32) for n in ROWS}
        jobs = [
            {"plan": plan, "inputs": {"x": base64.b64encode(x.tobytes()).decode()},
             "bindings": {"n": n}, "outputs": ["y"]}
            for n, x in arrays.items()
        ]  # fmt: skip
        results = wasm.evaluate("jobs => runAll(jobs)", jobs)
        for (n, x), result in zip(arrays.items(), results, strict=True):
            assert "error" not in result, result
            got = np.frombuffer(base64.b64decode(result["outputs"]["y"]), np.float32)[: x.size]
            want = x.transpose(0, 2, 1).reshape(n, 10, 35).transpose(2, 1, 0)
            assert np.array_equal(got.reshape(want.shape), want)
