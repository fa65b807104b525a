"""The page's tokenizer and chat template give what CPython's give, for the site's own model."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from playwright.sync_api import Page
from tokenizers import Tokenizer

from e2e.browsers import engines
from e2e.server import SiteServer
from edgewise.host.template import render

SEED = 7
TEXTS = [
    "", "Hello", "  leading", "trailing  ", "a\n\n\nb", "\t\ttabs", "naïve café",
    "日本語のテキスト", "👩‍👩‍👧‍👦🏳️‍🌈 x", "1234567 12,345.678 ٣٤٥",
    "I'm you're they'll DON'T", "<|endoftext|>x",
    "<|im_start|>user\nhi<|im_end|>\n", "a\u00a0b\u3000c", "\u200b\ufeffx", "e\u0301 vs \u00e9",
    "def f(x):\n    return x**2  # ok\r\n", "مرحبا بالعالم", "한국어", "नमस्ते", "\x00\x01\x7f",
]  # fmt: skip
PIECES = [chr(code) for code in range(32, 127)] + list("\n\t\r\u00a0é\u0301一😀\u200d٣\u2028\u0085")
CONVERSATIONS = [
    [("user", "Hi")],
    [("system", "Be brief."), ("user", " a\n<|im_end|> {{ x }} ")],
    [("user", "a"), ("assistant", "b"), ("user", "'c' \"d\" é 日本")],
]


@pytest.fixture
def manifest(site: SiteServer) -> dict[str, Any]:
    """The manifest of the site's first model."""
    path = json.loads((site.root / "build.json").read_text())["models"][0]
    found: dict[str, Any] = json.loads((site.root / path).read_text())
    return found


@pytest.fixture
def tokenizer_json(site: SiteServer, manifest: dict[str, Any]) -> str:
    """Its tokenizer.json."""
    path: str = manifest["tokenizer"]["url"]
    return (site.root / "models" / path).read_text()


def call(page: Page, site: SiteServer, body: str, argument: object) -> Any:
    """Run `body` in a page of the site's origin, with the shim as `shim`."""
    page.goto(f"{site.url}/chat.css")  # a document without the page's script and its rules
    return page.evaluate(
        f"async (argument) => {{ const shim = await import('/shims/tokenizer.js'); {body} }}",
        argument,
    )


@engines("chromium", "firefox_no_gpu")
def test_same_ids_and_texts(page: Page, site: SiteServer, tokenizer_json: str) -> None:
    rng = random.Random(SEED)
    texts = TEXTS + ["".join(rng.choices(PIECES, k=rng.randrange(1, 60))) for _ in range(200)]
    here = Tokenizer.from_str(tokenizer_json)
    ids = [here.encode(text, add_special_tokens=False).ids for text in texts]
    # ids that no text gives: half characters, special tokens
    n_tokens = here.get_vocab_size()
    loose = [rng.choices(range(n_tokens), k=rng.randrange(1, 6)) for _ in range(200)]
    body = """
        const handle = shim.load(argument.tokenizer);
        const ids = argument.texts.map((text) => Array.from(shim.encode(handle, text)));
        const texts = argument.ids.map((some) => shim.decode(handle, Int32Array.from(some)));
        return { ids, texts };"""
    argument = {"tokenizer": tokenizer_json, "texts": texts, "ids": ids + loose}
    there = call(page, site, body, argument)
    assert dict(zip(texts, there["ids"], strict=True)) == dict(zip(texts, ids, strict=True))
    assert there["texts"] == [here.decode(some) for some in ids + loose], f"{SEED=}"


@engines("chromium", "firefox_no_gpu")
def test_same_prompt(page: Page, site: SiteServer, manifest: dict[str, Any]) -> None:
    chat = manifest["chat"]
    conversations = [
        [{"role": role, "content": text} for role, text in turns] for turns in CONVERSATIONS
    ]
    body = """
        const { template, bos, eos } = argument.chat;
        return argument.conversations.map(
            (messages) => shim.render(template, JSON.stringify(messages), bos, eos));"""
    there = call(page, site, body, {"chat": chat, "conversations": conversations})
    here = [
        render(chat["template"], messages, bos=chat["bos"], eos=chat["eos"])
        for messages in conversations
    ]
    assert there == here


@engines("chromium", "firefox_no_gpu")
def test_what_is_no_tokenizer_or_template(page: Page, site: SiteServer) -> None:
    body = """
        const attempt = (call) => { try { call(); } catch (error) { return error.code; } };
        return [
            attempt(() => shim.load("{")),
            attempt(() => shim.render("{% if %}", "[]", "", "")),
            attempt(() => shim.render("{{ raise_exception('no') }}", "[]", "", "")),
        ];"""
    assert call(page, site, body, None) == ["FormatError", "FormatError", "InputError"]
