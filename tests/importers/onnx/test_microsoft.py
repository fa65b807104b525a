"""Every `com.microsoft` operator here against onnxruntime on small random models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from onnx import helper

from edgewise.errors import UnsupportedError
from tests.importers.onnx.oracle import Array, check, model, node, ours

RNG = np.random.default_rng(11)
MS = "com.microsoft"


def floats(*shape: int, scale: float = 1.0) -> Array:
    return (RNG.normal(size=shape) * scale).astype(np.float32)


def run(op: str, inputs: Mapping[str, Array | None], outputs: int = 1, *, atol: float = 1e-5,
        domain: str = MS, constants: tuple[str, ...] = (), wanted: set[int] | None = None,
        **attrs: Any) -> None:  # fmt: skip
    """Check one node; an input of None is absent, and the names in `constants` are stored."""
    names = " ".join(name if array is not None else "-" for name, array in inputs.items())
    made = [f"y{place}" for place in range(outputs)]
    asked = [name for place, name in enumerate(made) if wanted is None or place in wanted]
    words = " ".join(name if name in asked else "-" for name in made)
    given = {name: array for name, array in inputs.items()
             if array is not None and name not in constants}  # fmt: skip
    held = {name: array for name, array in inputs.items()
            if array is not None and name in constants}  # fmt: skip
    proto = model([node(op, names, words, domain, **attrs)], given, asked, held)
    check(proto, given, atol=atol)


@pytest.mark.parametrize("op", ["Gelu", "FastGelu", "QuickGelu"])
def test_activations(op: str) -> None:
    run(op, {"x": floats(2, 3, 8, scale=3)})


def test_activations_with_bias() -> None:
    run("BiasGelu", {"x": floats(2, 3, 8), "b": floats(8)})
    run("FastGelu", {"x": floats(2, 3, 8), "b": floats(8)})
    run("QuickGelu", {"x": floats(5)}, alpha=1.0)


@pytest.mark.parametrize("axis", [-1, 1])
def test_simplified_layer_normalization(axis: int) -> None:
    scale = floats(8) if axis == -1 else floats(3, 8)
    run("SimplifiedLayerNormalization", {"x": floats(2, 3, 8), "s": scale}, 2, domain="",
        axis=axis, epsilon=1e-4)  # fmt: skip


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("flat", [False, True])
def test_skip_norms(bias: bool, flat: bool) -> None:
    x, skip = floats(2, 3, 8), floats(*(1, 3, 8) if flat else (2, 3, 8))
    added = floats(8) if bias else None
    run("SkipSimplifiedLayerNormalization", {"x": x, "skip": skip, "g": floats(8), "b": added}, 4,
        wanted={0, 3})  # fmt: skip
    run("SkipLayerNormalization",
        {"x": x, "skip": skip, "g": floats(8), "beta": floats(8), "b": added}, 4,
        wanted={0, 3}, epsilon=1e-5)  # fmt: skip


@pytest.mark.parametrize("attrs", [
    {}, {"transA": 1}, {"transB": 1}, {"transA": 1, "transB": 1, "alpha": 0.25},
])  # fmt: skip
def test_fused_matmul(attrs: dict[str, Any]) -> None:
    a = floats(*(2, 4, 3) if attrs.get("transA") else (2, 3, 4))
    b = floats(*(2, 5, 4) if attrs.get("transB") else (2, 4, 5))
    run("FusedMatMul", {"a": a, "b": b}, **attrs)


def test_fused_matmul_over_turned_batches() -> None:
    run("FusedMatMul", {"a": floats(3, 2, 4), "b": floats(2, 4, 5)}, transBatchA=1)
    run("FusedMatMul", {"a": floats(4, 2, 3), "b": floats(2, 4, 5)}, transBatchA=1, transA=1)


@pytest.mark.parametrize(("activation", "params"), [
    ("Relu", None), ("LeakyRelu", [0.2]), ("HardSigmoid", [0.3, 0.4]), ("Clip", [-0.5, 0.5]),
    ("Tanh", None), ("Sigmoid", None),
])  # fmt: skip
def test_fused_conv(activation: str, params: list[float] | None) -> None:
    attrs: dict[str, Any] = {"activation_params": params} if params else {}
    inputs = {"x": floats(1, 4, 6, 6), "w": floats(4, 4, 3, 3), "b": floats(4)}
    run("FusedConv", inputs, activation=activation, pads=[1, 1, 1, 1], **attrs)
    if activation == "Relu":
        inputs["z"] = floats(1, 4, 6, 6)
        run("FusedConv", inputs, activation=activation, pads=[1, 1, 1, 1])


def test_fused_gemm() -> None:
    run("FusedGemm", {"a": floats(3, 4), "b": floats(5, 4), "c": floats(5)}, transB=1,
        activation="LeakyRelu", activation_alpha=0.1)  # fmt: skip


@pytest.mark.parametrize("full", [False, True])
def test_embed_layer_normalization(full: bool) -> None:
    ids = RNG.integers(0, 20, (2, 5)).astype(np.int32)
    segments = RNG.integers(0, 2, (2, 5)).astype(np.int32)
    mask = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], np.int32)
    run("EmbedLayerNormalization", {
        "ids": ids, "segments": segments if full else None, "words": floats(20, 8),
        "places": floats(16, 8), "table": floats(2, 8) if full else None, "g": floats(8),
        "beta": floats(8), "mask": mask if full else None,
    }, 3 if full else 2, wanted=None if full else {0}, epsilon=1e-6)  # fmt: skip


def rotary_cache(length: int, half: int) -> dict[str, Array]:
    angles = np.arange(length)[:, None] * 0.5 ** np.arange(half)[None]
    return {"cos": np.cos(angles).astype(np.float32), "sin": np.sin(angles).astype(np.float32)}


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("layout", ["flat", "heads", "offset", "partial"])
def test_rotary_embedding(interleaved: int, layout: str) -> None:
    x = floats(2, 5, 24) if layout in ("flat", "partial") else floats(2, 3, 5, 8)
    positions = RNG.integers(0, 16, (2, 5))
    if layout == "offset":
        positions = np.array([4])
    attrs: dict[str, Any] = {}
    if layout == "partial":
        attrs = {"num_heads": 3, "rotary_embedding_dim": 4}
    run("RotaryEmbedding", {"x": x, "p": positions, **rotary_cache(16, 2 if attrs else 4)},
        interleaved=interleaved, **attrs)  # fmt: skip


H, D = 3, 8


@pytest.mark.parametrize("kind", [
    "plain", "bias", "mask", "lengths", "mask3", "added", "past", "causal", "scale", "cross",
])  # fmt: skip
def test_multi_head_attention(kind: str) -> None:
    b, s, t = 2, 5, 5 if kind not in ("cross", "mask") else 7
    inputs: dict[str, Array | None] = {
        "q": floats(b, s, H * D), "k": floats(b, t, H * D), "v": floats(b, t, H * D),
        "bias": None, "mask": None, "added": None, "pk": None, "pv": None,
    }  # fmt: skip
    attrs: dict[str, Any] = {"num_heads": H}
    outputs = 1
    if kind == "bias":
        inputs["bias"] = floats(3 * H * D)
    elif kind == "mask":
        inputs["mask"] = (np.arange(t)[None] < np.array([[t], [3]])).astype(np.int32)
    elif kind == "lengths":
        inputs["mask"] = np.array([5, 3], np.int32)
    elif kind == "mask3":
        inputs["mask"] = RNG.integers(0, 2, (b, s, t)).astype(np.int32)
    elif kind == "added":
        inputs["added"] = floats(1, H, s, t)
    elif kind == "past":
        inputs |= {"pk": floats(b, H, 4, D), "pv": floats(b, H, 4, D)}
        outputs = 3
    elif kind == "causal":
        attrs["unidirectional"] = 1
    elif kind == "scale":
        attrs["scale"] = 0.2
    run("MultiHeadAttention", inputs, outputs, **attrs)


@pytest.mark.parametrize("added", [False, True])
def test_multi_head_attention_that_shows_its_scores(added: bool) -> None:
    inputs = {name: floats(2, 5, H * D) for name in "qkv"}
    if added:
        inputs["more"] = floats(1, H, 5, 5)
    names = "q k v - - more" if added else "q k v"
    made = node("MultiHeadAttention", names, "y - - scores", MS, num_heads=H)
    proto = model([made], inputs, ["y", "scores"])
    proto.graph.output[1].CopyFrom(helper.make_tensor_value_info("scores", 1, None))
    check(proto, inputs, atol=1e-5)


def test_multi_head_attention_of_packed_tensors() -> None:
    """Which onnxruntime does on GPUs alone: the same as apart."""
    apart = [floats(2, 5, H * D) for _ in range(3)]
    q, k, v = (each.reshape(2, 5, H, 1, D) for each in apart)
    given = [dict(zip("qkv", apart, strict=True)), {"q": np.concatenate([q, k, v], 3)},
             {"q": apart[0], "k": np.concatenate([k, v], 3)}]  # fmt: skip
    made = []
    for inputs in given:
        nodes = [node("MultiHeadAttention", " ".join(inputs), "y", MS, num_heads=H)]
        made.append(ours(model(nodes, inputs, ["y"]), inputs)[0])
    np.testing.assert_array_equal(made[0], made[1])
    np.testing.assert_array_equal(made[0], made[2])


@pytest.mark.parametrize("kind", ["plain", "mask", "lengths", "both", "causal", "past", "sizes"])
def test_attention(kind: str) -> None:
    b, s = 2, 5
    inputs: dict[str, Array | None] = {
        "x": floats(b, s, 12), "w": floats(12, 3 * H * D, scale=0.3), "b": floats(3 * H * D),
        "mask": None, "past": None,
    }  # fmt: skip
    attrs: dict[str, Any] = {"num_heads": H}
    outputs = 1
    if kind == "mask":
        inputs["mask"] = (np.arange(s)[None] < np.array([[s], [3]])).astype(np.int32)
    elif kind == "lengths":
        inputs["mask"] = np.array([5, 3], np.int32)
    elif kind == "both":
        inputs["mask"] = np.array([5, 4, 0, 2], np.int32)
    elif kind == "causal":
        attrs["unidirectional"] = 1
    elif kind == "past":
        inputs["past"], outputs = floats(2, b, H, 4, D), 2
        attrs["unidirectional"] = 1
    elif kind == "sizes":
        attrs["qkv_hidden_sizes"] = [H * D, H * D, 2 * H]
        inputs |= {"w": floats(12, 2 * H * D + 2 * H, scale=0.3), "b": floats(2 * H * D + 2 * H)}
    run("Attention", inputs, outputs, **attrs)


GQA_D = 16  # onnxruntime wants a multiple of 16


def grouped(b: int, s: int, past: int, *, buffer: int = 0, lengths: list[int] | None = None,
            packed: bool = False, **attrs: Any) -> None:  # fmt: skip
    heads, groups = 4, 2
    held = buffer or past
    total = past + s
    wide = (heads + 2 * groups) * GQA_D
    inputs: dict[str, Array | None] = {
        "q": floats(b, s, wide if packed else heads * GQA_D),
        "k": None if packed else floats(b, s, groups * GQA_D),
        "v": None if packed else floats(b, s, groups * GQA_D),
        "pk": floats(b, groups, held, GQA_D), "pv": floats(b, groups, held, GQA_D),
        "seqlens": np.array([each - 1 for each in lengths or [total] * b], np.int32),
        "total": np.array(total, np.int32),
    }  # fmt: skip
    if attrs.get("do_rotary"):
        inputs |= rotary_cache(32, GQA_D // 2)
    else:
        inputs |= {"cos": None, "sin": None}
    added = attrs.pop("added", None)
    sink = attrs.pop("sink", None)
    if added or sink:
        inputs |= {"p": None, "added": floats(1, heads, s, total) if added else None}
    if sink:
        inputs["sink"] = floats(heads)
    run("GroupQueryAttention", inputs, 3, num_heads=heads, kv_num_heads=groups, **attrs)


@pytest.mark.parametrize("attrs", [
    {}, {"do_rotary": 1}, {"do_rotary": 1, "rotary_interleaved": 1}, {"packed": True},
    {"packed": True, "do_rotary": 1}, {"softcap": 5.0}, {"local_window_size": 3}, {"scale": 0.1},
    {"added": True}, {"smooth_softmax": 1}, {"sink": True}, {"causal": 0},
])  # fmt: skip
@pytest.mark.parametrize(("s", "past"), [(5, 0), (1, 6)])
@pytest.mark.parametrize("b", [1, 2])
def test_group_query_attention(attrs: dict[str, Any], s: int, past: int, b: int) -> None:
    grouped(b, s, past, **attrs)


@pytest.mark.parametrize("attrs", [{}, {"do_rotary": 1}, {"softcap": 3.0}])
def test_group_query_attention_over_a_longer_buffer(attrs: dict[str, Any]) -> None:
    grouped(1, 1, 6, buffer=12, **attrs)
    grouped(2, 1, 6, buffer=12, **attrs)


def test_group_query_attention_of_texts_that_differ_in_length() -> None:
    grouped(2, 1, 6, lengths=[7, 4], do_rotary=1)
    grouped(2, 1, 6, buffer=9, lengths=[5, 7], do_rotary=1)


def test_group_query_attention_goes_on_in_several_tokens() -> None:
    grouped(1, 3, 6, do_rotary=1)


def blocks(rows: int, width: int, block: int, bits: int, zero: str) -> dict[str, Array | None]:
    count = -(-width // block)
    codes = RNG.integers(0, 256, (rows, count, block * bits // 8)).astype(np.uint8)
    per_row = -(-count * bits // 8)
    zeros: Array | None = None
    if zero == "packed":
        zeros = RNG.integers(0, 256, (rows, per_row)).astype(np.uint8)
    elif zero == "float":
        zeros = RNG.uniform(0, 1 << bits, (rows, count)).astype(np.float32)
    return {"b": codes, "s": floats(rows, count, scale=0.1), "z": zeros}


@pytest.mark.parametrize(("width", "block"), [(64, 32), (96, 32), (48, 16), (80, 32), (128, 128)])
@pytest.mark.parametrize(("bits", "zero"), [
    (4, "none"), (4, "packed"), (8, "none"), (8, "packed"),
    (4, "float"),  # onnxruntime's CPU provider takes none with 8 bits
])  # fmt: skip
def test_matmul_n_bits(bits: int, width: int, block: int, zero: str) -> None:
    inputs = {"a": floats(2, 3, width), **blocks(24, width, block, bits, zero)}
    run("MatMulNBits", inputs, constants=("b", "s", "z"), atol=1e-4, K=width, N=24, bits=bits,
        block_size=block)  # fmt: skip


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("zero", ["none", "packed"])
def test_matmul_n_bits_of_a_weight_in_the_file(bits: int, zero: str) -> None:
    """More than 64 KiB of codes: they stay where they are."""
    run("MatMulNBits", {"a": floats(3, 512), **blocks(520, 512, 32, bits, zero)},
        constants=("b", "s", "z"), atol=1e-4, K=512, N=520, bits=bits, block_size=32)  # fmt: skip


def test_matmul_n_bits_with_bias() -> None:
    inputs = {"a": floats(3, 64), **blocks(24, 64, 32, 4, "none"), "g": None, "bias": floats(24)}
    run("MatMulNBits", inputs, constants=("b", "s", "bias"), atol=1e-4, K=64, N=24, bits=4,
        block_size=32)  # fmt: skip


def test_matmul_of_two_bits_is_refused_by_name() -> None:
    inputs = {"a": floats(3, 64), **blocks(24, 64, 32, 4, "none")}
    given = {name: array for name, array in inputs.items() if array is not None}
    proto = model([node("MatMulNBits", "a b s", "y", MS, K=64, N=24, bits=2, block_size=64)],
                  {"a": given.pop("a")}, ["y"], given)  # fmt: skip
    with pytest.raises(UnsupportedError, match="MatMulNBits"):
        ours(proto, {"a": floats(3, 64)})


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("bits", [4, 8])
def test_gather_block_quantized(zero: bool, bits: int) -> None:
    rows, width, block = 20, 64, 32
    codes = RNG.integers(0, 256, (rows, width * bits // 8)).astype(np.uint8)
    zeros = RNG.integers(0, 256, (rows, width // block * bits // 8)).astype(np.uint8)
    run("GatherBlockQuantized", {
        "d": codes, "i": RNG.integers(0, rows, (2, 3)), "s": floats(rows, width // block),
        "z": zeros if zero else None,
    }, constants=("d", "s", "z"), bits=bits, block_size=block, gather_axis=0,
        quantize_axis=1)  # fmt: skip
