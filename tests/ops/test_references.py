"""References of rows on random arrays, with odd shapes and sizes of zero, against ONNX's own.

What ONNX has no operator for is held against plain Python.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, broadcastable_shapes

from edgewise.dtypes import DType
from edgewise.ops import OPS
from edgewise.ops.base import REQUIRED, Param, coerce
from tests.ops import onnx_reference
from tests.ops.decomposition import Array, graph_of, outputs, run

Draw = Callable[[Any], Any]
SHAPES = array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
#: With axes, none of them empty: there NumPy, and so ONNX's reference, refuse some operators.
SOLID = array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4)
ANY = st.sampled_from(["float32", "float16", "int32", "uint32", "int64", "uint64", "int8", "uint8"])
FLOAT = st.sampled_from(["float32", "float16"])
SEEDS = st.integers(0, 2**32 - 1)


def _array(draw: Draw, shape: tuple[int, ...], dtype: str) -> Array:
    rng = np.random.default_rng(draw(SEEDS))
    if np.dtype(dtype).kind == "f":
        return (rng.normal(size=shape) * 3).astype(dtype)
    info = np.iinfo(dtype)
    low, high = draw(st.sampled_from([(info.min, info.max), (max(info.min, -9), 9)]))
    return rng.integers(low, high, shape, dtype, endpoint=True)


def _near(got: Array, want: Array) -> None:
    assert got.shape == want.shape
    limit = 2e-3 if got.dtype == np.float16 else 2e-6
    if got.dtype.kind == "f":
        np.testing.assert_allclose(got, want, rtol=limit, atol=limit)
    else:
        np.testing.assert_array_equal(got, want)


UNARY: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "ceil": ("Ceil", {}, {}), "cos": ("Cos", {}, {}), "erf": ("Erf", {}, {}),
    "exp": ("Exp", {}, {}), "floor": ("Floor", {}, {}), "log": ("Log", {}, {}),
    "reciprocal": ("Reciprocal", {}, {}), "roundEven": ("Round", {}, {}), "sin": ("Sin", {}, {}),
    "sqrt": ("Sqrt", {}, {}), "tan": ("Tan", {}, {}), "sigmoid": ("Sigmoid", {}, {}),
    "elu": ("Elu", {"alpha": 0.75}, {"alpha": 0.75}), "gelu": ("Gelu", {}, {}),
    "hardSigmoid": ("HardSigmoid", {"alpha": 0.25, "beta": 0.625}, {"alpha": 0.25, "beta": 0.625}),
    "hardSwish": ("HardSwish", {}, {}), "softplus": ("Softplus", {}, {}),
    "leakyRelu": ("LeakyRelu", {"alpha": 0.125}, {"alpha": 0.125}),
    "softsign": ("Softsign", {}, {}), "tanh": ("Tanh", {}, {}), "relu": ("Relu", {}, {}),
    "abs": ("Abs", {}, {}), "neg": ("Neg", {}, {}), "sign": ("Sign", {}, {}),
}  # fmt: skip
SIGNED = {"abs", "neg", "sign", "relu"}


@given(st.data())
def test_unary(data: st.DataObject) -> None:
    op = data.draw(st.sampled_from(sorted(UNARY)))
    name, ours, theirs = UNARY[op]
    types = st.sampled_from(["float32", "float16", "int32", "int64", "int8"])
    x = _array(data.draw, data.draw(SHAPES), data.draw(types if op in SIGNED else FLOAT))
    if op in ("log", "sqrt"):
        x = np.abs(x)
    wide = x.astype(np.float32) if x.dtype == np.float16 else x
    (want,) = onnx_reference.run(name, [wide], **theirs)
    _near(run(op, {"input": x}, **ours)[0], np.asarray(want).astype(x.dtype))


BINARY = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "max": "Max", "min": "Min",
    "equal": "Equal", "greater": "Greater", "greaterOrEqual": "GreaterOrEqual",
    "lesser": "Less", "lesserOrEqual": "LessOrEqual", "prelu": "PRelu",
}  # fmt: skip


@given(st.data())
def test_binary_rows_broadcast(data: st.DataObject) -> None:
    op = data.draw(st.sampled_from(sorted(BINARY)))
    first = data.draw(SHAPES)
    second = data.draw(broadcastable_shapes(first, min_side=0, max_dims=4, max_side=4))
    dtype = data.draw(st.sampled_from(["float32", "int8"]) if op == "prelu" else ANY)
    if op == "prelu":
        second = second[max(0, len(second) - len(first)) :]  # ONNX's slope goes one way alone
    a, b = _array(data.draw, first, dtype), _array(data.draw, second, dtype)
    if op == "div":
        b = np.where(b == 0, b.dtype.type(1), b)
        if a.dtype.kind == "i":
            a = np.maximum(a, np.iinfo(a.dtype).min + 1)
    if op == "prelu" and np.broadcast_shapes(first, second) != first:
        return
    names = [port.name for port in OPS[op].inputs]
    got = run(op, dict(zip(names, (a, b), strict=True)))[0]
    if op == "div" and a.dtype.kind in "iu":
        exact = np.broadcast_arrays(a.astype(object), b.astype(object))
        truncated = [abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)
                     for x, y in zip(exact[0].ravel(), exact[1].ravel(), strict=True)]  # fmt: skip
        assert got.ravel().tolist() == truncated
        return
    (want,) = onnx_reference.run(BINARY[op], [a, b])
    _near(got, np.asarray(want).astype(got.dtype))


@given(st.data())
def test_integer_powers_are_exact(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(["int8", "uint8", "int32", "uint32", "int64", "uint64"]))
    info = np.iinfo(dtype)
    a = _array(data.draw, (12,), dtype)
    b = np.arange(-3 if info.min else 0, 9 if info.min else 12, dtype=dtype)
    (got,) = run("pow", {"a": a, "b": b})
    for base, exponent, made in zip(a.tolist(), b.tolist(), got.tolist(), strict=True):
        if exponent >= 0:
            assert (made - base**exponent) % 2**info.bits == 0
        elif abs(base) <= 1:
            assert base == 0 or made == base ** abs(exponent)
        else:
            assert made == 0


@given(st.data())
def test_casts(data: st.DataObject) -> None:
    source, target = data.draw(ANY), data.draw(st.sampled_from(sorted(DType)))
    x = _array(data.draw, data.draw(SHAPES), source)
    stored = {DType.INT4: "int8", DType.UINT4: "uint8"}.get(target, target.value)
    (got,) = outputs_of_cast(x, target)
    assert got.dtype == stored
    if target.is_float:
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(got, x.astype(stored))
        return
    signed = not target.value.startswith("u")
    low = -(2 ** (target.bits - 1)) if signed else 0
    high = low + 2**target.bits - 1
    for before, after in zip(x.ravel().tolist(), got.ravel().tolist(), strict=True):
        if isinstance(before, float):
            assert after == min(max(int(before), low), high)
        else:
            assert low <= after <= high
            assert (after - before) % 2**target.bits == 0


def outputs_of_cast(x: Array, target: DType) -> list[Array]:
    """`run` holds arrays to the types of their values, which 4-bit ones are not."""
    return outputs(graph_of("cast", {"input": x}, dataType=target), {"input": x})


@pytest.mark.parametrize("dtype", ["int32", "uint8", "int64", "uint64", "int8", "uint32"])
def test_floats_out_of_range_are_clamped(dtype: str) -> None:
    info = np.iinfo(dtype)
    x = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 1.9, -0.5], np.float32)
    (got,) = outputs_of_cast(x, DType(dtype))
    assert got.tolist() == [0, info.max, info.min, info.max, info.min, 1, 0]


REDUCTIONS = {
    "reduceL1": "ReduceL1", "reduceL2": "ReduceL2", "reduceLogSum": "ReduceLogSum",
    "reduceLogSumExp": "ReduceLogSumExp", "reduceMax": "ReduceMax", "reduceMean": "ReduceMean",
    "reduceMin": "ReduceMin", "reduceProduct": "ReduceProd", "reduceSum": "ReduceSum",
    "reduceSumSquare": "ReduceSumSquare",
}  # fmt: skip


@given(st.data())
def test_reductions(data: st.DataObject) -> None:
    op = data.draw(st.sampled_from(sorted(REDUCTIONS)))
    shape = data.draw(st.one_of(SOLID, st.just(())))
    exact = op in ("reduceL1", "reduceSum", "reduceSumSquare", "reduceProduct")
    integers = st.sampled_from(["int32", "uint32", "int64", "uint64"])
    dtype = data.draw(
        ANY
        if op in ("reduceMax", "reduceMin")
        else st.one_of(st.just("float32"), integers)
        if exact
        else st.just("float32")
    )
    x = _array(data.draw, shape, dtype)
    x = np.abs(x) if op == "reduceLogSum" else x
    keep = data.draw(st.booleans())
    axes = tuple(data.draw(st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True))
                 if shape else [])  # fmt: skip
    # ONNX's code does not take rank 0
    theirs: list[Array | None]
    theirs = [x, np.array(axes, np.int64)] if shape else [x.reshape(1)]
    (want,) = onnx_reference.run(REDUCTIONS[op], theirs, keepdims=int(keep and bool(shape)))
    given: dict[str, Any] = {"axes": axes} if axes else {}
    _near(run(op, {"input": x}, keepDimensions=keep, **given)[0], np.asarray(want, x.dtype))


@pytest.mark.parametrize("op", sorted(REDUCTIONS))
def test_reductions_of_nothing_and_over_no_axes(op: str) -> None:
    empty = {"reduceMax": -np.inf, "reduceMin": np.inf, "reduceMean": np.nan, "reduceProduct": 1,
             "reduceLogSum": -np.inf, "reduceLogSumExp": -np.inf}.get(op, 0)  # fmt: skip
    (got,) = run(op, {"input": np.zeros((2, 0, 3), np.float32)}, axes=(1,))
    np.testing.assert_array_equal(got, np.full((2, 3), empty, np.float32))
    x = np.array([[0.5, 2.0]], np.float32)
    alone = {"reduceLogSum": np.log(x), "reduceSumSquare": x * x}.get(op, x)
    (got,) = run(op, {"input": x}, axes=())
    np.testing.assert_allclose(got, alone, rtol=1e-6)


@given(st.data())
def test_arg_min_and_max(data: st.DataObject) -> None:
    op, name = data.draw(st.sampled_from([("argMin", "ArgMin"), ("argMax", "ArgMax")]))
    shape, keep = data.draw(SOLID), data.draw(st.booleans())
    axis = data.draw(st.integers(0, len(shape) - 1))
    x = _array(data.draw, shape, data.draw(ANY))
    target = data.draw(st.sampled_from([DType.INT32, DType.INT64]))
    (want,) = onnx_reference.run(name, [x], axis=axis, keepdims=int(keep))
    got = run(op, {"input": x}, axis=axis, keepDimensions=keep, outputDataType=target)[0]
    np.testing.assert_array_equal(got, want)


@given(st.data())
def test_cumulative_sums(data: st.DataObject) -> None:
    shape = data.draw(array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4))
    axis = data.draw(st.integers(0, len(shape) - 1))
    x = _array(data.draw, shape, data.draw(st.sampled_from(["float32", "int32", "int64"])))
    exclusive, backwards = data.draw(st.booleans()), data.draw(st.booleans())
    (want,) = onnx_reference.run("CumSum", [x, np.array(axis)], exclusive=int(exclusive),
                                 reverse=int(backwards))  # fmt: skip
    _near(run("cumulativeSum", {"input": x}, axis=axis, exclusive=exclusive,
              reversed=backwards)[0], want.astype(x.dtype))  # fmt: skip


@given(st.data())
def test_gathers_and_scatters(data: st.DataObject) -> None:
    shape = data.draw(SOLID)
    axis = data.draw(st.integers(0, len(shape) - 1))
    x = _array(data.draw, shape, data.draw(ANY))
    rng = np.random.default_rng(data.draw(SEEDS))
    kind = data.draw(st.sampled_from(["int32", "int64"]))
    op = data.draw(st.sampled_from(["gather", "gatherElements", "scatterElements"]))
    count = data.draw(st.integers(0, shape[axis]))
    if op == "gather":
        size = data.draw(array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3))
        indices = rng.integers(-shape[axis], shape[axis], size).astype(kind)
        want = onnx_reference.run("Gather", [x, indices], axis=axis)
        _near(run(op, {"input": x, "indices": indices}, axis=axis)[0], want[0])
        return
    # different positions along the axis, as what comes twice is scattered in any order
    places = np.argsort(rng.random(shape), axis=axis).take(range(count), axis)
    signs = rng.integers(0, 2, places.shape) * shape[axis]
    indices = (places - signs).astype(kind)
    if op == "gatherElements":
        want = onnx_reference.run("GatherElements", [x, indices], axis=axis)
        _near(run(op, {"input": x, "indices": indices}, axis=axis)[0], want[0])
        return
    updates = _array(data.draw, indices.shape, x.dtype.name)
    want = onnx_reference.run("ScatterElements", [x, indices, updates], axis=axis)
    _near(run(op, {"input": x, "indices": indices, "updates": updates}, axis=axis)[0], want[0])


@given(st.data())
def test_gather_and_scatter_nd(data: st.DataObject) -> None:
    shape = data.draw(SOLID)
    x = _array(data.draw, shape, data.draw(ANY))
    depth = data.draw(st.integers(1, len(shape)))
    n = int(np.prod(shape[:depth]))
    rng = np.random.default_rng(data.draw(SEEDS))
    outer = data.draw(st.sampled_from([(), (0,), (1,), (n,), (1, n), (n, 1)]))
    flat = rng.permutation(n)[: int(np.prod(outer, dtype=int))].reshape(outer)
    indices = np.stack(np.unravel_index(flat, shape[:depth]), -1).reshape(*outer, depth)
    indices = indices - rng.integers(0, 2, indices.shape) * np.array(shape[:depth])
    indices = indices.astype(data.draw(st.sampled_from(["int32", "int64"])))
    got = run("gatherND", {"input": x, "indices": indices})[0]
    want = x[tuple(np.moveaxis(indices, -1, 0))]
    np.testing.assert_array_equal(got, want)
    updates = _array(data.draw, want.shape, x.dtype.name)
    got = run("scatterND", {"input": x, "indices": indices, "updates": updates})[0]
    (theirs,) = onnx_reference.run("ScatterND", [x, indices.astype(np.int64), updates])
    np.testing.assert_array_equal(got, theirs)


@pytest.mark.parametrize("kind", ["int32", "uint32", "int64"])
def test_positions_out_of_range_are_clamped(kind: str) -> None:
    x = np.arange(5, dtype=np.float32)
    info = np.iinfo(kind)
    given = np.array([info.max, 5, 4, info.min, max(info.min, -6)], kind)
    want = [4, 4, 4, 0, 0]
    assert run("gather", {"input": x, "indices": given})[0].tolist() == want
    assert run("gatherElements", {"input": x, "indices": given})[0].tolist() == want
    assert run("gatherND", {"input": x, "indices": given[:, None]})[0].tolist() == want


@given(st.data())
def test_padding(data: st.DataObject) -> None:
    mode = data.draw(st.sampled_from(["constant", "edge", "reflection"]))
    shape = data.draw(SHAPES if mode == "constant" else st.one_of(SOLID, st.just(())))
    x = _array(data.draw, shape, data.draw(ANY))
    most = [size - 1 if mode == "reflection" else 3 for size in shape]
    before, after = (tuple(data.draw(st.integers(0, top)) for top in most) for _ in range(2))
    value = data.draw(st.integers(0, 9))
    (got,) = run("pad", {"input": x}, beginningPadding=before, endingPadding=after, mode=mode,
                 value=value)  # fmt: skip
    how: dict[str, Any] = {"constant_values": value} if mode == "constant" else {}
    name: Any = {"reflection": "reflect"}.get(mode, mode)
    want = np.pad(x, list(zip(before, after, strict=True)), name, **how) if shape else x
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("dtype", "value", "want"),
    [("int8", 300, 127), ("uint8", -1, 0), ("int64", 2**63, 2**63 - 1), ("int32", 2.5, 2),
     ("uint64", 2**64 - 1, 2**64 - 1), ("float16", 1e6, np.inf), ("float32", 1e300, np.inf)],
)  # fmt: skip
def test_the_padding_value_is_cast(dtype: str, value: float, want: float) -> None:
    x = np.zeros(1, dtype)
    (got,) = run("pad", {"input": x}, beginningPadding=(1,), endingPadding=(0,), value=value)
    assert got.tolist() == [want, 0]


@given(st.data())
def test_movement(data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    rank = len(shape)
    x = _array(data.draw, shape, data.draw(ANY))
    counts = tuple(data.draw(st.integers(0, 3)) for _ in shape)
    np.testing.assert_array_equal(run("tile", {"input": x}, repetitions=counts)[0],
                                  np.tile(x, counts))  # fmt: skip
    axes = data.draw(st.permutations(range(rank)))[: data.draw(st.integers(0, rank))]
    turned = x[tuple(slice(None, None, -1 if axis in axes else 1) for axis in range(rank))]
    np.testing.assert_array_equal(run("reverse", {"input": x}, axes=tuple(axes))[0], turned)
    np.testing.assert_array_equal(run("reverse", {"input": x})[0], np.flip(x))
    if rank >= 2:
        upper, diagonal = data.draw(st.booleans()), data.draw(st.integers(-5, 5))
        (want,) = onnx_reference.run("Trilu", [x, np.array(diagonal)], upper=int(upper))
        np.testing.assert_array_equal(
            run("triangular", {"input": x}, upper=upper, diagonal=diagonal)[0], want
        )


@given(st.data())
def test_slices_and_parts(data: st.DataObject) -> None:
    shape = data.draw(array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6))
    x = _array(data.draw, shape, data.draw(ANY))
    starts = tuple(data.draw(st.integers(0, size)) for size in shape)
    pairs = list(zip(starts, shape, strict=True))
    sizes = tuple(data.draw(st.integers(0, size - start)) for start, size in pairs)
    strides = tuple(data.draw(st.integers(1, 3)) for _ in shape)
    cut = tuple(slice(start, start + size, stride)
                for start, size, stride in zip(starts, sizes, strides, strict=True))  # fmt: skip
    got = run("slice", {"input": x}, starts=starts, sizes=sizes, strides=strides)[0]
    np.testing.assert_array_equal(got, x[cut])
    at = data.draw(st.integers(0, shape[0]))
    for part, want in zip(run("split", {"input": x}, splits=(at, shape[0] - at)),
                          np.split(x, [at]), strict=True):  # fmt: skip
        np.testing.assert_array_equal(part, want)


@given(st.data())
def test_quantisation(data: st.DataObject) -> None:
    rank = data.draw(st.integers(1, 3))
    axis = data.draw(st.integers(0, rank - 1))
    counts = [data.draw(st.integers(1, 3)) for _ in range(rank)]
    block = data.draw(st.integers(1, 3))
    shape = tuple(n * block if a == axis else n for a, n in enumerate(counts))
    kind = data.draw(st.sampled_from(["int8", "uint8"]))
    rng = np.random.default_rng(data.draw(SEEDS))
    scale = rng.uniform(0.01, 2, counts).astype(np.float32)
    zero = rng.integers(-9 if kind == "int8" else 0, 9, counts).astype(kind)
    x = (rng.normal(size=shape) * 60).astype(np.float32)
    (want,) = onnx_reference.run("QuantizeLinear", [x, scale, zero], axis=axis, block_size=block)
    (got,) = run("quantizeLinear", {"input": x, "scale": scale, "zeroPoint": zero})
    np.testing.assert_array_equal(got, want)
    (want,) = onnx_reference.run("DequantizeLinear", [got, scale, zero], axis=axis,
                                 block_size=block)  # fmt: skip
    _near(run("dequantizeLinear", {"input": got, "scale": scale, "zeroPoint": zero})[0], want)


@pytest.mark.parametrize("dtype", ["int32", "uint32"])
def test_quantisation_to_32_bits_is_exact_and_saturates(dtype: str) -> None:
    info = np.iinfo(dtype)
    zero = np.array([info.max - 1], dtype)
    x = np.array([0, 1, 9, -1, -3e38, np.nan], np.float32)
    (got,) = run("quantizeLinear", {"input": x, "scale": np.ones(1, np.float32), "zeroPoint": zero})
    assert got.tolist() == [info.max - 1, info.max, info.max, info.max - 2, info.min, 0]
    (back,) = run("dequantizeLinear",
                  {"input": got, "scale": np.ones(1, np.float32), "zeroPoint": zero})  # fmt: skip
    assert back.tolist()[:4] == [0, 1, 1, -1]


def test_every_default_of_a_row_is_of_its_kind() -> None:
    def canonical(param: Param) -> bool:
        if param.default is None or param.default == REQUIRED:
            return True
        made = coerce(param, param.default)
        return made == param.default and type(made) is type(param.default)

    assert [(row.name, param.name) for row in OPS.values() for param in row.attrs
            if not canonical(param)] == []  # fmt: skip
