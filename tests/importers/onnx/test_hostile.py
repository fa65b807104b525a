"""Models well-formed as files and absurd as graphs: a named error, soon, in little memory."""

from __future__ import annotations

import json
import random
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from edgewise.errors import EdgewiseError, UnsupportedError
from edgewise.formats.onnx import OnnxModel
from edgewise.formats.onnx_json import from_json, to_json
from edgewise.formats.onnx_read import parse
from edgewise.importers.onnx import NeedsValues, import_onnx
from tests.importers.onnx.oracle import model, node

X = np.zeros((2, 3, 8, 8), np.float32)
BIG = 10**12


def ints(*numbers: int) -> Any:
    return np.array(numbers, np.int64)


ABSURD: dict[str, tuple[onnx.NodeProto, dict[str, Any]]] = {
    "ConstantOfShape": (node("ConstantOfShape", "s", "y", name="bad"), {"s": ints(BIG, BIG)}),
    "Expand": (node("Expand", "x s", "y", name="bad"), {"s": ints(BIG, 2, 3, 8, 8)}),
    "Tile": (node("Tile", "x s", "y", name="bad"), {"s": ints(BIG, BIG, 1, 1)}),
    "Pad": (node("Pad", "x s", "y", name="bad"), {"s": ints(BIG, 0, 0, 0, 0, 0, 0, 0)}),
    "Range": (node("Range", "a s d", "y", name="bad"),
              {"a": np.array(0), "s": np.array(BIG), "d": np.array(1)}),
    "Resize": (node("Resize", "x - - s", "y", name="bad", mode="cubic"),
               {"s": ints(2, 3, 10**9, 8)}),
    "MaxPool": (node("MaxPool", "x", "y z", name="bad", kernel_shape=[1, 1], pads=[BIG] * 4), {}),
    "OneHot": (node("OneHot", "i d v", "y", name="bad"),
               {"i": ints(1), "d": np.array(BIG), "v": ints(0, 1)}),
    "EyeLike": (node("EyeLike", "s", "y", name="bad"), {"s": np.zeros((5, 5, 5), np.float32)}),
    "Conv": (node("Conv", "x w", "y", name="bad"), {"w": np.zeros((2, 2), np.float32)}),
    "Split": (node("Split", "x", "y z", name="bad", axis=BIG), {}),
    "Transpose": (node("Transpose", "x", "y", name="bad", perm=[0, 0, 1, 1]), {}),
    "Softmax": (node("Softmax", "x", "y", name="bad", axis=99), {}),
    "Concat": (node("Concat", "x s", "y", name="bad", axis=0), {"s": np.zeros(3, np.float32)}),
    "Gather": (node("Gather", "x s", "y", name="bad", axis=-7), {"s": ints(1)}),
    "Reshape": (node("Reshape", "x s", "y", name="bad"), {"s": ints(-1, -1)}),
    "Unsqueeze": (node("Unsqueeze", "x s", "y", name="bad"), {"s": ints(0, 0)}),
    "MatMulNBits": (node("MatMulNBits", "x b s", "y", "com.microsoft", name="bad", K=BIG, N=BIG,
                         block_size=32),
                    {"b": np.zeros((1, 1, 16), np.uint8), "s": np.zeros(1, np.float32)}),
    "Einsum": (node("Einsum", "x", "y", name="bad", equation="ab->ab"), {}),
    "Range by nothing": (node("Range", "a s d", "y", name="bad"),
                         {"a": np.array(0), "s": np.array(9), "d": np.array(0)}),
    "Pad in circles": (node("Pad", "x s", "y", name="bad", mode="wrap"),
                       {"s": ints(BIG, 0, 0, 0, 0, 0, 0, 0)}),
    "Pad in mirrors": (node("Pad", "x s", "y", name="bad", mode="reflect"),
                       {"s": ints(BIG, 0, 0, 0, 0, 0, 0, 0)}),
    "HannWindow": (node("HannWindow", "s", "y", name="bad"), {"s": np.array(BIG)}),
    "DFT": (node("DFT", "x s a", "y", name="bad"), {"s": np.array(BIG), "a": np.array(1)}),
}  # fmt: skip


@pytest.mark.parametrize("name", ABSURD)
def test_absurd(name: str) -> None:
    bad, held = ABSURD[name]
    file = model([bad], {"x": X}, ["y"], held).SerializeToString()
    tracemalloc.start()
    start = time.perf_counter()
    try:
        with pytest.raises(EdgewiseError) as caught:
            import_onnx(parse(file), {"x": X.shape})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(caught.value, EdgewiseError)
    assert "bad" in str(caught.value.where)
    assert name.split()[0] in str(caught.value)
    assert peak < 64 << 20
    assert time.perf_counter() - start < 5


def test_shapes_of_what_is_made_grow_no_further() -> None:
    """Each node doubles what the last made."""
    nodes = [node("Concat", f"v{i} v{i}", f"v{i + 1}", axis=0) for i in range(40)]
    nodes.insert(0, node("Identity", "x", "v0"))
    proto = model(nodes, {"x": X}, ["v40"])
    with pytest.raises(UnsupportedError, match="elements"):
        import_onnx(parse(proto.SerializeToString()), {"x": X.shape})


SEEDS = range(150)
EXTREMES = (0, -1, 1, 2, 7, 10**6, 2**31, 2**62, -(2**63))


def changed(text: str, rng: random.Random) -> OnnxModel:
    """The model with one number of its structure replaced."""
    data = json.loads(text)
    places = list(numbers(data["graph"][3]))
    held, key = rng.choice(places)
    held[key] = rng.choice(EXTREMES) if type(held[key]) is int else rng.choice([0.0, -1.0, 1e30])
    return from_json(json.dumps(data))


def numbers(data: Any) -> Iterator[tuple[Any, Any]]:
    pairs = data.items() if isinstance(data, dict) else enumerate(data)
    for key, each in list(pairs):
        if isinstance(each, list | dict):
            yield from numbers(each)
        elif type(each) in (int, float):
            yield data, key


NODES = [
    node("Conv", "x w", "a", pads=[1, 1, 1, 1], strides=[2, 2], dilations=[1, 1], group=1),
    node("MaxPool", "a", "b", kernel_shape=[2, 2], strides=[1, 1], ceil_mode=0),
    node("AveragePool", "b", "c", kernel_shape=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1),
    node("Transpose", "c", "d", perm=[0, 2, 3, 1]),
    node("Softmax", "d", "e", axis=-1),
    node("ReduceMean", "e axes", "f", keepdims=1),
    node("Concat", "e e", "g", axis=1),
    node("Split", "g", "h i", axis=1, num_outputs=2),
    node("Flatten", "h", "j", axis=1),
    node("Gemm", "j j", "k", transB=1, alpha=0.5, beta=1.0),
    node("LayerNormalization", "i scale", "l", axis=-1, epsilon=1e-5),
    node("ArgMax", "l", "m", axis=2, keepdims=0, select_last_index=0),
    node("Cast", "m", "n", to=TensorProto.FLOAT),
    node("TopK", "n count", "o p", axis=-1, largest=1, sorted=1),
    node("DepthToSpace", "w4", "q", blocksize=2),
    node("LpNormalization", "k", "r", axis=-1, p=2),
    node("CumSum", "r at", "s", exclusive=0, reverse=1),
    node("Trilu", "s", "t", upper=1),
    node("QuantizeLinear", "t one", "u", axis=1, block_size=0, output_dtype=2),
    node("GatherElements", "n p2", "v", axis=1),
]
HELD = {
    "w": np.ones((4, 3, 3, 3), np.float32), "axes": ints(1), "scale": np.ones(4, np.float32),
    "count": ints(1), "w4": np.ones((1, 8, 2, 2), np.float32), "at": np.array(0),
    "one": np.array(1, np.float32), "p2": np.zeros((2, 1, 1), np.int64),
}  # fmt: skip


def test_a_changed_number_is_refused_or_built() -> None:
    outputs = ["f", "o", "q", "u", "v"]
    text = to_json(parse(model(NODES, {"x": X}, outputs, HELD).SerializeToString()))
    import_onnx(from_json(text), {"x": X.shape})
    refused = [error for seed in SEEDS if (error := refusal(text, seed)) is not None]
    assert len(refused) > len(SEEDS) // 4
    assert all(error.where for error in refused)


def refusal(text: str, seed: int) -> EdgewiseError | None:
    try:
        import_onnx(changed(text, random.Random(seed)), {"x": X.shape})
    except NeedsValues:
        return None
    except EdgewiseError as error:
        return error
    return None
