"""The layers of DESIGN, held: who imports whom, and who may know NumPy or the browser.

import-linter reads the contract in pyproject.toml. It does not see whether an import stands at a
module's top or in a function, so the two rules that turn on that are read from the syntax here.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "pyapp" / "edgewise"
MODULES = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}

#: Runs in Pyodide before (or without) NumPy: nothing in it may need NumPy to be imported.
STARTS_WITHOUT_NUMPY = (
    "__init__.py", "errors.py", "dtypes.py", "dims.py", "ops/", "graph/", "formats/",
    "importers/", "passes/", "plan/", "targets/", "store/", "hub/", "router/",
)  # fmt: skip
#: CPython's NumPy meaning of a graph: the one module there that is NumPy throughout.
NUMPY_THROUGHOUT = "targets/reference.py"
KNOWS_THE_BROWSER = "host/browser/"


def imports(nodes: list[ast.stmt]) -> Iterator[str]:
    """Top-level package names imported by these statements, absolute imports only."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


def run_on_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that importing the module runs; neither functions nor `if TYPE_CHECKING:`."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        yield node
        for field in ("body", "orelse", "finalbody"):
            yield from run_on_import(getattr(node, field, []))
        for handler in getattr(node, "handlers", []):
            yield from run_on_import(handler.body)


def numpy_at_import(source: str) -> bool:
    return "numpy" in imports(list(run_on_import(ast.parse(source).body)))


def browser_anywhere(source: str) -> set[str]:
    statements = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt)]
    return {"js", "pyodide"} & set(imports(statements))


def test_layers() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    ran = subprocess.run(
        [linter, "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(PACKAGE.parent), "PATH": ""},
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 kept, 0 broken" in ran.stdout


@pytest.mark.parametrize(
    "name",
    sorted(name for name in MODULES.keys() - {NUMPY_THROUGHOUT}
           if name.startswith(STARTS_WITHOUT_NUMPY)),
)  # fmt: skip
def test_starts_without_numpy(name: str) -> None:
    assert not numpy_at_import(MODULES[name].read_text()), (
        f"{name} imports NumPy when it is imported; import it in the function that needs it"
    )


@pytest.mark.parametrize(
    "name", [n for n in sorted(MODULES) if not n.startswith(KNOWS_THE_BROWSER)]
)
def test_browser_is_known_in_one_place(name: str) -> None:
    assert not browser_anywhere(MODULES[name].read_text()), (
        f"{name} imports the browser; {KNOWS_THE_BROWSER} alone does, others are passed a host"
    )


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import numpy as np", True),
        ("from numpy import float32", True),
        ("try:\n    import numpy\nexcept ImportError:\n    pass", True),
        ("class A:\n    import numpy.linalg", True),
        ("def f():\n    import numpy", False),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import numpy", False),
        ("from .numpy import x", False),
    ],
)
def test_the_numpy_rule_sees(source: str, found: bool) -> None:
    assert numpy_at_import(source) is found


def test_the_browser_rule_sees_functions() -> None:
    assert browser_anywhere("def f():\n    from js import fetch") == {"js"}
    assert browser_anywhere("from pyodide.ffi import to_js") == {"pyodide"}
