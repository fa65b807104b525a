"""Weights that several plans use lie on a page's device once, and go with the last of them."""

from __future__ import annotations

from pathlib import Path

from e2e.browsers import Engine, engines
from e2e.python_page import PythonPage
from tests.runtime import sharing
from tests.runtime.test_sharing import check

STORY = """
    names = {}
    exec(source, names)
    return await names["story"](host, "webgpu", order)
"""


@engines("chromium")
def test_weights_are_kept_once(python: PythonPage, engine: Engine) -> None:
    source = Path(sharing.__file__).read_text()
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2)):
        check(python.run(STORY, source=source, order=order), order, "webgpu")
