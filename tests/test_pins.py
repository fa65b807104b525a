"""What is pinned is pinned exactly, completely, and without a download address."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINNED = [
    line
    for line in (ROOT / "requirements.lock").read_text().splitlines()
    if not line.startswith("#")
]


def normal(name: str) -> str:
    """A package's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_core_needs_nothing() -> None:
    assert PROJECT["dependencies"] == []


@pytest.mark.parametrize("line", PINNED)
def test_python_lock_has_exact_versions(line: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line)


@pytest.mark.parametrize("extra", ["native", "dev"])
def test_python_lock_has_every_extra(extra: str) -> None:
    wanted = {normal(re.split(r"[<>=!~\[ ]", need)[0])
              for need in PROJECT["optional-dependencies"][extra]}  # fmt: skip
    assert wanted <= {normal(line.split("==")[0]) for line in PINNED}


def test_npm_lock_has_exact_versions_and_no_addresses() -> None:
    asked = json.loads((ROOT / "package.json").read_text())
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    for name, version in (asked["dependencies"] | asked["devDependencies"]).items():
        assert packages[f"node_modules/{name}"]["version"] == version
    for name, locked in packages.items():
        assert "resolved" not in locked, name
        assert not name or locked["integrity"].startswith("sha512-")


def test_wheels_for_the_page_are_pinned_by_hash() -> None:
    rows = json.loads((ROOT / "pyodide.lock.json").read_text())
    names = [row["file"].split("-")[0] for row in rows]
    assert names == ["numpy", "onnx", "protobuf", "typing_extensions"]
    for row in rows:
        assert re.fullmatch(r"\d+(\.\d+)+", row["version"])
        assert re.fullmatch(r"[0-9a-f]{64}", row["sha256"])
        assert row["for"] in names
        assert row["registry"] == "pypi" or Path(row["member"]).name == row["file"]


def test_models_are_pinned_by_hash() -> None:
    packages = json.loads((ROOT / "models.lock.json").read_text())
    assert {package["purpose"] for package in packages} == {"serve", "test"}
    rows = [row for package in packages for row in package["files"]]
    assert len({row["file"] for row in rows}) == len(rows) > len(packages)
    for package in packages:
        assert re.fullmatch(r"\d+(\.\d+)+", package["version"])
        assert package["license"]
    for row in rows:
        assert re.fullmatch(r"[0-9a-f]{64}", row["sha256"])
        assert row["nbytes"] > 0
        assert Path(row["member"]).name == Path(row["file"]).name
        assert not Path(row["file"]).is_absolute()
        assert ".." not in Path(row["file"]).parts
