"""`edgewise hub`, as a person meets it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edgewise.cli import main
from edgewise.store.manifest import Manifest
from tests.store.models import manifest_of, random_bytes

MODEL = manifest_of(random_bytes(60), [10, 20, 30])


def edgewise(*args: str | Path, store: Path) -> Result:
    return CliRunner().invoke(main, list(map(str, args)), env={"EDGEWISE_STORE": str(store)})


def written(path: Path, manifest: Manifest) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(manifest.to_json())
    return path


@pytest.mark.slow  # the machine's devices are measured
def test_an_index_is_written_and_asked(tmp_path: Path) -> None:
    index, store = tmp_path / "index.json", tmp_path / "store"
    small = written(tmp_path / "models" / "small.json", replace(MODEL, name="small"))
    said = ("--version", "1.0.0", "--language", "en", "--licence", "mit", "-i", index)
    assert edgewise("hub", "add", small, *said, "--quality", "0.5", store=store).exit_code == 0
    assert edgewise("hub", "add", "--builtins", "-i", index, store=store).exit_code == 0
    data = json.loads(index.read_text())
    assert data["entries"][0]["variants"][0]["manifest"] == "models/small.json"
    asked = ("hub", "resolve", "text-generation", "-i", index, "--language", "en")
    told = edgewise(*asked, "--max-bytes", "60", store=store)
    assert told.exit_code == 0
    first, second = told.output.splitlines()
    assert first.startswith("small 1.0.0 i8  0.0 MB to download, quality 0.50")
    assert second.endswith(" (LanguageModel)  this browser has no LanguageModel for en")


def test_parts_of_one_variant(tmp_path: Path) -> None:
    index = tmp_path / "index.json"
    parts = [written(tmp_path / f"{name}.json", replace(MODEL, name=name)) for name in ("a", "b")]
    said = ("--component", "--name", "both", "--task", "image-to-text", "--need", "webgpu")
    assert edgewise("hub", "add", *parts, *said, "-i", index, store=tmp_path).exit_code == 0
    (entry,) = json.loads(index.read_text())["entries"]
    assert (entry["name"], entry["task"]) == ("both", "image-to-text")
    assert entry["variants"][0]["components"] == ["a", "b"]
    assert entry["variants"][0]["needs"] == ["webgpu"]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (("--version", "1"), "a semantic version, as 1.4.0"),
        (("--language", "english!"), "a language tag, as en or pt-BR"),
        (("--task", "Text"), "a task, as text-generation"),
    ],
)
def test_what_no_index_may_say_is_not_written(
    said: tuple[str, str], message: str, tmp_path: Path
) -> None:
    index = tmp_path / "index.json"
    model = written(tmp_path / "m.json", MODEL)
    told = edgewise("hub", "add", model, *said, "-i", index, store=tmp_path)
    assert told.exit_code == 2
    assert message in told.stderr
    assert not index.exists()


def test_an_index_that_is_not_there(tmp_path: Path) -> None:
    told = edgewise("hub", "resolve", "x", "-i", tmp_path / "lost.json", store=tmp_path)
    assert told.exit_code == 2
    assert "DownloadError" in told.stderr
