"""Quantised operators against onnxruntime: integers exactly, floats to rounding."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto

from edgewise.errors import UnsupportedError
from edgewise.formats.onnx_read import parse
from edgewise.importers.onnx import import_onnx
from tests.importers.onnx.oracle import Array, Arrays, check, model, node

RNG = np.random.default_rng(17)
MS = "com.microsoft"


def floats(*shape: int, scale: float = 1.0) -> Array:
    return (RNG.normal(size=shape) * scale).astype(np.float32)


def scales(*shape: int) -> Array:
    return RNG.uniform(0.01, 0.1, shape).astype(np.float32)


def codes(dtype: str, *shape: int) -> Array:
    info = np.iinfo(dtype)
    return RNG.integers(info.min, info.max + 1, shape).astype(dtype)


def near(dtype: str, *shape: int) -> Array:
    """Zero points away from the ends, so that little saturates."""
    info = np.iinfo(dtype)
    middle, reach = (info.min + info.max + 1) // 2, 9
    return RNG.integers(middle - reach, middle + reach, shape).astype(dtype)


def run(op: str, inputs: Arrays, outputs: int = 1, *, domain: str = "", atol: float = 1e-5,
        version: int = 21, **attrs: Any) -> None:  # fmt: skip
    """Check one node whose first input is given and whose others are stored."""
    first, *others = inputs
    names = [name if array.size else "-" for name, array in inputs.items()]
    made = [f"y{place}" for place in range(outputs)]
    held = {name: inputs[name] for name in others if inputs[name].size}
    proto = model([node(op, " ".join(names), " ".join(made), domain, **attrs)],
                  {first: inputs[first]}, made, held, opset=version)  # fmt: skip
    check(proto, {first: inputs[first]}, atol=atol)


ABSENT = np.zeros(0, np.float32)
SHAPES: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "tensor": ((), {}), "axis": ((6,), {"axis": 1}), "last": ((8,), {"axis": -1}),
    "blocks": ((4, 3, 8), {"axis": 1, "block_size": 2}),
    "part of a block": ((4, 6, 3), {"axis": 2, "block_size": 3}),
}  # fmt: skip


@pytest.mark.parametrize(("dtype", "zero"), [
    ("uint8", True), ("int8", True), ("uint16", True), ("int16", True), ("uint8", False),
])  # fmt: skip
@pytest.mark.parametrize("kind", SHAPES)
def test_quantize_linear(dtype: str, zero: bool, kind: str) -> None:
    shape, attrs = SHAPES[kind]
    run("QuantizeLinear", {"x": floats(4, 6, 8, scale=9), "s": scales(*shape),
                           "z": near(dtype, *shape) if zero else ABSENT}, **attrs)  # fmt: skip


@pytest.mark.parametrize("code", [TensorProto.INT8, TensorProto.UINT16, TensorProto.INT16])
def test_quantize_linear_to_a_type_that_an_attribute_names(code: int) -> None:
    run("QuantizeLinear", {"x": floats(4, 6), "s": scales()}, output_dtype=code)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32"])
@pytest.mark.parametrize("kind", SHAPES)
def test_dequantize_linear(dtype: str, kind: str) -> None:
    shape, attrs = SHAPES[kind]
    zero = ABSENT if dtype == "int32" else near(dtype, *shape)
    x = codes(dtype, 4, 6, 8) // (1 << 16 if dtype == "int32" else 1)
    run("DequantizeLinear", {"x": x, "s": scales(*shape), "z": zero}, **attrs)


@pytest.mark.parametrize("dtype", ["uint4", "int4"])
@pytest.mark.parametrize("kind", SHAPES)
def test_four_bits(dtype: str, kind: str) -> None:
    """Floats to codes and back: codes as a model's output are no array of NumPy's."""
    shape, attrs = SHAPES[kind]
    four = getattr(ml_dtypes, dtype)
    zero = RNG.integers(0, 7, shape).astype(np.int8).astype(four)
    inputs, held = {"x": floats(4, 6, 8, scale=0.2)}, {"s": scales(*shape), "z": np.asarray(zero)}
    nodes = [node("QuantizeLinear", "x s z", "q", **attrs),
             node("DequantizeLinear", "q s z", "y", **attrs)]  # fmt: skip
    check(model(nodes, inputs, ["y"], held), inputs, atol=1e-5)


@pytest.mark.parametrize("opset", [13, 19, 21])
def test_pairs_of_every_opset(opset: int) -> None:
    inputs = {"x": floats(3, 5)}
    held = {"s": scales(5), "z": near("int8", 5)}
    nodes = [node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z", "y")]
    check(model(nodes, inputs, ["q", "y"], held, opset=opset), inputs, atol=1e-5)


def test_pairs_of_microsoft() -> None:
    inputs = {"x": floats(3, 5)}
    held = {"s": scales(), "z": near("uint16")}
    nodes = [node("QuantizeLinear", "x s z", "q", MS), node("DequantizeLinear", "q s z", "y", MS)]
    check(model(nodes, inputs, ["q", "y"], held), inputs, atol=1e-5)


def test_float8_is_refused_by_name() -> None:
    proto = model([node("QuantizeLinear", "x s", "y", output_dtype=17, name="eight")],
                  {"x": floats(3)}, ["y"], {"s": scales()})  # fmt: skip
    with pytest.raises(UnsupportedError, match=r"FLOAT8E4M3FN(.|\n)*eight"):
        import_onnx(parse(proto.SerializeToString()), {"x": (3,)})


@pytest.mark.parametrize("values", ["both", "positive", "negative", "zero"])
def test_dynamic_quantize_linear(values: str) -> None:
    x = floats(3, 7)
    x = {"both": x, "positive": abs(x), "negative": -abs(x), "zero": x * 0}[values]
    run("DynamicQuantizeLinear", {"x": x}, 3, atol=1e-6)


@pytest.mark.parametrize(("a", "b"), [("uint8", "uint8"), ("uint8", "int8"), ("int8", "int8")])
@pytest.mark.parametrize("columns", [False, True])
def test_matmul_integer(a: str, b: str, columns: bool) -> None:
    run("MatMulInteger", {"a": codes(a, 2, 3, 8), "b": codes(b, 8, 5), "az": near(a),
                          "bz": near(b, *[5] if columns else [])})  # fmt: skip


def test_matmul_integer_without_zero_points() -> None:
    run("MatMulInteger", {"a": codes("uint8", 3, 8), "b": codes("uint8", 8, 5)})


@pytest.mark.parametrize("attrs", [{}, {"pads": [1, 1, 1, 1], "strides": [2, 2]}, {"group": 2}])
@pytest.mark.parametrize("zero", [False, True])
def test_conv_integer(attrs: dict[str, Any], zero: bool) -> None:
    w = codes("uint8", 4, 4 // attrs.get("group", 1), 3, 3)
    inputs = {"x": codes("uint8", 1, 4, 6, 6), "w": w}
    if zero:
        inputs |= {"xz": near("uint8"), "wz": near("uint8")}
    run("ConvInteger", inputs, **attrs)


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize("columns", [False, True])
def test_q_linear_matmul(dtype: str, columns: bool) -> None:
    wide = [5] if columns else []
    run("QLinearMatMul", {
        "a": codes(dtype, 2, 3, 8), "as": scales(), "az": near(dtype), "b": codes(dtype, 8, 5),
        "bs": scales(*wide), "bz": near(dtype, *wide), "ys": scales() * 100, "yz": near(dtype),
    })  # fmt: skip


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("channels", [False, True])
@pytest.mark.parametrize("attrs", [{}, {"pads": [1, 0, 1, 2]}, {"group": 2, "strides": [2, 1]}])
def test_q_linear_conv(bias: bool, channels: bool, attrs: dict[str, Any]) -> None:
    wide = [4] if channels else []
    inputs = {
        "x": codes("uint8", 2, 4, 6, 6), "xs": scales(), "xz": near("uint8"),
        "w": codes("int8", 4, 4 // attrs.get("group", 1), 3, 3), "ws": scales(*wide),
        "wz": np.zeros(wide, np.int8), "ys": scales() * 300, "yz": near("uint8"),
    }  # fmt: skip
    if bias:
        inputs["b"] = RNG.integers(-9000, 9000, 4).astype(np.int32)
    run("QLinearConv", inputs, **attrs)


@pytest.mark.parametrize("op", ["QLinearAdd", "QLinearMul"])
@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_two_quantised_tensors(op: str, dtype: str) -> None:
    run(op, {"a": codes(dtype, 3, 8), "as": scales(), "az": near(dtype), "b": codes(dtype, 8),
             "bs": scales(), "bz": near(dtype), "ys": scales() * 5, "yz": near(dtype)},
        domain=MS)  # fmt: skip


@pytest.mark.parametrize(("op", "shape", "attrs"), [
    ("QLinearSigmoid", (3, 8), {}), ("QLinearLeakyRelu", (3, 8), {"alpha": 0.2}),
    ("QLinearGlobalAveragePool", (2, 4, 5, 5), {"channels_last": 0}),
    ("QLinearGlobalAveragePool", (2, 5, 5, 4), {"channels_last": 1}),
    ("QLinearAveragePool", (2, 4, 6, 6), {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ("QLinearSoftmax", (3, 8), {"axis": -1, "opset": 13}),
])  # fmt: skip
def test_one_quantised_tensor(op: str, shape: tuple[int, ...], attrs: dict[str, Any]) -> None:
    small = np.array(1 / 256 if op in ("QLinearSoftmax", "QLinearSigmoid") else 0.3, np.float32)
    zero = np.zeros((), np.uint8) if op == "QLinearSoftmax" else near("uint8")
    run(op, {"x": codes("uint8", *shape), "xs": scales(), "xz": near("uint8"),
             "ys": small, "yz": zero}, domain=MS, **attrs)  # fmt: skip


def test_q_linear_concat() -> None:
    x = {"x": codes("uint8", 2, 3)}
    held = {"ys": scales() * 3, "yz": near("uint8"), "xs": scales(), "xz": near("uint8"),
            "w": codes("uint8", 2, 5), "ws": scales(), "wz": near("uint8")}  # fmt: skip
    proto = model([node("QLinearConcat", "ys yz x xs xz w ws wz", "y", MS, axis=1)], x, ["y"], held)
    check(proto, x, atol=0)


@pytest.mark.parametrize("quantised", [False, True])
@pytest.mark.parametrize("turned", [0, 1])
def test_q_gemm(quantised: bool, turned: int) -> None:
    inputs = {
        "a": codes("uint8", 3, 8), "as": scales(), "az": near("uint8"),
        "b": codes("int8", *(5, 8) if turned else (8, 5)), "bs": scales(5),
        "bz": np.zeros(5, np.int8), "c": RNG.integers(-900, 900, 5).astype(np.int32),
    }  # fmt: skip
    if quantised:
        inputs |= {"ys": scales() * 100, "yz": near("uint8")}
    run("QGemm", inputs, domain=MS, transB=turned, alpha=1.0)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("columns", [False, True])
def test_products_to_floats(bias: bool, columns: bool) -> None:
    wide = [5] if columns else []
    more = {"bias": floats(5)} if bias else {}
    run("MatMulIntegerToFloat", {
        "a": codes("uint8", 3, 8), "b": codes("int8", 8, 5), "as": scales(), "bs": scales(*wide),
        "az": near("uint8"), "bz": np.zeros(wide, np.int8), **more,
    }, domain=MS)  # fmt: skip
    run("DynamicQuantizeMatMul", {
        "a": floats(3, 8), "b": codes("int8", 8, 5), "bs": scales(*wide),
        "bz": np.zeros(wide, np.int8), **more,
    }, domain=MS, atol=1e-4)  # fmt: skip
