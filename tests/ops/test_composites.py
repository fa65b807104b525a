"""Every composite's decomposition against a formula written here in NumPy, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgewise.dims import Dim
from edgewise.dtypes import DType
from edgewise.errors import DTypeError, EdgewiseError, GraphError, ShapeError
from edgewise.graph.builder import GraphBuilder
from edgewise.graph.graph import Graph
from edgewise.graph.verify import verify
from edgewise.ops import OPS
from edgewise.passes.decompose import decompose
from edgewise.targets import reference

Array = np.ndarray[Any, np.dtype[Any]]
F32, F16, I32, U32 = DType.FLOAT32, DType.FLOAT16, DType.INT32, DType.UINT32
# what an independent formula in float64 may differ by: one rounding to the type, and the sums
CLOSE = {F32: 2e-5, F16: 2e-3}
FLOATS = pytest.mark.parametrize("dtype", [F32, F16])
SEEDS = pytest.mark.parametrize("seed", range(4))


class Case:
    """One composite over named arrays: states are what `states` names, the rest are inputs."""

    def __init__(self, states: tuple[str, ...] = (), **arrays: Array | None) -> None:
        self.arrays = {name: each for name, each in arrays.items() if each is not None}
        self.absent = [name for name, each in arrays.items() if each is None]
        self.order = list(arrays)
        self.states = states
        self.builder = GraphBuilder("case")
        self.symbols: dict[str, int] = {}

    def symbol(self, name: str, number: int, bound: int) -> Dim:
        self.symbols[name] = number
        return self.builder.symbol(name, bound)

    def graph(
        self, method: str, types: dict[str, DType], shapes: dict[str, tuple[Dim, ...]],
        attrs: dict[str, Any],
    ) -> Graph:  # fmt: skip
        values: list[Any] = []
        for name in self.order:
            if name in self.absent:
                values.append(None)
                continue
            array = self.arrays[name]
            make = self.builder.state if name in self.states else self.builder.input
            dtype = types.get(name, DType(array.dtype.name))
            shape: tuple[Dim, ...] = array.shape
            values.append(make(name, dtype, shapes.get(name, shape)))
        made = getattr(self.builder, method)(*values, **attrs)
        outputs = made if isinstance(made, tuple) else (made,)
        for index, output in enumerate(outputs):
            self.builder.output(f"y{index}", output)
        row = next(op for op in OPS.values() if op.method == method)
        for index, source in row.in_place.items():
            self.builder.update(values[source], outputs[index])
        return self.builder.build()

    def run(
        self, method: str, types: dict[str, DType] | None = None,
        shapes: dict[str, tuple[Dim, ...]] | None = None, **attrs: Any,
    ) -> list[Array]:  # fmt: skip
        graph = self.graph(method, types or {}, shapes or {}, attrs)
        verify(decompose(graph).graph)
        inputs = {name: self.arrays[name] for name in graph.inputs}
        states = {name: self.arrays[name] for name in graph.states}
        outputs, after = reference.run(graph, inputs, states, _nothing, self.symbols)
        for state, value in graph.updates.items():
            public = next(name for name, each in graph.outputs.items() if each == value)
            np.testing.assert_array_equal(after[state], outputs[public])
        for name, value in graph.outputs.items():
            assert outputs[name].dtype.name == graph.values[value].dtype.value
        return [outputs[f"y{index}"] for index in range(len(outputs))]


def _nothing(constant: object) -> Array:
    raise AssertionError(f"no constant of a file is in these graphs: {constant=}")


def _close(got: Array, want: Array, dtype: DType = F32) -> None:
    assert got.shape == want.shape
    limit = CLOSE[dtype]
    np.testing.assert_allclose(got.astype(np.float64), want, rtol=limit, atol=limit)


def _normal(rng: np.random.Generator, *shape: int, dtype: DType = F32) -> Array:
    return rng.standard_normal(shape).astype(dtype.value)


def _norm(x: Array, weight: Array | None, eps: float) -> Array:
    wide: Array = x.astype(np.float64)
    if weight is not None:
        wide = wide / np.sqrt((wide**2).mean(-1, keepdims=True) + eps) * weight
    return wide


def _turn(x: Array, start: int, theta: float, dims: int, interleaved: bool) -> Array:
    """Each pair as a complex number, multiplied by e^(i·angle)."""
    out = x.astype(np.float64).copy()
    for row in range(x.shape[0]):
        for pair in range(dims // 2):
            turn = np.exp(1j * (start + row) * theta ** (-2 * pair / dims))
            a, b = (2 * pair, 2 * pair + 1) if interleaved else (pair, pair + dims // 2)
            turned = (out[row, :, a] + 1j * out[row, :, b]) * turn
            out[row, :, a], out[row, :, b] = turned.real, turned.imag
    return out


def _weight(
    rng: np.random.Generator, rows: int, groups: int, group: int, bits: int, minimum: bool
) -> tuple[Array, Array, Array | None]:
    width = groups * group
    codes = (rng.integers(0, 16, (rows, width)).astype(np.uint8) if bits == 4
             else rng.integers(-128, 128, (rows, width)).astype(np.int8))  # fmt: skip
    scale = (rng.standard_normal((rows, groups)) / (8 if bits == 4 else 80)).astype(np.float16)
    least = rng.standard_normal((rows, groups)).astype(np.float16) if minimum else None
    return codes, scale, least


def _dense(codes: Array, scale: Array, minimum: Array | None) -> Array:
    group = codes.shape[1] // scale.shape[1]
    out = codes.astype(np.float64) * np.repeat(scale.astype(np.float64), group, 1)
    return out if minimum is None else out + np.repeat(minimum.astype(np.float64), group, 1)


BITS = {4: DType.UINT4, 8: DType.INT8}


@SEEDS
@FLOATS
def test_rms_norm(seed: int, dtype: DType) -> None:
    rng = np.random.default_rng(seed)
    rows, width = int(rng.integers(1, 9)), int(rng.integers(1, 70))
    x, weight = _normal(rng, rows, width, dtype=dtype), _normal(rng, width)
    (got,) = Case(x=x, weight=weight).run("rms_norm", eps=1e-5)
    _close(got, _norm(x, weight, 1e-5), dtype)


@SEEDS
@FLOATS
@pytest.mark.parametrize("interleaved", [True, False])
def test_rotary(seed: int, dtype: DType, interleaved: bool) -> None:
    rng = np.random.default_rng(seed)
    seq, heads, half = (int(each) for each in rng.integers(1, 7, 3))
    size = 2 * half + 3 * (seed % 2)
    start = int(rng.integers(0, 100))
    case = Case(x=_normal(rng, seq, heads, size, dtype=dtype))
    shape = (case.symbol("seq", seq, 8), heads, size)
    attrs: dict[str, Any] = {"theta": 100.0, "dims": 2 * half, "interleaved": interleaved}
    past = case.symbol("past", start, 100)
    (got,) = case.run("rotary", shapes={"x": shape}, start=past, **attrs)
    _close(got, _turn(case.arrays["x"], start, **attrs), dtype)


@SEEDS
@FLOATS
def test_kv_update(seed: int, dtype: DType) -> None:
    rng = np.random.default_rng(seed)
    seq, heads, size = (int(each) for each in rng.integers(1, 7, 3))
    start = int(rng.integers(0, 12 - seq)) if seed else 12 - seq
    state, x = _normal(rng, 12, heads, size, dtype=dtype), _normal(rng, seq, heads, size)
    (got,) = Case(("state",), state=state, x=x).run("kv_update", start=start)
    want = state.copy()
    want[start : start + seq] = x
    np.testing.assert_array_equal(got, want)


@SEEDS
@FLOATS
def test_attention(seed: int, dtype: DType) -> None:
    rng = np.random.default_rng(seed)
    seq, kv_heads, group, size = (int(each) for each in rng.integers(1, 5, 4))
    heads, past, length = kv_heads * group, int(rng.integers(0, 9)), 13
    q = _normal(rng, seq, heads, size, dtype=dtype)
    k, v = (_normal(rng, length, kv_heads, size, dtype=dtype) for _ in range(2))
    case = Case(q=q, k=k, v=v)
    shapes: dict[str, tuple[Dim, ...]] = {"q": (case.symbol("seq", seq, 5), heads, size)}
    (got,) = case.run("attention", shapes=shapes, past=case.symbol("past", past, 13), scale=0.3)
    want = np.zeros(q.shape)
    for s in range(seq):
        for h in range(heads):
            keys = k[: past + s + 1, h // group].astype(np.float64)
            weights = np.exp(keys @ q[s, h].astype(np.float64) * 0.3)
            want[s, h] = weights / weights.sum() @ v[: past + s + 1, h // group]
    _close(got, want, dtype)


@SEEDS
@FLOATS
def test_swiglu(seed: int, dtype: DType) -> None:
    rng = np.random.default_rng(seed)
    gate, up = (_normal(rng, 3, 7 + seed, dtype=dtype) for _ in range(2))
    (got,) = Case(gate=gate, up=up).run("swiglu")
    wide = gate.astype(np.float64)
    _close(got, wide / (1 + np.exp(-wide)) * up, dtype)


@SEEDS
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("residual", [True, False])
def test_quantized_matmul(seed: int, bits: int, norm: bool, residual: bool) -> None:
    rng = np.random.default_rng(seed)
    m, n, groups, group = (int(each) for each in rng.integers(1, 8, 4))
    dtype = F16 if seed == 3 else F32
    codes, scale, minimum = _weight(rng, n, groups, group, bits, seed % 2 == 0)
    x, k = _normal(rng, m, groups * group), groups * group
    weight, add = _normal(rng, k) if norm else None, _normal(rng, m, n) if residual else None
    case = Case(x=x, codes=codes, scale=scale, minimum=minimum, norm=weight, residual=add)
    (got,) = case.run("quantized_matmul", {"codes": BITS[bits]}, eps=1e-3, dtype=dtype)
    want = _norm(x, weight, 1e-3) @ _dense(codes, scale, minimum).T
    _close(got, want if add is None else want + add, dtype)


@SEEDS
@pytest.mark.parametrize("norm", [True, False])
def test_quantized_swiglu(seed: int, norm: bool) -> None:
    rng = np.random.default_rng(seed)
    m, n, groups, group = (int(each) for each in rng.integers(1, 8, 4))
    gate = _weight(rng, n, groups, group, 4, True)
    up = _weight(rng, n, groups, group, 8, False)
    x = _normal(rng, m, groups * group)
    weight = _normal(rng, groups * group) if norm else None
    case = Case(x=x, gate_codes=gate[0], gate_scale=gate[1], gate_minimum=gate[2],
                up_codes=up[0], up_scale=up[1], up_minimum=up[2], norm=weight)  # fmt: skip
    types = {"gate_codes": DType.UINT4}
    (got,) = case.run("quantized_swiglu", types, eps=1e-3, dtype=F32)
    normed = _norm(x, weight, 1e-3)
    gates = normed @ _dense(*gate).T
    _close(got, gates / (1 + np.exp(-gates)) * (normed @ _dense(*up).T))


@SEEDS
@pytest.mark.parametrize("norm", [True, False])
def test_quantized_qkv(seed: int, norm: bool) -> None:
    rng = np.random.default_rng(seed)
    seq, kv_heads, repeat, half, groups = (int(each) for each in rng.integers(1, 5, 5))
    heads, size, length, start = kv_heads * repeat, 2 * half, 11, int(rng.integers(0, 7))
    parts = [_weight(rng, n * size, groups, 3, 8, False) for n in (heads, kv_heads, kv_heads)]
    x, k_state = _normal(rng, seq, groups * 3), _normal(rng, length, kv_heads, size)
    v_state = _normal(rng, length, kv_heads, size)
    weight = _normal(rng, groups * 3) if norm else None
    named = {f"{who}_{part}": each for who, three in zip("qkv", parts, strict=True)
             for part, each in zip(("codes", "scale", "minimum"), three, strict=True)}  # fmt: skip
    case = Case(("k_state", "v_state"), x=x, **named, norm=weight, k_state=k_state,
                v_state=v_state)  # fmt: skip
    turn: dict[str, Any] = {"theta": 50.0, "dims": size, "interleaved": seed % 2 == 0}
    q, k, v = case.run("quantized_qkv", heads=heads, kv_heads=kv_heads, eps=1e-3, dtype=F32,
                       start=case.symbol("past", start, length - seq), **turn)  # fmt: skip
    normed = _norm(x, weight, 1e-3)
    dense = [(normed @ _dense(*three).T).reshape(seq, -1, size) for three in parts]
    k_state[start : start + seq] = _turn(dense[1], start, **turn)
    v_state[start : start + seq] = dense[2]
    _close(q, _turn(dense[0], start, **turn))
    _close(k, k_state)
    _close(v, v_state)


@SEEDS
@pytest.mark.parametrize("bits", [4, 8])
def test_quantized_gather(seed: int, bits: int) -> None:
    rng = np.random.default_rng(seed)
    codes, scale, minimum = _weight(rng, 9, 3, 5, bits, seed % 2 == 0)
    ids = rng.integers(0, 9, seed + 1).astype(np.int32)
    case = Case(codes=codes, scale=scale, minimum=minimum, ids=ids)
    shapes: dict[str, tuple[Dim, ...]] = {"ids": (case.symbol("seq", seed + 1, 8),)}
    (got,) = case.run("quantized_gather", {"codes": BITS[bits]}, shapes, dtype=F32)
    _close(got, _dense(codes, scale, minimum)[ids])


@SEEDS
@pytest.mark.parametrize("activation", ["", "relu"])
def test_quantized_linear(seed: int, activation: str) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(-127, 128, (5, 12)).astype(np.int8)
    scale = rng.uniform(0.01, 0.1, (5, 1)).astype(np.float32)
    bias = rng.normal(size=5).astype(np.float32) if seed % 2 else None
    x = rng.normal(size=(2, 3, 12)).astype(np.float32)
    case = Case(x=x, codes=codes, scale=scale, bias=bias)
    (got,) = case.run("quantized_linear", activation=activation)
    wanted = x @ (codes * scale.astype(np.float64)).T + (0 if bias is None else bias)
    _close(got, np.maximum(wanted, 0) if activation else wanted)


@SEEDS
@pytest.mark.parametrize("paired", [0, 4])
def test_low_rank(seed: int, paired: int) -> None:
    rng = np.random.default_rng(seed)
    y, x = (rng.normal(size=(3, width)).astype(np.float32) for width in (8, 5))
    down = rng.normal(size=(5, 5)).astype(np.float32)
    ups = [rng.normal(size=(8, rank)).astype(np.float32) for rank in (2, 3)]
    up = np.concatenate([each.ravel() for each in ups])
    weights = np.array([0.5, -1, 7], np.float32)
    case = Case(y=y, x=x, down=down, up=up, weights=weights)
    (got,) = case.run("low_rank", ranks=(2, 3, 0), scales=(2.0, 0.25, 1.0), paired=paired)
    added = 1.0 * (x @ down[:2].T) @ ups[0].T - 0.25 * (x @ down[2:].T) @ ups[1].T
    if paired:  # halves of a head of four: 0 1 | 2 3 stand as 0 2, 1 3
        added = added[:, [0, 2, 1, 3, 4, 6, 5, 7]]
    _close(got, y + added)


@SEEDS
def test_mark_seen(seed: int) -> None:
    rng = np.random.default_rng(seed)
    seen = rng.integers(0, 2, 17).astype(np.uint32)
    ids = rng.integers(0, 17, 5).astype(np.int32)
    (got,) = Case(("seen",), seen=seen, ids=ids).run("mark_seen")
    assert got.tolist() == [1 if i in ids else int(before) for i, before in enumerate(seen)]


def test_decompositions_exist_for_all_composites_and_these_tests_name_them_all() -> None:
    composites = {op.method for op in OPS.values() if op.reference is None}
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    elsewhere = {"sample", "scaled_dot_product_attention"}  # test_sampling.py, test_patterns.py
    assert composites - tested == elsewhere


def _builder() -> tuple[GraphBuilder, Any]:
    builder = GraphBuilder("bad")
    return builder, builder.input("x", F32, (3, 8))


@pytest.mark.parametrize(
    ("error", "says", "make"),
    [
        (ShapeError, "rmsNorm input 'weight'",
         lambda b, x: b.rms_norm(x, b.input("w", F32, (3,)), 1e-5)),
        (DTypeError, "rmsNorm input 'weight'",
         lambda b, x: b.rms_norm(x, b.input("w", F16, (8,)), 1e-5)),
        (GraphError, "rmsNorm attribute 'eps'",
         lambda b, x: b.rms_norm(x, b.input("w", F32, (8,)))),
        (GraphError, "kind float", lambda b, x: b.rms_norm(x, x, eps="small")),
        (GraphError, "arguments", lambda b, x: b.rms_norm(x, x, eps=1e-5, weight=x)),
        (GraphError, "arguments", lambda b, x: b.add(x, x, x)),
        (ShapeError, "rotary dims",
         lambda b, x: b.rotary(b.reshape(x, (3, 1, 8)), 0, 1e4, 10, True)),
        (ShapeError, "attention heads",
         lambda b, x: b.attention(b.reshape(x, (1, 3, 8)), *[b.input(n, F32, (5, 2, 8))
                                                            for n in "kv"], 0, 1.0)),
        (ShapeError, "rows of 'state': got 4+3; need within 5",
         lambda b, x: b.kv_update(b.state("s", F32, (5, 2, 4)), b.reshape(x, (3, 2, 4)), 4)),
        (ShapeError, "quantizedMatmul scale",
         lambda b, x: b.quantized_matmul(x, b.input("c", DType.INT8, (4, 8)),
                                         b.input("s", F32, (4, 3)), dtype=F32)),
        (DTypeError, "quantizedMatmul input 'codes'",
         lambda b, x: b.quantized_matmul(x, x, x, dtype=F32)),
        (GraphError, "quantizedMatmul input 'scale': got nothing",
         lambda b, x: b.quantized_matmul(x, b.input("c", DType.INT8, (4, 8)), dtype=F32)),
        (ShapeError, "sample input 'bias'",
         lambda b, x: b.sample(b.input("l", F32, (1, 9)), b.input("s", U32, (9,)), x,
                               b.input("t", F32, (5,)))),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(error: type[EdgewiseError], says: str, make: Any) -> None:
    builder, x = _builder()
    with builder.scope("blk.3"), pytest.raises(error) as caught:
        make(builder, x)
    assert says in str(caught.value)
    assert caught.value.where == "blk.3"
