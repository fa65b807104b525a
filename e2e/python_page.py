"""Python in a page: Pyodide in a worker, with Edgewise as it is in the source tree and NumPy.

    @engines("chromium", "firefox")
    def test_it(python: PythonPage) -> None:
        assert python.run("return (x + 1).tolist()", x=np.arange(3)) == [1, 2, 3]

`run(code, **names)`: `code` is the body of an async function in which `host` (a BrowserHost), `np`,
`fetch_bytes(path)` and `names` are there; names and results are JSON, bytes and NumPy arrays,
nested as one likes. `serve(name, path)` makes a file of this machine readable by `fetch_bytes`: for
models. The page is the module's: it boots once in each browser, by shims/worker.js as the product
does. A traceback is raised as PythonError.
"""

from __future__ import annotations

import base64
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from e2e.browsers import ROOT
from e2e.server import SiteServer
from tools.build_site import package_row, page_packages

PACKAGE = ROOT / "pyapp" / "edgewise"
BOOT_TIMEOUT_MS = 120_000


class PythonError(AssertionError):
    """A snippet raised; the message is its traceback in the page."""


class PythonPage:
    """See the module."""

    def __init__(self, page: Page, folder: Path) -> None:
        self.page, self._folder = page, folder

    def run(self, code: str, **names: Any) -> Any:
        """What the snippet returns. Raises PythonError."""
        data = json.dumps({name: plain(value) for name, value in names.items()})
        answer = self.page.evaluate("([code, data]) => runPython(code, data)", [code, data])
        if "error" in answer:
            raise PythonError(answer["error"])
        return revived(answer["result"])

    def another_tab(self) -> PythonPage:
        """A page of the same origin, with a worker of its own; `page.close()` ends it."""
        page = self.page.context.new_page()
        page.goto(self.page.url)
        page.wait_for_selector("html[data-ready], html[data-failed]", state="attached",
                               timeout=BOOT_TIMEOUT_MS)  # fmt: skip
        return PythonPage(page, self._folder)

    def serve(self, name: str, path: Path) -> str:
        """Serve a file as `/files/NAME`; that path."""
        target = self._folder / "files" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.symlink_to(path.resolve())
        return f"/files/{name}"


def plain(value: Any) -> Any:
    """`value` as JSON, as runner.py has it."""
    if isinstance(value, bytes | bytearray | memoryview):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, np.ndarray | np.generic):
        data = base64.b64encode(value.tobytes()).decode()
        return {"$array": [str(value.dtype), list(value.shape), data]}
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


def revived(value: Any) -> Any:
    """The inverse of `plain`."""
    if isinstance(value, dict) and "$bytes" in value:
        return base64.b64decode(value["$bytes"])
    if isinstance(value, dict) and "$array" in value:
        dtype, shape, data = value["$array"]
        return np.frombuffer(base64.b64decode(data), dtype).reshape(shape).copy()
    if isinstance(value, dict):
        return {key: revived(each) for key, each in value.items()}
    return [revived(each) for each in value] if isinstance(value, list) else value


def lay_out(folder: Path) -> None:
    """What the page loads, linked from where it is; Edgewise as an archive of the source tree."""
    npm = ROOT / "node_modules"
    links = {
        "shims": ROOT / "shims",
        "pages": ROOT / "e2e" / "pages",
        "runner.py": ROOT / "e2e" / "pages" / "runner.py",
        "vendor/pyodide": npm / "pyodide",
        "vendor/tokenizers.mjs": npm / "@huggingface/tokenizers/dist/tokenizers.min.mjs",
        "vendor/jinja.mjs": npm / "@huggingface/jinja/dist/index.js",
    }  # fmt: skip
    packages = page_packages()
    for wheels in packages.values():
        links |= wheels
    for name, target in links.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(target)
    with zipfile.ZipFile(folder / "edgewise.whl", "w") as archive:
        for path in sorted(PACKAGE.rglob("*")):
            if path.is_file() and not {"__pycache__", "modules"} & {*path.parts}:
                archive.write(path, path.relative_to(PACKAGE.parent).as_posix())
    named = {name: [package_row(*each) for each in wheels.items()]
             for name, wheels in packages.items()}  # fmt: skip
    build = {"wheel": "edgewise.whl", "models": ["none"], "packages": named}
    (folder / "build.json").write_text(json.dumps(build))


@pytest.fixture(scope="module")
def python(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PythonPage]:
    """A page with Python ready, for all tests of the module in this browser."""
    folder = tmp_path_factory.mktemp("python")
    lay_out(folder)
    with SiteServer(folder) as server:
        context = browser.new_context()
        page = context.new_page()
        console: list[str] = []
        page.on("console", lambda message: console.append(f"{message.type}: {message.text}"))
        page.goto(f"{server.url}/pages/python.html")
        page.wait_for_selector("html[data-ready], html[data-failed]", state="attached",
                               timeout=BOOT_TIMEOUT_MS)  # fmt: skip
        failed = page.evaluate("document.documentElement.dataset.failed")
        assert not failed, f"{failed}\n" + "\n".join(console)
        yield PythonPage(page, folder)
        context.close()
