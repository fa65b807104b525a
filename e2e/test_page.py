"""The chat page in real browsers: what it shows, how it is used by keyboard, and its errors.

The answers come from a server that is made to order here, so that nothing depends on a model.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from e2e.asking import BOOT_MS, ask, exchange, kept_offline, shown_error
from e2e.browsers import ROOT, engines
from e2e.server import SiteServer, serve_asgi

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
PACE_S = 0.01
ANSWER = "Paris.\n\nIt has <b>cafés</b> ☕ & 20 districts."

bodies: list[dict[str, Any]] = []


def chunk(content: str, ids: list[int], finish: str | None = None) -> str:
    choice = {
        "delta": {"content": content},
        "finish_reason": finish,
        "edgewise": {"token_ids": ids},
    }
    return f"data: {json.dumps({'choices': [choice]})}\n\n"


async def stream(words: list[str]) -> AsyncIterator[str]:
    for number, word in enumerate(words):
        yield chunk(word, [number])
        await asyncio.sleep(PACE_S)
    yield chunk("", [], "stop")
    yield "data: [DONE]\n\n"


async def complete(request: Request) -> Response:
    body = await request.json()
    bodies.append(body)
    question = body["messages"][-1]["content"]
    if question == "refuse":
        return JSONResponse({"error": {"message": "too many questions"}}, 429)
    words = [f"{n} " for n in range(1000)] if question == "count" else list(ANSWER)
    return StreamingResponse(stream(words), media_type="text/event-stream")


async def ready(request: Request) -> Response:
    return JSONResponse({"status": "ready", "model": "made-to-order", "data": []})


@pytest.fixture(scope="module")
def answers() -> Iterator[str]:
    """The address of the server that answers."""
    routes = [
        Route("/healthz", ready),
        Route("/v1/models", ready),
        Route("/v1/chat/completions", complete, methods=["POST"]),
    ]
    anyone = Middleware(
        CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"]
    )
    with serve_asgi(Starlette(routes=routes, middleware=[anyone])) as address:
        yield address


@pytest.fixture
def chat(page: Page, site: SiteServer, answers: str) -> Page:
    """The page, opened, with answers from the server."""
    page.goto(f"{site.url}/?policy=server&server={answers}")
    return page


@engines("chromium", "firefox_no_gpu")
def test_answer_is_streamed_as_text(chat: Page) -> None:
    ask(chat, "What is <i>the</i> capital?")
    exchange(chat, 1, "done")
    answer = chat.locator("#echo-1 .answer")
    assert answer.locator(".text").text_content() == ANSWER
    assert chat.locator("#echo-1 .question p").text_content() == "What is <i>the</i> capital?"
    assert chat.locator("#log b, #log i").count() == 0
    ids = ",".join(map(str, range(len(ANSWER))))
    expect(answer).to_have_attribute("data-token-ids", ids)
    expect(answer).to_have_attribute("data-where", "server")
    figures = rf"^{len(ANSWER)} tokens · .* tokens/s · first token after .* · on the server$"
    assert chat.locator("#echo-1 .note").evaluate(
        f"e => new RegExp({figures!r}).test(e.textContent)"
    )
    expect(chat.locator("#loading")).to_be_hidden()
    expect(chat.get_by_role("status")).to_have_text("Ready. Answers are made on the server.")


@engines("chromium", "firefox_no_gpu")
def test_a_question_is_taken_before_python_runs(page: Page, site: SiteServer, answers: str) -> None:
    page.goto(f"{site.url}/?policy=server&server={answers}", wait_until="commit")
    page.wait_for_load_state("domcontentloaded")
    ask(page, "one")
    ask(page, "two")
    # Pyodide needs longer than this takes
    expect(page.locator("#echo-1 .note")).to_have_text("Waiting: Python is starting.")
    expect(page.locator("#question")).to_be_enabled()
    expect(page.locator("#question")).to_have_value("")
    exchange(page, 2, "done")
    sent = [message["content"] for message in bodies[-1]["messages"]]
    assert sent == ["one", ANSWER, "two"]


@engines("chromium", "firefox_no_gpu")
def test_stop_and_new_conversation(chat: Page) -> None:
    ask(chat, "count")
    text = chat.locator("#echo-1 .text")
    expect(text).to_contain_text("5 6 7", timeout=BOOT_MS)
    expect(chat.get_by_role("log")).to_have_attribute("aria-busy", "true")
    ask(chat, "after")
    expect(chat.locator("#echo-2 .note")).to_have_text("Waiting: the answer above comes first.")
    chat.keyboard.press("Escape")
    exchange(chat, 1, "done")
    expect(chat.locator("#echo-1 .note")).to_contain_text("stopped")
    assert "999" not in (text.text_content() or "")
    exchange(chat, 2, "done")
    assert chat.get_by_role("log").get_attribute("aria-busy") is None

    ask(chat, "count")
    expect(chat.locator("#echo-3 .text")).to_contain_text("5 6 7")
    chat.get_by_role("button", name="Stop").click()
    exchange(chat, 3, "done")
    expect(chat.get_by_role("button", name="Stop")).to_be_hidden()

    chat.get_by_role("button", name="New conversation").click()
    expect(chat.locator(".exchange")).to_have_count(0)
    expect(chat.locator("#question")).to_be_focused()
    ask(chat, "fresh")
    exchange(chat, 4, "done")
    assert [message["content"] for message in bodies[-1]["messages"]] == ["fresh"]


@engines("chromium", "firefox_no_gpu")
def test_named_errors_and_the_next_request_works(chat: Page) -> None:
    ask(chat, "refuse")
    shown_error(chat, "ServerError")
    expect(chat.get_by_role("alert")).to_contain_text("too many questions")
    exchange(chat, 1, "failed")
    ask(chat, "")
    shown_error(chat, "EmptyPromptError")
    chat.get_by_role("button", name="Dismiss").click()
    expect(chat.locator("#error")).to_be_hidden()
    ask(chat, "again")
    exchange(chat, 2, "done")
    expect(chat.locator("#error")).to_be_hidden()


@engines("firefox_no_gpu")
def test_without_gpu_and_server(page: Page, site: SiteServer) -> None:
    """A static host, and a browser that lacks what is asked for: the page says so, each time."""
    page.goto(f"{site.url}/?target=webgpu")
    shown_error(page, "NoDeviceError")
    expect(page.locator("#device-summary")).to_contain_text("No WebGPU here.")
    page.locator("summary").click()
    report = page.locator("#facts")
    for name in ("WebGPU", "Storage", "Isolated page", "Start of Python"):
        expect(report.locator("dt", has_text=name)).to_be_visible()
    for number in (1, 2):
        ask(page, "Is anybody there?")
        exchange(page, number, "failed")
        shown_error(page, "NoDeviceError")
    assert not [request for request in site.log if request.path.endswith(".gguf")]


@engines("chromium", "firefox")
def test_report_of_a_gpu(page: Page, site: SiteServer, answers: str) -> None:
    page.goto(f"{site.url}/?policy=server&server={answers}")
    expect(page.locator("#device-summary")).to_contain_text("WebGPU on", timeout=BOOT_MS)
    page.locator("summary").click()
    for name in ("Half precision", "Subgroups", "Largest binding", "Workgroup"):
        value = page.locator("#facts > div", has=page.locator("dt", has_text=name)).locator(
            ".value"
        )
        assert value.text_content()
    chosen = page.locator("#candidates [data-state=chosen]")
    expect(chosen).to_contain_text("The server: the policy 'server' asks for the server")
    expect(page.locator("#candidates [data-state=rejected]")).to_have_count(2)


@engines("chromium", "firefox_no_gpu")
def test_keyboard(chat: Page) -> None:
    expect(chat.get_by_role("status")).to_contain_text("Ready", timeout=BOOT_MS)
    reached = []
    for _ in range(9):
        chat.keyboard.press("Tab")
        reached.append(chat.evaluate("document.activeElement.textContent.trim().slice(0, 20)"))
        if chat.evaluate("document.activeElement.id") == "question":
            break
    assert [name.split("\n")[0][:11] for name in reached] == [
        "Skip to the", "New convers", "your own ON", "This device", "What is the", "Why is the ",
        "Write a hai", "",
    ]  # fmt: skip
    chat.keyboard.type("first")
    chat.keyboard.press("Shift+Enter")
    chat.keyboard.type("second")
    expect(chat.locator("#question")).to_have_value("first\nsecond")
    chat.keyboard.press("Enter")
    exchange(chat, 1, "done")
    assert bodies[-1]["messages"][-1]["content"] == "first\nsecond"
    expect(chat.locator("#question")).to_be_focused()


@engines("chromium")
def test_an_example_fills_the_question(chat: Page) -> None:
    chat.get_by_role("button", name="Why is the sky blue?").click()
    expect(chat.locator("#question")).to_have_value("Why is the sky blue?")
    expect(chat.locator("#question")).to_be_focused()


@engines("chromium", "firefox_no_gpu")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessible(
    new_context: Callable[[], BrowserContext],
    site: SiteServer,
    answers: str,
    scheme: Literal["light", "dark"],
) -> None:
    """axe finds nothing, wide or narrow, at work or in error; and nothing is cut off sideways."""
    page = new_context().new_page()
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{site.url}/?policy=server&server={answers}")
    assert axe(page) == []
    ask(page, "What is the capital?")
    exchange(page, 1, "done")
    ask(page, "refuse")
    shown_error(page, "ServerError")
    page.locator("summary").click()
    for width in (1100, 360):
        page.set_viewport_size({"width": width, "height": 740})
        assert axe(page) == [], f"{width=}"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{width=}"


def axe(page: Page) -> list[str]:
    """What axe-core objects to: rule and element."""
    page.evaluate(AXE.read_text())
    found: list[str] = page.evaluate(
        "async () => (await axe.run()).violations.flatMap("
        "rule => rule.nodes.map(node => `${rule.id}: ${node.html}`))"
    )
    return found


@engines("chromium", "firefox_no_gpu")
def test_python_that_does_not_start(
    page: Page, site: SiteServer, site_server: Callable[[Path], SiteServer], tmp_path: Path
) -> None:
    """A site that was not served whole says what is missing, and keeps what was typed."""
    broken = tmp_path / "site"
    shutil.copytree(site.root, broken, symlinks=True, ignore=shutil.ignore_patterns("models"))
    next(broken.glob("wheels/*.whl")).unlink()
    page.goto(f"{site_server(broken).url}/")
    ask(page, "Anybody?")
    shown_error(page, "HostError")
    box = page.get_by_role("alert")
    expect(box).to_contain_text("Python did not start: /wheels/edgewise-")
    expect(box).to_contain_text("HTTP 404")
    expect(page.locator("#echo-1 .question")).to_have_text("You askedAnybody?")


@engines("chromium", "firefox_no_gpu")
def test_second_visit_without_a_network(chat: Page, site: SiteServer) -> None:
    """The service worker has the page, Python and Edgewise; only the server is somewhere else."""
    ask(chat, "one")
    exchange(chat, 1, "done")
    kept_offline(chat)
    site.offline = True
    chat.goto(chat.url)
    ask(chat, "two")
    exchange(chat, 1, "done")
