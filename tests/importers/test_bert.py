"""BERT encoders on the reference target against transformers (tests/oracles/minilm.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from edgewise.dtypes import DType
from edgewise.graph.graph import Graph
from edgewise.graph.text import parse_graph, print_graph
from edgewise.importers.bert import build, config_from_files
from edgewise.store.quantise import write_int8
from edgewise.targets.reference import Reference
from tests.importers.folder import Array, Folder
from tests.importers.tiny_bert import TINY, VARIANTS, TinyBert, batch

DATA = Path(__file__).resolve().parents[1] / "data"
ORACLE = json.loads((DATA / "minilm_oracle.json").read_text())
ARRAYS = np.load(DATA / "minilm_oracle.npz")
LIMIT = 1e-5  # measured: 2e-6; the order of sums differs from torch's


def imported(folder: Folder, **options: int) -> Graph:
    return build(config_from_files(folder.files, folder.tensors), folder.tensors, **options)


def run(graph: Graph, folder: Folder, inputs: dict[str, Array]) -> dict[str, Array]:
    n, seq = inputs["input_ids"].shape
    return Reference(graph, folder).run(inputs, {}, {"batch": n, "seq": seq})[0]


def worst(got: Array, wanted: Array) -> float:
    assert got.shape == wanted.shape
    assert got.dtype == np.float32
    return float(np.abs(got - wanted).max())


@pytest.mark.parametrize("name", VARIANTS)
def test_tiny_models_agree_with_transformers(name: str, tmp_path: Path) -> None:
    """Every way of pooling, both activations, a prefix, and random token types."""
    folder = Folder(VARIANTS[name].write(tmp_path))
    inputs = batch(VARIANTS[name])
    found = run(imported(folder), folder, inputs)
    kept = inputs["attention_mask"].astype(bool)  # what stands at padding is nobody's business
    hidden = ARRAYS[f"tiny_{name}_hidden"]
    assert worst(found["last_hidden_state"][kept], hidden[kept]) <= LIMIT
    assert worst(found["sentence_embedding"], ARRAYS[f"tiny_{name}_embedding"]) <= LIMIT


def test_padding_has_no_effect(tmp_path: Path) -> None:
    folder = Folder(TINY.write(tmp_path))
    graph, inputs = imported(folder), batch(TINY)
    together = run(graph, folder, inputs)["sentence_embedding"]
    for row, mask in enumerate(inputs["attention_mask"]):
        alone = {name: array[row : row + 1, : mask.sum()] for name, array in inputs.items()}
        single = run(graph, folder, alone)["sentence_embedding"]
        assert worst(together[row : row + 1], single) <= LIMIT


def test_a_text_of_padding_alone_has_a_finite_vector(tmp_path: Path) -> None:
    folder = Folder(TINY.write(tmp_path))
    inputs = {name: np.zeros_like(array) for name, array in batch(TINY).items()}
    found = run(imported(folder), folder, inputs)
    assert np.isfinite(found["last_hidden_state"]).all()
    assert not found["sentence_embedding"].any()


def test_half_precision_weights_are_widened(tmp_path: Path) -> None:
    half = Folder(TINY.write(tmp_path / "half", "float16"))
    graph = imported(half)
    assert {c.value.dtype for c in graph.constants.values() if c.source} == {DType.FLOAT16}
    found = run(graph, half, batch(TINY))["sentence_embedding"]

    class Rounded(Folder):
        def array(self, name: str) -> Array:
            return super().array(name).astype(np.float16).astype(np.float32)

    single = Rounded(TINY.write(tmp_path / "single"))
    assert worst(found, run(imported(single), single, batch(TINY))["sentence_embedding"]) == 0


def test_brain_floats_are_read_as_float32(tmp_path: Path) -> None:
    folder = Folder(TINY.write(tmp_path))
    tensors: dict[str, Any] = {
        name: TensorOf("BF16", t.shape) for name, t in folder.tensors.items()
    }
    graph = build(config_from_files(folder.files, tensors), tensors)
    sources = [c for c in graph.constants.values() if c.source]
    assert {(c.value.dtype, c.source.type) for c in sources if c.source} == {
        (DType.FLOAT32, "BF16")
    }


class TensorOf:
    """A tensor of a given type."""

    def __init__(self, type: str, shape: tuple[int, ...]) -> None:
        self.type, self.shape = type, shape


def test_bounds_of_symbols(tmp_path: Path) -> None:
    folder = Folder(TINY.write(tmp_path))
    assert imported(folder).symbols == {"batch": 32, "seq": 10}
    assert imported(folder, max_batch=4, max_seq=8).symbols == {"batch": 4, "seq": 8}
    assert imported(folder, max_seq=99).symbols["seq"] == TINY.positions


def test_text_form(tmp_path: Path) -> None:
    graph = imported(Folder(TinyBert(layers=1).write(tmp_path)))
    assert parse_graph(print_graph(graph)) == graph


@pytest.fixture(scope="module")
def minilm(minilm_folder: Path) -> Folder:
    return Folder(minilm_folder)


def padded(texts: list[list[int]]) -> dict[str, Array]:
    mask = (np.arange(max(map(len, texts))) < np.array([[len(ids)] for ids in texts])).astype("i4")
    ids = np.zeros_like(mask)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = text
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(mask)}


@pytest.mark.slow
def test_minilm(minilm: Folder) -> None:
    """The real model: its config, its text form, one text and a batch of 16."""
    config = config_from_files(minilm.files, minilm.tensors)
    assert (config["pooling"], config["normalize"], config["max_tokens"]) == ("mean", True, 256)
    graph = build(config, minilm.tensors)
    through_json = json.loads(json.dumps(config))
    assert build(through_json, minilm.tensors) == graph == parse_graph(print_graph(graph))
    reference = Reference(graph, minilm)

    def embedded(texts: list[list[int]]) -> dict[str, Array]:
        inputs = padded(texts)
        n, seq = inputs["input_ids"].shape
        return reference.run(inputs, {}, {"batch": n, "seq": seq})[0]

    ids = ORACLE["ids"]
    for index in (0, 5):
        found = embedded([ids[index]])
        assert worst(found["last_hidden_state"][0], ARRAYS[f"hidden_{index}"]) <= LIMIT
        assert worst(found["sentence_embedding"][0], ARRAYS["embeddings"][index]) <= LIMIT
    assert len(ids) == 16
    assert worst(embedded(ids)["sentence_embedding"], ARRAYS["embeddings"]) <= LIMIT


@pytest.mark.parametrize("name", ["mean", "sqrt"])
def test_a_variant_in_8_bits_computes_with_its_codes_times_its_scales(
    name: str, tmp_path: Path
) -> None:
    plain = VARIANTS[name].write(tmp_path / "tiny")
    variant = write_int8(plain, tmp_path).path
    with safe_open(variant / "model.safetensors", framework="numpy") as file:
        arrays = {each: file.get_tensor(each) for each in file.keys()}  # noqa: SIM118
    rounded = {
        each: array * arrays[f"{each}_scale"] if f"{each}_scale" in arrays else array
        for each, array in arrays.items() if not each.endswith("_scale")
    }  # fmt: skip
    save_file(rounded, plain / "model.safetensors")
    inputs = batch(VARIANTS[name])
    got, wanted = (run(imported(each), each, inputs) for each in (Folder(variant), Folder(plain)))
    for output in wanted:
        assert worst(got[output], wanted[output]) <= LIMIT
