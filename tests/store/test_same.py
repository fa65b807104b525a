"""The same tensor bytes under other names, in other files and formats: each is fetched once.

A real host counts what is sent of the weight files, to the byte.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from onnx import TensorProto, helper
from safetensors.numpy import load_file

from e2e.server import SiteServer
from edgewise.formats import gguf as gguf_format
from edgewise.formats import safetensors as safetensors_format
from edgewise.host.cpython import CPythonHost
from edgewise.store.cut import SEGMENT_NBYTES, cut
from edgewise.store.download import download
from edgewise.store.manifest import Manifest
from edgewise.store.pack import pack
from edgewise.tasks.embed import Embedder
from edgewise.tasks.onnx import open_model
from tests.importers import onnx_bert
from tests.importers.tiny_bert import TinyBert
from tests.store.models import digest
from tests.store.variants import sharded, with_tensors

TINY = TinyBert(vocab=300, hidden=256, layers=3, heads=4, ffn=1024)
#: Of one type, the names in GGUF and in ONNX; safetensors has its letters in upper case.
TYPES = {
    "f32": (gguf.GGMLQuantizationType.F32, TensorProto.FLOAT),
    "f16": (gguf.GGMLQuantizationType.F16, TensorProto.FLOAT16),
    "bf16": (gguf.GGMLQuantizationType.BF16, TensorProto.BFLOAT16),
}


class Site:
    """A host of packed models, and one store that downloads from it."""

    def __init__(self, server: SiteServer, store: Path) -> None:
        self.server, self.host = server, CPythonHost(store)

    def pack(self, model: Path, under: str) -> str:
        """The address of its manifest."""
        written = pack(model, self.server.root / under)
        return f"{self.server.url}/{under}/{written.name}"

    def manifest(self, url: str) -> Manifest:
        path = self.server.root / url.removeprefix(f"{self.server.url}/")
        return Manifest.from_json(path.read_text())

    def fetch(self, url: str) -> float:
        """Downloads a model; the part of its weight files that was sent for it."""
        self.server.log.clear()
        manifest = self.manifest(url)
        asyncio.run(download(self.host.store, manifest, url))
        files = {file.url for file in manifest.files}
        sent = sum(r.nbytes for r in self.server.log if r.path.rsplit("/", 1)[-1] in files)
        return sent / sum(file.nbytes for file in manifest.files)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    root = tmp_path / "site"
    root.mkdir()
    with SiteServer(root) as server:
        yield Site(server, tmp_path / "store")


def hidden(site: Site, url: str, text: str = "the cat sat") -> Any:
    """A text's vector by the packed folder at `url`."""

    async def go() -> Any:
        embedder = await Embedder.open(url, host=site.host, target="reference")
        return await embedder.embed([text])

    return asyncio.run(go())


@pytest.mark.parametrize("inside", [True, False], ids=["raw data", "external data"])
def test_safetensors_after_onnx_and_the_other_way(site: Site, tmp_path: Path, inside: bool) -> None:
    folder = TINY.write(tmp_path / "tiny", "float16")
    model = onnx_bert.save(onnx_bert.of_tiny(TINY, "float16"), tmp_path / "in/tiny.onnx",
                           inside=inside)  # fmt: skip
    plain, graph = site.pack(folder, "st"), site.pack(model, "onnx")
    assert site.fetch(graph) > 0.9
    # vectors of less than 4 KB inside of an ONNX file are part of its structure
    assert (0 < site.fetch(plain) < 0.01) if inside else (site.fetch(plain) == 0)
    site.host = CPythonHost(tmp_path / "another store")
    assert site.fetch(plain) > 0.9
    assert site.fetch(graph) < 0.01
    if inside:
        np.testing.assert_allclose(_run(site, graph), hidden(site, plain), rtol=0, atol=1e-5)


def _run(site: Site, graph: str) -> Any:
    """The vector of the same text by the ONNX model."""

    async def go() -> Any:
        opened = await open_model(graph, host=site.host, target="reference")
        ids = np.array([[2, 7, 8, 12, 3]])
        fed = {"input_ids": ids, "attention_mask": ids // ids, "token_type_ids": 0 * ids}
        return (await opened.run(fed))["sentence_embedding"]

    return asyncio.run(go())


@pytest.mark.slow
def test_the_real_model_as_onnx_and_as_safetensors(
    site: Site, minilm_folder: Path, tmp_path: Path
) -> None:
    """all-MiniLM-L6-v2 in float16: 45 MB once."""
    tensors = load_file(minilm_folder / "model.safetensors")
    halved = {n: t.astype("float16") for n, t in tensors.items() if t.dtype == "float32"}
    half = with_tensors(minilm_folder, tmp_path / "half", halved)
    model = onnx_bert.save(onnx_bert.of_minilm(minilm_folder), tmp_path / "in/minilm.onnx",
                           inside=False)  # fmt: skip
    graph, plain = site.pack(model, "onnx"), site.pack(half, "st")
    assert site.fetch(graph) > 0.99
    assert 0 < site.fetch(plain) < 0.01  # the pooler, which no vector of a text needs


def test_a_second_address_costs_nothing(site: Site, tmp_path: Path) -> None:
    folder = TINY.write(tmp_path / "tiny", "float16")
    assert site.fetch(site.pack(folder, "a")) > 0.9
    assert site.fetch(site.pack(folder, "b/c")) == 0
    renamed = folder.rename(tmp_path / "another name")
    assert site.fetch(site.pack(renamed, "d")) == 0


def test_a_new_version_costs_the_layer_that_changed(site: Site, tmp_path: Path) -> None:
    first = TINY.write(tmp_path / "v1.0", "float16")
    changed = replace(TINY, seed=2).weights()
    layer = {n: a.astype("float16") for n, a in changed.items() if n.startswith("encoder.layer.2.")}
    second = with_tensors(first, tmp_path / "v1.1", layer)
    old, new = site.pack(first, "1.0"), site.pack(second, "1.1")
    site.fetch(old)
    sent = site.fetch(new)
    names, manifest = set(layer), site.manifest(new)
    need = sum(ref.nbytes for name, ref in manifest.tensors.items() if name in names)
    assert sent * manifest.file.nbytes == need
    assert not np.array_equal(hidden(site, old), hidden(site, new))


def test_shards_share_with_the_whole_and_run(site: Site, tmp_path: Path) -> None:
    folder = TINY.write(tmp_path / "tiny", "float16")
    shards = sharded(folder, tmp_path / "tiny-in-three", 3)
    whole, parts = site.pack(folder, "whole"), site.pack(shards, "parts")
    assert [file.url for file in site.manifest(parts).files] == [
        f"tiny-in-three-0000{index}-of-00003.safetensors" for index in (1, 2, 3)
    ]
    assert site.fetch(parts) > 0.9
    np.testing.assert_array_equal(hidden(site, parts), hidden(site, whole))
    assert site.fetch(whole) == 0
    small = [pack(each, tmp_path / f"{each.name} int8", "int8") for each in (folder, shards)]
    one, other = (Manifest.from_json(path.read_text()) for path in small)
    assert one.segments == other.segments, "8 bits of shards are those of the whole"


@pytest.mark.parametrize("kind", TYPES)
def test_every_format_gives_the_same_objects(kind: str, tmp_path: Path) -> None:
    """A small and a large tensor, whose pieces of 16 MiB count from its own start."""
    width = 4 if kind == "f32" else 2
    shapes = {"small": (32, 96), "large": (1024, (SEGMENT_NBYTES + 8192) // width // 1024)}
    rng = np.random.default_rng(4)
    data = {n: rng.integers(0, 255, r * c * width, np.uint8) for n, (r, c) in shapes.items()}
    wanted = {
        name: [digest(array.tobytes()[at : at + SEGMENT_NBYTES])
               for at in range(0, array.nbytes, SEGMENT_NBYTES)]
        for name, array in data.items()
    }  # fmt: skip
    assert [len(hashes) for hashes in wanted.values()] == [1, 2]
    for write in (_gguf, _safetensors, _onnx_inside, _onnx_outside):
        assert write(tmp_path, kind, data, shapes) == wanted, write.__name__


Data = dict[str, Any]
Write = Callable[[Path, str, Data, dict[str, tuple[int, int]]], dict[str, list[str]]]


def _objects(path: Path, places: dict[str, tuple[int, int]]) -> dict[str, list[str]]:
    """The hashes of the segments of each tensor of a file."""
    whole = path.read_bytes()
    found: dict[str, list[str]] = {name: [] for name in places}
    start = 0
    for nbytes in cut(places.values(), len(whole)):
        for name, (offset, length) in places.items():
            if offset <= start < offset + length:
                found[name].append(digest(whole[start : start + nbytes]))
        start += nbytes
    return found


def _gguf(folder: Path, kind: str, data: Data, shapes: Any) -> dict[str, list[str]]:
    path = folder / "x.gguf"
    writer = gguf.GGUFWriter(path, "any")
    for name, array in data.items():
        rows, columns = shapes[name]
        shaped = array.reshape(rows, -1)
        assert shaped.shape[1] % columns == 0
        writer.add_tensor(name, shaped, raw_dtype=TYPES[kind][0])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    header = gguf_format.parse(path.read_bytes())
    return _objects(path, {n: (t.offset, t.nbytes) for n, t in header.tensors.items()})


def _safetensors(folder: Path, kind: str, data: Data, shapes: Any) -> dict[str, list[str]]:
    path, entries, end = folder / "x.safetensors", {}, 0
    for name, array in data.items():
        span = [end, end := end + array.nbytes]
        entries[name] = {"dtype": kind.upper(), "shape": shapes[name], "data_offsets": span}
    text = json.dumps(entries).encode()
    parts = [len(text).to_bytes(8, "little"), text, *(array.tobytes() for array in data.values())]
    path.write_bytes(b"".join(parts))
    header = safetensors_format.parse(path.read_bytes())
    return _objects(path, {n: (t.offset, t.nbytes) for n, t in header.tensors.items()})


def _onnx(folder: Path, kind: str, data: Data, shapes: Any, inside: bool) -> dict[str, list[str]]:
    """Packed: segments and tensors are those of a real manifest."""
    held = [
        TensorProto(name=name, data_type=TYPES[kind][1], dims=shapes[name], raw_data=a.tobytes())
        for name, a in data.items()
    ]
    nodes = [helper.make_node("Identity", [name], [f"{name} out"]) for name in data]
    outputs = [helper.make_tensor_value_info(f"{n} out", TYPES[kind][1], shapes[n]) for n in data]
    graph = helper.make_graph(nodes, "x", [], outputs, held)
    path = onnx_bert.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10),
        folder / str(inside) / "x.onnx", inside=inside,
    )  # fmt: skip
    manifest = Manifest.from_json(pack(path, folder / f"out {inside}").read_text())
    return {
        key.split("@")[0]: [str(segment.hash) for segment in manifest.segments_of(key).segments]
        for key in manifest.tensors
    }


def _onnx_inside(folder: Path, kind: str, data: Data, shapes: Any) -> dict[str, list[str]]:
    return _onnx(folder, kind, data, shapes, inside=True)


def _onnx_outside(folder: Path, kind: str, data: Data, shapes: Any) -> dict[str, list[str]]:
    return _onnx(folder, kind, data, shapes, inside=False)
