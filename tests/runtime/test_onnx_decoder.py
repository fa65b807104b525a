"""A decoder as Hugging Face's exporters write them: 4-bit weights, grouped attention over a past.

Two layers of random weights, `com.microsoft` operators throughout, lengths taken from the
attention mask. A prompt and then tokens one by one, against onnxruntime.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgewise.host.cpython import CPythonHost
from edgewise.runtime.model import Target
from edgewise.store.pack import pack
from edgewise.tasks.onnx import open_model
from tests.importers.onnx.oracle import Array, model, node, theirs

VOCAB, HIDDEN, HEADS, GROUPS, SIZE, FFN, LAYERS, BLOCK = 96, 64, 4, 2, 16, 128, 2, 32
MS = "com.microsoft"
TARGETS = ("reference", pytest.param("webgpu", marks=pytest.mark.gpu))


def decoder() -> onnx.ModelProto:
    rng = np.random.default_rng(23)
    held: dict[str, Array] = {
        "embedding": rng.normal(size=(VOCAB, HIDDEN)).astype(np.float32),
        "one": np.array([1]), "second": np.array(1),
    }  # fmt: skip
    angles = np.arange(32)[:, None] * 10000 ** -(np.arange(SIZE // 2) * 2 / SIZE)
    held |= {"cos": np.cos(angles).astype(np.float32), "sin": np.sin(angles).astype(np.float32)}
    nodes = [
        node("Gather", "embedding input_ids", "h0"),
        node("ReduceSum", "attention_mask one", "count", keepdims=0),
        node("Sub", "count one", "last"), node("Cast", "last", "seqlens", to=6),
        node("Shape", "attention_mask", "sizes"), node("Gather", "sizes second", "wide"),
        node("Cast", "wide", "total", to=6),
    ]  # fmt: skip

    def norm(name: str) -> str:
        held[name] = (1 + 0.1 * rng.normal(size=HIDDEN)).astype(np.float32)
        return name

    def product(x: str, y: str, out: int, width: int) -> None:
        blocks = width // BLOCK
        held[f"{y}_q"] = rng.integers(0, 256, (out, blocks, BLOCK // 2)).astype(np.uint8)
        held[f"{y}_s"] = (rng.uniform(0.5, 1, (out, blocks)) / 40).astype(np.float32)
        held[f"{y}_z"] = rng.integers(0, 256, (out, -(-blocks // 2))).astype(np.uint8)
        nodes.append(node("MatMulNBits", f"{x} {y}_q {y}_s {y}_z", y, MS, K=width, N=out, bits=4,
                          block_size=BLOCK))  # fmt: skip

    nodes.append(node("SimplifiedLayerNormalization", f"h0 {norm('n0')}", "a0", epsilon=1e-5))
    residual = "h0"
    for i in range(LAYERS):
        product(f"a{i}", f"q{i}", HEADS * SIZE, HIDDEN)
        product(f"a{i}", f"k{i}", GROUPS * SIZE, HIDDEN)
        product(f"a{i}", f"v{i}", GROUPS * SIZE, HIDDEN)
        nodes.append(node(
            "GroupQueryAttention",
            f"q{i} k{i} v{i} past_key_{i} past_value_{i} seqlens total cos sin",
            f"m{i} present_key_{i} present_value_{i}", MS, num_heads=HEADS,
            kv_num_heads=GROUPS, do_rotary=1,
        ))  # fmt: skip
        product(f"m{i}", f"o{i}", HIDDEN, HEADS * SIZE)
        scale = norm(f"f{i}_n")
        nodes.append(node("SkipSimplifiedLayerNormalization", f"{residual} o{i} {scale}",
                          f"f{i} - - r{i}", MS, epsilon=1e-5))  # fmt: skip
        product(f"f{i}", f"gate{i}", FFN, HIDDEN)
        product(f"f{i}", f"up{i}", FFN, HIDDEN)
        nodes += [node("Sigmoid", f"gate{i}", f"g{i}"), node("Mul", f"gate{i} g{i}", f"s{i}"),
                  node("Mul", f"s{i} up{i}", f"t{i}")]  # fmt: skip
        product(f"t{i}", f"d{i}", HIDDEN, FFN)
        scale = norm(f"a{i + 1}_n")
        nodes.append(node("SkipSimplifiedLayerNormalization", f"r{i} d{i} {scale}",
                          f"a{i + 1} - - e{i}", MS, epsilon=1e-5))  # fmt: skip
        residual = f"e{i}"
    product(f"a{LAYERS}", "logits", VOCAB, HIDDEN)
    caches = [f"present_{part}_{i}" for i in range(LAYERS) for part in ("key", "value")]
    proto = model(nodes, first(), ["logits", *caches], held)
    for value in proto.graph.input:  # any length, as the exporters say
        for dim in value.type.tensor_type.shape.dim:
            dim.dim_param = f"n{dim.dim_value}"
    return proto


def first() -> dict[str, Array]:
    """A prompt of five tokens over an empty past."""
    inputs: dict[str, Array] = {
        "input_ids": np.array([[3, 14, 15, 92, 65]]), "attention_mask": np.ones((1, 5), np.int64),
    }  # fmt: skip
    for i in range(LAYERS):
        for part in ("key", "value"):
            inputs[f"past_{part}_{i}"] = np.zeros((1, GROUPS, 0, SIZE), np.float32)
    return inputs


def then(made: dict[str, Any]) -> dict[str, Array]:
    """The inputs that follow: the likeliest token over what was made."""
    token = made["logits"][:, -1:].argmax(-1)
    caches = {name.replace("present", "past"): each for name, each in made.items()
              if name != "logits"}  # fmt: skip
    length = caches["past_key_0"].shape[2] + 1
    return {"input_ids": token, "attention_mask": np.ones((1, length), np.int64), **caches}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("packed", [False, True])
def test_a_prompt_and_three_tokens(target: Target, packed: bool, tmp_path: Path) -> None:
    path = tmp_path / "decoder.onnx"
    onnx.save(decoder(), path)
    address = str(pack(path, tmp_path / "out")) if packed else str(path)

    async def answer() -> list[tuple[dict[str, Array], dict[str, Any]]]:
        host = CPythonHost(tmp_path / "store")
        session = await open_model(address, target=target, host=host)
        inputs, found = first(), []
        for _ in range(4):
            found.append((inputs, await session.run(inputs)))
            inputs = then(found[-1][1])
        await session.close()
        return found

    names = [each.name for each in decoder().graph.output]
    for inputs, made in asyncio.run(answer()):
        for name, official in zip(names, theirs(path, inputs), strict=True):
            np.testing.assert_allclose(made[name], official, rtol=0, atol=1e-3, err_msg=name)
