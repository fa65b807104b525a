"""Five questions typed into the real page, answered by the real model, token for token.

The oracle is Hugging Face transformers in float32 (tests/oracles/smollm2.py). Where its two best
logits are closer than CLOSE, another token would be right too; that this is so nowhere is
asserted, so that every token has to be the oracle's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from e2e.asking import ANSWER_MS, ORACLE, answer, ask, exchange, fact, new_conversation, token_ids
from e2e.browsers import engines
from e2e.conftest import BUILT_SITE
from e2e.server import SiteServer

CLOSE = 1e-3
N_TOKENS = 32
MINUTES_S = 600


def answers_all(page: Page, where: str) -> None:
    """Ask every question in a conversation of its own, and compare."""
    assert len(ORACLE) == 5
    wrong = {}
    for number, (name, wanted) in enumerate(ORACLE.items(), start=1):
        assert min(wanted["margins"]) >= CLOSE, f"{name}: the oracle itself is not certain"
        ask(page, wanted["question"])
        exchange(page, number, "done", timeout=ANSWER_MS)
        got = token_ids(page, number)
        assert len(wanted["tokens"]) == N_TOKENS
        if got != wanted["tokens"]:
            wrong[name] = got
        assert answer(page, number).locator(".text").text_content() == wanted["text"]
        expect(answer(page, number)).to_have_attribute("data-where", where)
        print(f"{name}: {answer(page, number).locator('.note').text_content()}")
        new_conversation(page)
    assert wrong == {}


@engines("chromium", "firefox")
@pytest.mark.timeout(MINUTES_S)
def test_on_this_device(page: Page, site: SiteServer) -> None:
    page.goto(f"{site.url}/?policy=local&target=webgpu&tokens={N_TOKENS}")
    answers_all(page, "webgpu")
    assert "compiled by Python here" in fact(page, "Plan")
    expect(page.get_by_role("status")).to_have_text("Ready. Answers are made on this device.")
    assert not [request for request in site.log if request.method == "POST"]


@engines("chromium", "firefox_no_gpu")
@pytest.mark.timeout(MINUTES_S)
def test_on_the_processor(page: Page, site: SiteServer) -> None:
    """Without WebGPU and without a server; where there is a GPU in software, Wasm is the faster."""
    page.goto(f"{site.url}/?tokens={N_TOKENS}")
    answers_all(page, "wasm")
    expect(page.get_by_role("status")).to_have_text("Ready. Answers are made on this device.")
    expect(page.locator("#candidates [data-state=chosen]")).to_contain_text("Wasm")
    modules = [request.path for request in site.log if request.path.endswith(".wasm")]
    assert {Path(path).name for path in modules} - {"pyodide.asm.wasm"} == {"threads.wasm"}
    assert not [request for request in site.log if request.method == "POST"]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """`edgewise serve` with the built site, and a store of its own; its address."""
    edgewise = str(Path(sys.executable).with_name("edgewise"))
    environment = {**os.environ, "EDGEWISE_STORE": str(tmp_path / "store")}
    with subprocess.Popen(
        [edgewise, "serve", "--site", str(BUILT_SITE), "--port", "0"],
        env=environment, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout
        line = process.stdout.readline()
        yield line.removeprefix("Edgewise serves ").split()[0]
        process.terminate()


@engines("firefox_no_gpu")
@pytest.mark.timeout(MINUTES_S)
def test_on_the_server(page: Page, served: str) -> None:
    """The page gets the same answers from `edgewise serve`, and says so."""
    page.goto(f"{served}/?policy=server&tokens={N_TOKENS}")
    answers_all(page, "server")
    expect(page.get_by_role("status")).to_have_text("Ready. Answers are made on the server.")
    expect(page.locator("#candidates [data-state=chosen]")).to_contain_text(
        "the policy 'server' asks for the server"
    )
