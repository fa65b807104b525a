"""How tests use the chat page: ask, wait for the answer, read what it says of it."""

from __future__ import annotations

import json
import re
from typing import Any

from playwright.sync_api import Locator, Page, expect

from e2e.browsers import ROOT

#: Questions with the real model's tokens (tests/oracles/smollm2.py).
ORACLE: dict[str, dict[str, Any]] = json.loads(
    (ROOT / "tests" / "data" / "smollm2_oracle.json").read_text()
)["prompts"]
#: Pyodide starts in seconds on a quiet machine, and in more on one with two busy cores.
BOOT_MS = 90_000
#: The model comes onto a CPU that plays GPU, and answers there.
ANSWER_MS = 240_000


def ask(page: Page, question: str) -> None:
    page.locator("#question").fill(question)
    page.keyboard.press("Enter")


def new_conversation(page: Page) -> None:
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator(".exchange")).to_have_count(0)


def exchange(page: Page, number: int, state: str, timeout: float = BOOT_MS) -> None:
    """Wait until the exchange with this number (from 1) is in this state."""
    expect(page.locator(f"#echo-{number}")).to_have_attribute("data-state", state, timeout=timeout)


def answer(page: Page, number: int) -> Locator:
    return page.locator(f"#echo-{number} .answer")


def token_ids(page: Page, number: int) -> list[int]:
    """The tokens of an answer so far."""
    text = answer(page, number).get_attribute("data-token-ids")
    return [int(token) for token in text.split(",")] if text else []


def fact(page: Page, name: str) -> str:
    """A line of the page's report: its value and what is said of it; "" while it is not there."""
    title = page.locator("dt", has_text=re.compile(f"^{re.escape(name)}$"))
    row = page.locator("#facts > div", has=title)
    return " ".join(row.locator("dd").all_text_contents())


def shown_error(page: Page, code: str, timeout: float = BOOT_MS) -> Locator:
    """Wait for an error with this name; the box that shows it."""
    box = page.get_by_role("alert")
    expect(box.locator("[data-part=code]")).to_have_text(f"{code}:", timeout=timeout)
    expect(box).to_be_visible()
    return box


def kept_offline(page: Page) -> None:
    """Wait until the service worker has the whole site."""
    kept = "caches.open('edgewise-site-1').then(kept => kept.match('build.json')).then(Boolean)"
    while not page.evaluate(kept):  # wait_for_function needs eval, which the page forbids
        page.wait_for_timeout(100)
