"""The site's own model index: as its schema says, right about its models, and used by a page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from e2e.browsers import ROOT, engines
from e2e.python_page import PythonPage
from edgewise.hub.browser import BUILTINS
from edgewise.hub.index import Index
from edgewise.store.manifest import Manifest
from edgewise.store.runs import wanted

MODELS = ROOT / "build" / "site" / "models"
SCHEMA = ROOT / "pyapp" / "edgewise" / "hub" / "index.schema.json"


@pytest.fixture(scope="module")
def index() -> Index:
    text = (MODELS / "index.json").read_text()
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(json.loads(text))
    return Index.from_json(text)


def test_it_has_the_models_of_set_up(index: Index) -> None:
    assert index.entries[: len(BUILTINS.entries)] == BUILTINS.entries
    found = {entry.name: entry for entry in index.entries[len(BUILTINS.entries) :]}
    assert {name: [v.name for v in entry.variants] for name, entry in found.items()} == {
        "smollm2-135m-instruct": ["q4_1"], "all-minilm-l6-v2": ["f32", "int8"],
        "pp-ocr": ["f32"], "silero-vad": ["f32"],
    }  # fmt: skip
    assert len(found["pp-ocr"].variants[0].parts) == 3


def test_every_manifest_is_served_and_as_large_as_it_says(index: Index) -> None:
    for variant in (variant for entry in index.entries for variant in entry.variants):
        for part in variant.parts:
            manifest = Manifest.from_json((MODELS / part.manifest).read_text())
            sizes = [manifest.segments[index].nbytes for index in wanted(manifest)]
            assert sum(sizes) == part.nbytes
            assert all((MODELS / file.url).stat().st_size == file.nbytes for file in manifest.files)


FIND = """
    from urllib.parse import urljoin
    import js
    from edgewise.router.find import find
    from edgewise.tasks.embed import embed

    index = urljoin(str(js.location.origin), "/files/index.json")
    wishes = {"languages": ("en",), "max_bytes": 50_000_000}
    first = await find(host, "feature-extraction", [index], **wishes)
    (manifest,) = first.best.manifests
    vectors = await embed(["Hello"], model=manifest, target="wasm")
    second = await find(host, "feature-extraction", [index], **wishes)
    return [*map(str, first.choices)], [*map(str, second.choices)], vectors.shape[1]
"""


@engines("chromium")
def test_a_page_takes_what_the_index_has_and_keeps_it(python: PythonPage, tmp_path: Path) -> None:
    """From a task to vectors: chosen, fetched, computed; then it is here already."""
    for path in MODELS.glob("all-minilm*"):
        python.serve(path.name, path)
    python.serve("index.json", MODELS / "index.json")
    first, second, width = python.run(FIND)
    assert first[0].startswith("all-minilm-l6-v2 2.0.0 int8: 24.1 MB to download, an answer in")
    assert first[1] == "all-minilm-l6-v2 2.0.0 f32: 90.9 MB to download is more than 50.0 MB"
    assert second[0].startswith("all-minilm-l6-v2 2.0.0 int8: everything is here")
    assert width == 384
