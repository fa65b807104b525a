"""Texts to vectors: the same as transformers', whatever the batch, the order and the device."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from edgewise.errors import DeviceLostError, InputError, RouteError, UnsupportedError
from edgewise.host.base import Target
from edgewise.host.cpython import CPythonHost, CPythonTokenizer
from edgewise.host.reference import ReferenceExecutable
from edgewise.runtime.encoder import BATCH
from edgewise.store.pack import pack
from edgewise.tasks.embed import Embedder, embed, embed_sync
from edgewise.tasks.framing import Framing, batches
from tests.importers.tiny_bert import TINY

DATA = Path(__file__).resolve().parents[1] / "data"
ORACLE = json.loads((DATA / "minilm_oracle.json").read_text())
VECTORS = np.load(DATA / "minilm_oracle.npz")["embeddings"]
LIMIT = 1e-5  # measured: 2e-7 on the reference
TARGETS = ["reference", pytest.param("webgpu", marks=pytest.mark.gpu)]
WORDS = ["a", "b", "the", "cat", "cats", "dogs", "running", "sat.", "é", "w3", "unknown", "日本"]
SEED = 3


@pytest.fixture
def host(tmp_path: Path) -> CPythonHost:
    return CPythonHost(tmp_path / "store")


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A packed encoder of random weights, the address of its manifest."""
    folder = tmp_path_factory.mktemp("bert")
    return str(pack(TINY.write(folder / "tiny"), folder / "packed"))


@pytest.fixture(scope="module")
def minilm_model(minilm_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """all-MiniLM-L6-v2, packed."""
    return str(pack(minilm_folder, tmp_path_factory.mktemp("minilm")))


@pytest.fixture(scope="module")
def int8_model(minilm_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """all-MiniLM-L6-v2 in 8 bits, packed."""
    return str(pack(minilm_folder, tmp_path_factory.mktemp("minilm8"), "int8"))


def some_texts(count: int) -> list[str]:
    rng = random.Random(SEED)
    return [" ".join(rng.choices(WORDS, k=rng.randrange(0, 20))) for _ in range(count)]


def tokenizer_of(folder: Path) -> str:
    return (folder / "tokenizer.json").read_text()


@pytest.mark.parametrize("limit", [2, 3, 8, 256])
def test_texts_are_cut_as_tokenizers_does(minilm_folder: Path, limit: int) -> None:
    text = tokenizer_of(minilm_folder)
    framing = Framing(CPythonTokenizer(text), limit)
    official = Tokenizer.from_str(text)
    official.enable_truncation(limit)
    official.no_padding()
    for each in ORACLE["texts"] + some_texts(50):
        assert framing.ids(each) == official.encode(each).ids, f"{each!r} {SEED=}"


def test_ids_are_those_of_transformers(minilm_folder: Path) -> None:
    framing = Framing(CPythonTokenizer(tokenizer_of(minilm_folder)), 256)
    assert [framing.ids(text) for text in ORACLE["texts"]] == ORACLE["ids"]


def test_a_tokenizer_that_writes_no_text_between_its_tokens() -> None:
    class Odd:
        def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
            return [1, 2] if add_special_tokens else [7]

        def decode(self, ids: Any) -> str:
            return ""

    with pytest.raises(UnsupportedError, match=r"\[7\]"):
        Framing(Odd(), 8)


def test_batches_have_each_text_once_and_similar_lengths_together() -> None:
    lengths = [5, 1, 9, 1, 5, 2, 8]
    found = list(batches(lengths, 3))
    assert found == [[1, 3, 5], [0, 4, 6], [2]]
    assert list(batches([], 3)) == []
    assert list(batches([16, 200, 17, 3, 90, 34], 8)) == [[3, 0], [2, 5], [4], [1]]


@pytest.mark.parametrize("target", TARGETS)
def test_more_texts_than_a_batch_keep_their_order(
    host: CPythonHost, tiny_model: str, target: Target
) -> None:
    texts = some_texts(2 * BATCH + 3)

    async def run() -> tuple[Any, list[Any]]:
        embedder = await Embedder.open(tiny_model, target=target, host=host)
        together = await embedder.embed(texts)
        alone = [(await embedder.embed([text]))[0] for text in texts[::9]]
        assert embedder.encoder.report.facts.target == target
        await embedder.close()
        return together, alone

    together, alone = asyncio.run(run())
    assert together.shape == (len(texts), TINY.hidden)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together[::9], alone, rtol=0, atol=LIMIT)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=0, atol=LIMIT)


def test_no_texts_and_empty_texts(host: CPythonHost, tiny_model: str) -> None:
    options: dict[str, Any] = {"model": tiny_model, "target": "reference", "host": host}
    assert np.shape(asyncio.run(embed([], **options))) == (0, TINY.hidden)
    assert np.shape(asyncio.run(embed([""], **options))) == (1, TINY.hidden)


def test_what_is_refused(host: CPythonHost, tiny_model: str, tiny: Any) -> None:
    def attempt(texts: Any, **options: Any) -> None:
        asyncio.run(embed(texts, **{"model": tiny_model, "host": host, **options}))

    with pytest.raises(InputError, match="one text"):
        attempt("hello", target="reference")
    with pytest.raises(RouteError, match="server"):
        attempt(["a"], policy="server")
    with pytest.raises(InputError, match="policy"):
        attempt(["a"], policy="cloud")
    with pytest.raises(UnsupportedError, match="'llama'; need an encoder: bert"):
        attempt(["a"], model=str(tiny.manifest))


def test_without_numpy_vectors_are_arrays(
    host: CPythonHost, tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> tuple[Any, Any]:
        embedder = await Embedder.open(tiny_model, target="reference", host=host)
        rows = await embedder.embed(["a cat", "the dog"])
        found = await embedder.encoder.run([embedder.framing.ids("a cat")])
        monkeypatch.setitem(sys.modules, "numpy", None)  # importing it fails
        from edgewise.tasks.embed import _stacked

        return rows, _stacked(found, embedder.encoder.width)

    rows, without = asyncio.run(run())
    assert isinstance(without[0], array)
    assert without[0].tolist() == rows[0].tolist()


def test_a_lost_device_costs_no_text(
    host: CPythonHost, tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, calls = ReferenceExecutable.run, []

    async def lose_once(self: ReferenceExecutable, program: str, bindings: Any) -> None:
        calls.append(self)
        if len(calls) == 2:
            raise DeviceLostError("the device went away")
        await run(self, program, bindings)

    monkeypatch.setattr(ReferenceExecutable, "run", lose_once)
    texts = some_texts(BATCH + 1)
    found = asyncio.run(embed(texts, model=tiny_model, target="reference", host=host))
    assert len(found) == len(texts)
    assert len(calls) == 3
    assert calls[2] is not calls[1], "the same executable was used again"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("target", TARGETS)
def test_minilm(host: CPythonHost, minilm_model: str, target: Target) -> None:
    """16 texts in several languages against sentence-transformers, together and alone."""

    async def run() -> tuple[Any, Any]:
        embedder = await Embedder.open(minilm_model, target=target, host=host)
        together = await embedder.embed(ORACLE["texts"])
        alone = await embedder.embed(ORACLE["texts"][:1])
        await embedder.close()
        return together, alone

    together, alone = asyncio.run(run())
    np.testing.assert_allclose(together, VECTORS, rtol=0, atol=LIMIT)
    np.testing.assert_allclose(alone, VECTORS[:1], rtol=0, atol=LIMIT)


@pytest.mark.slow
def test_minilm_in_8_bits(host: CPythonHost, int8_model: str) -> None:
    """Cosines with the vectors of float32, where activations are rounded too.

    Measured: 0.9921 at least, 0.9979 in the mean; 0.9965 and 0.9993 where weights alone are rounded
    (on WebGPU, the reference). The texts are hard ones: many languages, an empty one, symbols.
    """
    found = asyncio.run(embed(ORACLE["texts"], model=int8_model, target="wasm", host=host))
    cosines = (np.asarray(found) * VECTORS).sum(axis=1)
    assert cosines.min() > 0.98
    assert cosines.mean() > 0.997


def test_sync(tiny_model: str, host: CPythonHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgewise.tasks.embed.current", lambda: host)
    found = embed_sync(["a cat"], model=tiny_model, target="reference")
    assert np.shape(found) == (1, TINY.hidden)
