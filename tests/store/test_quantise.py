"""Variants in 8 bits: standard files, weights within half a step, and what was lost is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import safetensors
from onnx import helper, numpy_helper

from edgewise.errors import UnsupportedError
from edgewise.formats.onnx_json import from_json
from edgewise.importers.onnx import import_onnx
from edgewise.passes import pipeline
from edgewise.store.manifest import Manifest
from edgewise.store.pack import pack
from tests.importers.tiny_bert import TINY

N, K = 263, 270  # codes of more than 64 KiB: smaller constants are computed when a model is opened
#: Codes are rounded to half a step; scales are float32.
HALF = 0.5 + 1e-5


def read(path: Path) -> Manifest:
    return Manifest.from_json(path.read_text())


def error_ppm(matrix: Any, rounded: Any) -> int:
    left = np.square(matrix - rounded).mean() / np.square(matrix).mean()
    return int(np.rint(left**0.5 * 1e6))


def assert_codes_use_their_range(codes: Any) -> None:
    """A row's scale is the least with which codes, and those that meet in 16 bits, are in range."""
    wide = np.pad(codes.astype(int), ((0, 0), (0, -codes.shape[1] % 8)))
    eights = wide.reshape(len(codes), -1, 8)
    fours = [eights[:, :, places] for places in ([0, 1, 4, 5], [2, 3, 6, 7])]
    signs = [np.maximum(sign * four, 0).sum(2).max(1) for four in fours for sign in (1, -1)]
    most, largest = np.max(signs, axis=0), np.abs(wide).max(1)
    assert (largest <= 127).all()
    assert (most <= 258).all()
    assert ((largest == 127) | (most >= 254)).all()


def test_a_folder(tmp_path: Path) -> None:
    folder = TINY.write(tmp_path / "Tiny Bert")
    out = folder / "out"  # inside of what is packed
    written = pack(folder, out, "int8")
    ends = ("manifest.json", "safetensors", "tokenizer.json")
    assert sorted(path.name for path in out.iterdir()) == [f"tiny-bert-int8.{end}" for end in ends]
    manifest, weights = read(written), TINY.weights()
    errors = []
    with safetensors.safe_open(out / manifest.file.url, framework="numpy") as official:
        for name, matrix in weights.items():
            got = official.get_tensor(name)
            layer = matrix.ndim == 2 and name.startswith("encoder.")
            if not layer and name != "embeddings.word_embeddings.weight":
                assert np.array_equal(got, matrix), name
                continue
            scale = official.get_tensor(f"{name}_scale")
            assert (got.dtype, scale.shape) == (np.int8, (len(matrix), 1))
            assert_codes_use_their_range(got)
            assert (np.abs(matrix - got * scale) <= HALF * scale).all()
            errors.append(error_ppm(matrix, got * scale))
    assert manifest.quantised is not None
    assert (manifest.quantised.type, manifest.quantised.matrices) == ("int8", len(errors))
    assert abs(manifest.quantised.error_ppm - max(errors)) <= 1
    assert manifest.license == "mit", "documents come along"
    float_demands = read(pack(folder, out)).demands
    assert manifest.demands.flops_per_token == float_demands.flops_per_token
    assert manifest.demands.weight_nbytes < float_demands.weight_nbytes / 2
    assert pack(folder, out, "int8").read_text() == written.read_text()


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_row_of_zeros(tmp_path: Path, dtype: str) -> None:
    folder = TINY.write(tmp_path / "tiny", dtype)
    name = "encoder.layer.0.output.dense.weight"
    weights = {key: array.astype(dtype) for key, array in TINY.weights().items()}
    weights[name][3] = 0
    safetensors.numpy.save_file(weights, folder / "model.safetensors")
    manifest = read(pack(folder, tmp_path, "int8"))
    with safetensors.safe_open(tmp_path / manifest.file.url, framework="numpy") as official:
        assert not official.get_tensor(name)[3].any()
        assert np.isfinite(official.get_tensor(f"{name}_scale")).all()


def model(path: Path) -> Path:
    """Products with constants: by column, by row, twice; a small one, one that others read."""
    rng = np.random.default_rng(3)
    shapes = {"w": (K, N), "u": (N, N), "small": (N, 8), "both": (N, N), "bias": (N,)}
    constants = [
        numpy_helper.from_array(rng.normal(size=shape).astype("f4"), name)
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Gemm", ["a", "u", "bias"], ["b"], transB=1),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Gemm", ["c", "u"], ["d"], transB=1),
        helper.make_node("MatMul", ["d", "both"], ["e"]),
        helper.make_node("Add", ["e", "both"], ["f"]),
        helper.make_node("MatMul", ["f", "small"], ["y"]),
    ]
    ends = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("x", (N, K)), ("y", (N, 8)))
    ]
    graph = helper.make_graph(nodes, "tiny", ends[:1], ends[1:], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(made, path)
    return path


def test_an_onnx_file(tmp_path: Path) -> None:
    source, out = model(tmp_path / "Tiny.onnx"), tmp_path / "out"
    manifest = read(pack(source, out, "int8"))
    variant = out / manifest.file.url
    onnx.checker.check_model(variant)
    assert manifest.name == "tiny-int8"
    assert manifest.quantised is not None
    assert manifest.quantised.matrices == 2
    x = np.random.default_rng(1).normal(size=(N, K)).astype("f4")
    before, after = (
        ort.InferenceSession(each).run(None, {"x": x})[0] for each in (source, variant)
    )
    assert 0 < np.abs(before - after).max() < 0.02 * np.abs(before).max()  # measured: 0.006
    # the same places that the manifest names, and the passes find all products
    assert manifest.structure is not None
    structure = from_json((out / str(manifest.structure.url)).read_text())
    graph, _ = pipeline.run(import_onnx(structure, {"x": (N, K)}, {}).graph)
    ops = [node.op for node in graph.nodes]
    assert ops.count("quantizedLinear") == 3
    assert not {"dequantizeLinear", "relu"} & set(ops)


def test_what_has_nothing_to_quantise_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    with pytest.raises(UnsupportedError, match="folder or an ONNX file"):
        pack(tmp_path / "a.gguf", tmp_path, "int8")
    manifest = read(pack(model(tmp_path / "once.onnx"), tmp_path, "int8"))
    with pytest.raises(UnsupportedError, match="no matrix"):
        pack(tmp_path / manifest.file.url, tmp_path, "int8")
    old = onnx.load(tmp_path / "once.onnx")
    old.opset_import[0].version = 12
    onnx.save(old, tmp_path / "old.onnx")
    with pytest.raises(UnsupportedError, match="opset 12"):
        pack(tmp_path / "old.onnx", tmp_path, "int8")
    assert not list(tmp_path.glob("tmp*")), "what was begun is gone"


def test_a_manifest_says_it_and_others_say_nothing(tmp_path: Path) -> None:
    folder = replace(TINY, layers=1).write(tmp_path / "tiny")
    plain, variant = read(pack(folder, tmp_path)), read(pack(folder, tmp_path, "int8"))
    assert plain.quantised is None
    assert "quantised" not in plain.to_json()
    assert Manifest.from_json(variant.to_json()) == variant
