"""Real ONNX models in browsers, by Python in a page, against onnxruntime.

WebGPU in Chromium and Firefox, the browser's own WebNN where it has one. The structure comes
packed as JSON, so that the page needs no `onnx` package; weights are fetched as bytes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from e2e.browsers import Engine, engines
from e2e.python_page import PythonPage
from edgewise.formats.onnx_json import to_json
from edgewise.formats.onnx_read import parse
from tests.models.cases import CASES, Case
from tests.models.official import Official, check

#: What takes a GPU in software many seconds a run: the real picture alone.
LARGE = {"detection-320x320", "detection-640x480"}
OPEN = """
    from edgewise.formats.onnx_json import from_json
    from edgewise.runtime.onnx import Files, OnnxSession

    onnx = from_json((await fetch_bytes(structure)).decode())
    data = {name: await fetch_bytes(path) for name, path in files.items()}
    session = await OnnxSession.open(host, onnx, Files.joined(data), target=target)
    results, carried = [], {}
    try:
        for inputs in runs:
            outputs = await session.run({**inputs, **carried})
            carried = {goes_to: outputs[name] for name, goes_to in carry.items()}
            results.append(outputs)
        return results
    finally:
        await session.close()"""


def served(python: PythonPage, case: Case, scratch: Path) -> dict[str, Any]:
    """The paths of a model's files in the page."""
    model = case.model
    structure = scratch / f"{model.file.name}.json"
    structure.write_text(to_json(parse(model.file.read_bytes())))
    files = {"": model.file, **{path.name: path for path in model.beside}}
    return {
        "structure": python.serve(structure.name, structure),
        "files": {name: python.serve(path.name, path) for name, path in files.items()},
    }


@engines("chromium", "firefox", "chromium_webnn")
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", CASES)
def test_agrees_with_onnxruntime(
    python: PythonPage, engine: Engine, name: str, tmp_path: Path
) -> None:
    case = CASES[name]
    target = "webnn" if engine.webnn else "webgpu"
    if target == "webgpu" and name in LARGE:
        case = replace(case, runs=lambda: CASES[name].runs()[:1])
    found = python.run(
        OPEN, **served(python, case, tmp_path), target=target, runs=case.runs(), carry=case.carry
    )
    check(found, Official(case.model, tmp_path).all(case))
