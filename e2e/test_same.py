"""The same tensor bytes under other names, in a page: each is fetched once.

More of it, in CPython: tests/store/test_same.py, tests/tasks/test_unpacked.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from e2e.browsers import engines
from e2e.model_hub import ModelHub
from e2e.python_page import PythonError, PythonPage
from e2e.server import SiteServer
from edgewise.store.manifest import Manifest
from edgewise.store.pack import pack
from tests.importers import onnx_bert
from tests.importers.tiny_bert import TinyBert
from tests.store.variants import with_tensors
from tests.tiny_chat import TinyChat, make

TINY = TinyBert(vocab=300, hidden=256, layers=3, heads=4, ffn=512)
HELLO = {"role": "user", "content": "hello"}
EMBED = """
    from edgewise.tasks.embed import embed
    return await embed(["the cat sat"], model=model, target="reference")
"""
RUN = """
    from edgewise.tasks.onnx import open_model
    opened = await open_model(model, target="reference")
    try:
        return (await opened.run(inputs))["sentence_embedding"]
    finally:
        await opened.close()
"""
ANSWER = """
    from edgewise.tasks.chat import Chat
    chat = await Chat.open(host, model, policy="local", target="reference")
    ids = []
    async for piece in chat.stream([message], max_new_tokens=4):
        ids += piece.token_ids
    await chat.close()
    return ids
"""


class Packed:
    """Packed models on a host of another origin, and what was sent of their weights."""

    def __init__(self, server: SiteServer, python: PythonPage) -> None:
        self.server, self.python = server, python

    def pack(self, model: Path, under: str) -> str:
        return f"{self.server.url}/{under}/{pack(model, self.server.root / under).name}"

    def manifest(self, url: str) -> Manifest:
        return Manifest.from_json(
            (self.server.root / url.removeprefix(f"{self.server.url}/")).read_text()
        )

    def run(self, code: str, url: str, **names: Any) -> tuple[Any, int]:
        """What a snippet returns of a model, and the bytes of weight files that it took."""
        self.server.log.clear()
        made = self.python.run(code, model=url, **names)
        files = {file.url for file in self.manifest(url).files}
        return made, sum(r.nbytes for r in self.server.log if r.path.rsplit("/", 1)[-1] in files)


@engines("chromium", "firefox")
def test_other_formats_addresses_and_versions(
    python: PythonPage, site_server: Callable[[Path], SiteServer], tmp_path: Path
) -> None:
    (tmp_path / "site").mkdir()
    site = Packed(site_server(tmp_path / "site"), python)
    folder = TINY.write(tmp_path / "tiny", "float16")
    model = onnx_bert.save(onnx_bert.of_tiny(TINY, "float16"), tmp_path / "in/tiny.onnx",
                           inside=True)  # fmt: skip
    graph, plain = site.pack(model, "onnx"), site.pack(folder, "a")
    whole = site.manifest(plain).demands.weight_nbytes
    ids = np.array([[2, 7, 8, 12, 3]])
    inputs = {"input_ids": ids, "attention_mask": ids // ids, "token_type_ids": 0 * ids}
    by_graph, sent = site.run(RUN, graph, inputs=inputs)
    assert sent > 0.99 * whole

    # safetensors after ONNX: what is left are vectors that an ONNX file has in its structure
    vectors, sent = site.run(EMBED, plain)
    assert 0 < sent < 0.01 * whole
    np.testing.assert_allclose(vectors, by_graph, rtol=0, atol=1e-5)

    # another address
    again, sent = site.run(EMBED, site.pack(folder, "b"))
    assert sent == 0
    np.testing.assert_array_equal(again, vectors)

    # version 1.1, one layer of which is another one
    other = replace(TINY, seed=2).weights()
    changed = {name: array.astype("float16") for name, array in other.items()
               if name.startswith("encoder.layer.1.")}  # fmt: skip
    newer, sent = site.run(EMBED, site.pack(with_tensors(folder, tmp_path / "v1.1", changed), "c"))
    assert sent == sum(array.nbytes for array in changed.values())
    assert not np.array_equal(newer, vectors)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyChat:
    return make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def hub(tmp_path: Path, tiny: TinyChat) -> Iterator[ModelHub]:
    (tmp_path / "network").mkdir()
    data = (tiny.manifest.parent / "tiny.gguf").read_bytes()
    with ModelHub(tmp_path / "network") as running:
        running.add("org/first", {"tiny.gguf": data}, {"README.md": b"# Tiny"})
        running.add("other/second", {"renamed.gguf": data})
        running.add("org/gated", {"tiny.gguf": data}, gated=True)
        yield running


@engines("chromium", "firefox")
def test_another_address_on_a_model_hub(python: PythonPage, hub: ModelHub, tiny: TinyChat) -> None:
    first = f"{hub.url}/org/first/resolve/main/tiny.gguf"
    wanted = tiny.greedy(tiny.prompt(HELLO), 4)
    assert python.run(ANSWER, model=first, message=HELLO) == wanted
    assert "GET /org/first/raw/main/tiny.gguf" in hub.log, "a page knows the hash by the pointer"
    tensors = Manifest.from_json(tiny.manifest.read_text()).tensors.values()
    assert hub.sent() > sum(tensor.nbytes for tensor in tensors)
    hub.network.log.clear()
    second = f"{hub.url}/other/second/resolve/main/renamed.gguf"
    assert python.run(ANSWER, model=second, message=HELLO) == wanted
    assert hub.sent() == min(tensor.offset for tensor in tensors), "more than the header"
    hub.network.log.clear()
    repository = f"{hub.url}/org/first/resolve/main/"
    assert python.run(ANSWER, model=repository, message=HELLO) == wanted
    assert hub.sent() == min(tensor.offset for tensor in tensors)
    with pytest.raises(PythonError, match="accept its terms"):
        python.run(ANSWER, model=f"{hub.url}/org/gated/resolve/main/tiny.gguf", message=HELLO)
