"""What is asked of a machine before a choice: features, stored bytes, built-ins, times."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from edgewise.host.builtins import Availability, Interface, NoBuiltins
from edgewise.host.reference import FACTS
from edgewise.hub.index import Entry, Index, Part, Variant
from edgewise.hub.language import alike
from edgewise.hub.machine import builtins_of, features_of, missing_bytes, options_of
from edgewise.router.look import seconds_of
from edgewise.router.place import Found
from edgewise.router.predict import Rates, Work, predict
from edgewise.store.folder import Folder
from edgewise.targets.device import DeviceFacts
from tests.store.models import digest, manifest_of, random_bytes

GPU = DeviceFacts("webgpu", "gpu", frozenset({"shader-f16"}), {}, 0, 0, False)
WASM = DeviceFacts("wasm", "cpu", frozenset({"relaxed-simd"}), {"threads": 4}, 0, 0, False)


def variant(name: str, *urls: str, needs: frozenset[str] = frozenset()) -> Variant:
    parts = tuple(Part(url, url, 60) for url in urls)
    return Variant(name, "gguf", None, parts, 60, 4, 60, needs)


def test_features() -> None:
    assert features_of([]) == frozenset()
    assert features_of([GPU]) == {"webgpu", "shader-f16"}
    assert features_of([WASM, FACTS]) == {"wasm", "relaxed-simd", "wasm-threads", "reference"}
    alone = DeviceFacts("wasm", "cpu", frozenset(), {"threads": 1}, 0, 0, False)
    assert features_of([alone]) == {"wasm"}


def test_bytes_that_are_here_count_wherever_they_came_from(tmp_path: Path) -> None:
    data = random_bytes(60)
    old, new = manifest_of(data, [10, 20, 30]), manifest_of(data, [10, 20, 30])
    changed = manifest_of(data[:30] + random_bytes(30, 1), [10, 20, 30])
    index = Index((Entry("m", "t", variants=(
        variant("a", "https://a.test/old"), variant("b", "https://a.test/new"),
        variant("c", "https://a.test/changed"), variant("d", "https://a.test/never-seen"),
        variant("e", "https://a.test/old-form"),
    )),))  # fmt: skip
    store = Folder(tmp_path)
    for begin, end in ((0, 10), (10, 30), (30, 60)):
        store.put(digest(data[begin:end]), data[begin:end])

    async def found() -> dict[str, int]:
        for name, manifest in (("old", old), ("new", new), ("changed", changed)):
            await store.put_text(f"manifest https://a.test/{name}", manifest.to_json())
        await store.put_text("manifest https://a.test/old-form", "{}")
        return await missing_bytes(store, index)

    assert asyncio.run(found()) == {
        "https://a.test/old": 0, "https://a.test/new": 0, "https://a.test/changed": 30,
    }  # fmt: skip


def test_nothing_is_here(tmp_path: Path) -> None:
    index = Index((Entry("m", "t", variants=(variant("a", "https://a.test/m"),)),))
    assert asyncio.run(missing_bytes(Folder(tmp_path), index)) == {}


@pytest.mark.parametrize(
    ("interface", "languages", "options"),
    [
        ("Translator", ("en", "ja"), {"sourceLanguage": "en", "targetLanguage": "ja"}),
        ("LanguageModel", (), {}),
        ("LanguageModel", ("en",), {
            "expectedInputs": [{"type": "text", "languages": ["en"]}],
            "expectedOutputs": [{"type": "text", "languages": ["en"]}],
        }),
        ("Summarizer", ("en",), {"expectedInputLanguages": ["en"], "outputLanguage": "en"}),
        ("LanguageDetector", ("en", "de"), {"expectedInputLanguages": ["en", "de"]}),
    ],
)  # fmt: skip
def test_options(interface: Interface, languages: tuple[str, ...], options: object) -> None:
    assert options_of(interface, languages) == options


class Asked(NoBuiltins):
    """A browser that has a Translator."""

    def __init__(self) -> None:
        self.log: list[tuple[Interface, Mapping[str, object]]] = []

    async def availability(
        self, interface: Interface, options: Mapping[str, object]
    ) -> Availability:
        self.log.append((interface, options))
        return "downloadable" if interface == "Translator" else "unavailable"


def test_a_browser_is_asked_about_the_task_alone() -> None:
    index = Index((
        Entry("a", "translation", builtin="Translator"),
        Entry("b", "summarization", builtin="Summarizer"),
    ))  # fmt: skip
    browser = Asked()
    asked = builtins_of(browser, index, "translation", ("en", "ja"))
    assert asyncio.run(asked) == {"Translator": "downloadable"}
    assert asyncio.run(builtins_of(browser, index, "summarization")) == {
        "Summarizer": "unavailable"
    }
    assert asyncio.run(builtins_of(browser, index, "translation")) == {}  # from what to what?
    assert browser.log == [
        ("Translator", {"sourceLanguage": "en", "targetLanguage": "ja"}), ("Summarizer", {}),
    ]  # fmt: skip


def test_times_are_those_of_the_fastest_device_that_can() -> None:
    slow, fast = Rates(1e3, 1e3, 1e6), Rates(1e5, 1e5, 1e6)
    devices = [Found("wasm", WASM, slow), Found("webgpu", GPU, fast)]
    work = Work(60, 2, 60)
    either, only_wasm, nobody = (
        variant("v", "u", needs=frozenset(needs)) for needs in ((), ("wasm",), ("webnn",))
    )
    seconds = seconds_of(devices)
    assert seconds(either) == predict(fast, work).answer_s
    assert seconds(only_wasm) == predict(slow, work).answer_s
    assert seconds(nobody) is None
    assert seconds_of([Found("wasm", WASM)])(either) is None
    assert seconds_of([])(either) is None


@pytest.mark.parametrize(
    ("known", "asked", "same"),
    [
        ("en", "en", True), ("en", "EN-gb", True), ("pt-BR", "pt", True), ("pt-BR", "pt-PT", False),
        ("zh-Hant", "zh-Hant-TW", True), ("zh-Hans", "zh-Hant", False), ("en", "eng", False),
    ],
)  # fmt: skip
def test_languages(known: str, asked: str, same: bool) -> None:
    assert alike(known, asked) is same
