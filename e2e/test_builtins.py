"""The browser's own models, from Python in a worker through the window that has them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext

from e2e.browsers import ROOT, Engine, engines
from e2e.python_page import PythonPage, lay_out
from e2e.server import SiteServer

STANDINS = (ROOT / "e2e" / "pages" / "standins.js").read_text()
#: How a failure is told: the error's class and its text.
REFUSED = """
from edgewise.errors import EdgewiseError
try:
    {code}
except EdgewiseError as error:
    return [error.code, str(error)]
"""


def refused(python: PythonPage, code: str) -> tuple[str, str]:
    name, text = python.run(REFUSED.format(code=code.replace("\n", "\n    ")))
    return name, text


def clicked(python: PythonPage) -> PythonPage:
    """After a person's click: browsers want one before they download a model."""
    python.page.mouse.click(5, 5)
    return python


@engines("chromium_webnn")
def test_a_real_language_model_answers(python: PythonPage, engine: Engine) -> None:
    assert "LanguageModel" in engine.builtins
    assert python.run("return await host.builtins.availability('LanguageModel', {})") in (
        "downloadable", "available",
    )  # fmt: skip
    told, whole, pieces, messages = clicked(python).run("""
        told = []
        options = {"initialPrompts": [{"role": "system", "content": "Be brief."}]}
        model = await host.builtins.open("LanguageModel", options, told.append)
        whole = await model.run("Why is the sky blue?")
        pieces = [piece async for piece in model.stream("And the sea?")]
        messages = await model.run([{"role": "user", "content": "And the grass?"}])
        await model.close()
        return told, whole, pieces, messages
    """)
    assert (told[0], told[-1]) == (0, 1)
    assert whole.endswith("Why is the sky blue?")
    assert "And the sea?" in "".join(pieces)
    assert "And the grass?" in messages


@engines("chromium_webnn")
def test_a_real_summarizer_answers_and_is_gone_once_closed(python: PythonPage) -> None:
    text, after = clicked(python).run("""
        from edgewise.errors import HostError
        model = await host.builtins.open("Summarizer", {"type": "tldr"})
        text = await model.run("A long story.")
        await model.close()
        try:
            await model.run("Another one.")
        except HostError as error:
            return text, str(error)
    """)
    assert text.endswith("A long story.")
    assert "it was closed" in after


@engines("chromium_webnn")
def test_a_model_that_the_real_browser_lacks_is_refused(python: PythonPage) -> None:
    clicked(python)
    code, text = refused(python, "await host.builtins.open('LanguageDetector', {})")
    assert code in ("HostError", "UnsupportedError")
    assert text.startswith("LanguageDetector: got ")


@engines("chromium_webnn")
def test_the_hub_takes_the_real_built_in(python: PythonPage) -> None:
    """From a query to an answer: nothing is downloaded, the browser's own model answers."""
    reason, text = clicked(python).run("""
        from edgewise.hub.index import Entry, Index
        from edgewise.hub.machine import Machine, builtins_of, options_of
        from edgewise.hub.resolve import best, resolve

        index = Index((Entry("own", "summarization", builtin="Summarizer"),))
        machine = Machine(builtins=await builtins_of(host.builtins, index, "summarization"))
        choices = resolve("summarization", index=index, machine=machine)
        made = best("summarization", choices)
        model = await host.builtins.open(made.offer, options_of(made.offer, ()))
        text = await model.run("It was the best of times.")
        await model.close()
        return choices[0].reason, text
    """)
    assert reason.startswith("built into this browser")
    assert text.endswith("It was the best of times.")


@engines("firefox")
def test_a_browser_without_them_says_so(python: PythonPage) -> None:
    python.page.evaluate(
        "['Translator', 'LanguageDetector'].forEach((name) => delete globalThis[name])"
    )
    told = python.run("""
        from edgewise.host.builtins import INTERFACES
        return [await host.builtins.availability(name, {}) for name in INTERFACES]
    """)
    assert told == ["unavailable"] * 4
    code, text = refused(python, "await host.builtins.open('Summarizer', {})")
    assert (code, text.split("\n")[0]) == (
        "NoDeviceError", "no Summarizer here: got a browser without it; need one that has it",
    )  # fmt: skip


@pytest.fixture
def standin(python: PythonPage) -> PythonPage:
    """The page with Translator and LanguageDetector put in its window."""
    python.page.evaluate(f"() => {{ {STANDINS} }}")
    return python


def asked(python: PythonPage) -> list[Any]:
    found: list[Any] = python.page.evaluate("asked")
    return found


@engines("chromium_webnn", "firefox")
def test_a_stand_in_for_the_translator_translates(standin: PythonPage) -> None:
    ready, same, told, whole, pieces = standin.run("""
        pair = {"sourceLanguage": "en", "targetLanguage": "ja"}
        same = {"sourceLanguage": "en", "targetLanguage": "en"}
        ask = host.builtins.availability
        told = []
        model = await host.builtins.open("Translator", pair, told.append)
        whole = await model.run("Hello")
        pieces = [piece async for piece in model.stream("one two three")]
        await model.close()
        return await ask("Translator", pair), await ask("Translator", same), told, whole, pieces
    """)
    assert (ready, same) == ("downloadable", "unavailable")
    assert told == [0, 0.5, 1]
    assert whole == "en→ja: Hello"
    assert pieces == ["one ", "two ", "three "]
    options = {"sourceLanguage": "en", "targetLanguage": "ja"}
    assert asked(standin) == [["create", "Translator", options], ["destroy", "Translator"]]


@engines("chromium_webnn", "firefox")
def test_a_stand_in_for_the_detector_detects(standin: PythonPage) -> None:
    found = standin.run("""
        model = await host.builtins.open("LanguageDetector", {})
        return await model.detect("Bonjour")
    """)
    assert found == [["fr", 0.9], [None, 0.1]]


@engines("chromium_webnn", "firefox")
def test_cancelling_ends_the_work_of_a_stand_in(standin: PythonPage) -> None:
    first = standin.run("""
        import asyncio
        pair = {"sourceLanguage": "en", "targetLanguage": "ja"}
        model = await host.builtins.open("Translator", pair)
        running = asyncio.ensure_future(model.run("wait"))
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])
        pieces = model.stream("one wait")
        first = await anext(pieces)
        await pieces.aclose()
        await model.run("one more")  # what was cancelled before it has arrived there
        return [running.cancelled(), first]
    """)
    assert first == [True, "one "]
    assert asked(standin)[1:] == [["aborted", "Translator"]] * 2


FAILURES = [
    ("{'sourceLanguage': 'en', 'targetLanguage': 'en'}", "", "UnsupportedError", "no such pair"),
    ("{'sourceLanguage': 'xx', 'targetLanguage': 'en'}", "", "DownloadError", "no network"),
    ("{'sourceLanguage': 'en', 'targetLanguage': 'ja'}", "x" * 101, "ContextOverrunError",
     "give it a shorter text"),
]  # fmt: skip


@engines("firefox")
@pytest.mark.parametrize(("options", "text", "code", "says"), FAILURES)
def test_errors_of_a_stand_in_have_names(
    standin: PythonPage, options: str, text: str, code: str, says: str
) -> None:
    call = f"await (await host.builtins.open('Translator', {options})).run({text!r})"
    name, told = refused(standin, call)
    assert name == code
    assert says in told


@engines("chromium")
def test_a_page_is_told_what_its_window_is_told(
    new_context: Callable[[], BrowserContext],
    site_server: Callable[[Path], SiteServer],
    tmp_path: Path,
) -> None:
    """By shims/page.js, as the product's pages have it; a real call of each interface."""
    lay_out(tmp_path)
    for name in ("told.html", "told.py"):
        (tmp_path / name).symlink_to(ROOT / "e2e" / "pages" / name)
    page = new_context().new_page()
    page.goto(f"{site_server(tmp_path).url}/told.html")
    page.wait_for_function("document.getElementById('said').textContent")
    window = page.evaluate("""async () => {
      const input = { expectedInputLanguages: ["en"] };
      const text = [{ type: "text", languages: ["en"] }];
      const ask = (name, options) => globalThis[name]?.availability(options) ?? "unavailable";
      return {
        LanguageModel: await ask("LanguageModel", { expectedInputs: text, expectedOutputs: text }),
        Translator: await ask("Translator", { sourceLanguage: "en", targetLanguage: "fr" }),
        Summarizer: await ask("Summarizer", { ...input, outputLanguage: "en" }),
        LanguageDetector: await ask("LanguageDetector", input),
      };
    }""")
    assert json.loads(page.inner_text("#said")) == window
