"""The browsers that tests run in: one row a browser, with what it is known to have.

Playwright's own builds are used where they are installed, else Debian's, else (for WebNN) the
one that set-up unpacked. `engines(...)` picks the rows that a test is for.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserType, Playwright

ROOT = Path(__file__).resolve().parent.parent
WEBNN_CHROMIUM = ROOT / ".cache" / "browsers" / "chromium-webnn" / "chromium"
FIREFOX_HOME = ROOT / "build" / "e2e" / "firefox-home"

#: WebGPU on the CPU: the same adapter on every machine.
SWIFTSHADER = ["--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"]
FIREFOX_WEBGPU: dict[str, str | float | bool] = {
    "dom.webgpu.enabled": True,
    "dom.webgpu.workers.enabled": True,
    "gfx.webgpu.ignore-blocklist": True,
    "gfx.webgpu.force-enabled": True,
}


@dataclass(frozen=True, slots=True)
class Engine:
    """One browser with its flags.

    webgpu    whether a dedicated worker gets a WebGPU device
    features  optional WebGPU features that tests count on, `lacks` those that it must not have
    webnn     whether `navigator.ml` gives a context
    builtins  its own models that can be opened
    """

    name: str
    launch: Callable[[Playwright], Browser]
    webgpu: bool
    features: frozenset[str] = frozenset()
    lacks: frozenset[str] = frozenset()
    webnn: bool = False
    builtins: frozenset[str] = frozenset()


def _executable(kind: BrowserType, name: str) -> str | None:
    """None for Playwright's own build, else the path of the system's; skips where neither is."""
    if Path(kind.executable_path).exists():
        return None
    return shutil.which(name) or pytest.skip(f"{name} is missing: run tools/setup.py")


def _chromium(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(
        executable_path=_executable(playwright.chromium, "chromium"),
        args=[*SWIFTSHADER, "--enable-features=Vulkan"],
    )


def _chromium_webnn(playwright: Playwright) -> Browser:
    if not WEBNN_CHROMIUM.exists():
        pytest.skip("the Chromium with WebNN is missing: run tools/setup.py")
    return playwright.chromium.launch(
        executable_path=WEBNN_CHROMIUM,
        args=[*SWIFTSHADER, "--enable-features=WebMachineLearningNeuralNetwork,AIPromptAPI"],
    )


def _firefox(playwright: Playwright, prefs: dict[str, str | float | bool]) -> Browser:
    executable = _executable(playwright.firefox, "firefox-esr")
    # Firefox refuses a home that belongs to somebody else, which is what root under sudo has.
    FIREFOX_HOME.mkdir(parents=True, exist_ok=True)
    return playwright.firefox.launch(
        executable_path=executable,
        channel="moz-firefox" if executable else None,
        firefox_user_prefs=prefs,
        env={**os.environ, "HOME": str(FIREFOX_HOME)},
    )


def _webkit(playwright: Playwright) -> Browser:
    if not Path(playwright.webkit.executable_path).exists():
        pytest.skip("WebKit for Playwright is missing: no package registry carries it")
    return playwright.webkit.launch()


ENGINES = {
    engine.name: engine
    for engine in (
        Engine("chromium", _chromium, webgpu=True, features=frozenset({"subgroups"}),
               lacks=frozenset({"shader-f16"})),
        # the models behind its interfaces answer with what they were given
        Engine("chromium_webnn", _chromium_webnn, webgpu=True, webnn=True,
               builtins=frozenset({"LanguageModel", "Summarizer"})),
        Engine("firefox", lambda p: _firefox(p, FIREFOX_WEBGPU), webgpu=True,
               features=frozenset({"shader-f16"}), lacks=frozenset({"subgroups"})),
        Engine("firefox_no_gpu", lambda p: _firefox(p, {}), webgpu=False),
        Engine("webkit", _webkit, webgpu=False),
    )
}  # fmt: skip


def engines(*names: str) -> pytest.MarkDecorator:
    """Run a test once in each of these browsers; in every one where none is named."""
    unknown = set(names) - ENGINES.keys()
    assert not unknown, f"{unknown=}, known are {list(ENGINES)}"
    return pytest.mark.parametrize("engine", names or list(ENGINES), indirect=True)
