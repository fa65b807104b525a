"""Embeddings in a page, by Python: the tokenizer's ids and the vectors are those of CPython."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from e2e.browsers import ROOT, Engine, engines
from e2e.python_page import PythonPage
from edgewise.host.cpython import CPythonTokenizer
from edgewise.store.pack import pack

MINILM = ROOT / ".cache" / "models" / "all-MiniLM-L6-v2"
DATA = ROOT / "tests" / "data"
ORACLE = json.loads((DATA / "minilm_oracle.json").read_text())
VECTORS = np.load(DATA / "minilm_oracle.npz")["embeddings"]
SHORT = ORACLE["texts"][:-1]  # the last has 256 tokens, half a minute on a GPU that is a CPU
LIMIT = 1e-4
SEED = 5
PIECES = [
    *"abcdefghij ABC 0123 .,!?'\"-_/()[]{}#\n\t", "é", "e\u0301", "ß", "İ", "Å", "ö", "ñ",
    "日", "本", "語", "한", "국", "م", "ر", "नम", "ไทย", "Ж", "🦙", "👩\u200d👩",
    "\u00a0", "\u200b", "\ufffd", "\x07",
    "[SEP]", "[MASK]", " the ", " running", "##s", "…", "“", "½", "x" * 101,
]  # fmt: skip


def texts() -> list[str]:
    rng = random.Random(SEED)
    made = ["".join(rng.choices(PIECES, k=rng.randrange(1, 50))) for _ in range(150)]
    return [*ORACLE["texts"], *made]


@engines("chromium", "firefox_no_gpu")
def test_same_ids(python: PythonPage) -> None:
    tokenizer = (MINILM / "tokenizer.json").read_text()
    here = CPythonTokenizer(tokenizer)
    found = python.run(
        """
        made = host.tokenizer(tokenizer)
        try:
            return [[made.encode(text), made.encode(text, add_special_tokens=True)]
                    for text in texts]
        finally:
            made.close()""",
        tokenizer=tokenizer, texts=texts(),
    )  # fmt: skip
    for text, (plain, framed) in zip(texts(), found, strict=True):
        assert plain == here.encode(text), f"{text!r} {SEED=}"
        assert framed == here.encode(text, add_special_tokens=True), f"{text!r} {SEED=}"


@pytest.fixture
def model(python: PythonPage, tmp_path: Path) -> str:
    """all-MiniLM-L6-v2, packed and served; the address of its manifest."""
    manifest = pack(MINILM, tmp_path)
    for path in tmp_path.iterdir():
        python.serve(path.name, path)
    return f"/files/{manifest.name}"


@engines("chromium", "firefox", "chromium_webnn")
@pytest.mark.timeout(300)
def test_minilm(python: PythonPage, engine: Engine, model: str) -> None:
    """One text, 16 in one batch, and 16 as `embed` batches them."""
    target = "webnn" if engine.webnn else "webgpu"
    texts = [*SHORT, SHORT[0]]
    found = python.run(
        """
        from edgewise.tasks.embed import Embedder
        embedder = await Embedder.open(model, target=target)
        try:
            ids = [embedder.framing.ids(text) for text in texts]
            return {
                "alone": await embedder.embed(texts[:1]),
                "together": np.array(await embedder.encoder.run(ids)),
                "batched": await embedder.embed(texts),
                "target": embedder.encoder.report.facts.target,
            }
        finally:
            await embedder.close()""",
        model=model, texts=texts, target=target,
    )  # fmt: skip
    wanted = VECTORS[[*range(len(SHORT)), 0]]
    assert len(texts) == 16
    assert found["target"] == target
    np.testing.assert_allclose(found["alone"], wanted[:1], rtol=0, atol=LIMIT)
    np.testing.assert_allclose(found["together"], wanted, rtol=0, atol=LIMIT)
    np.testing.assert_allclose(found["batched"], wanted, rtol=0, atol=LIMIT)
