"""Rows, windows and recurrent cells on Wasm for any shape and type, against the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.dtypes import DType
from edgewise.errors import ShapeError
from edgewise.graph.builder import GraphBuilder
from edgewise.graph.graph import Graph, Value
from edgewise.ops.base import OPS, snake
from edgewise.targets.reference import Reference
from tests.targets.cases import Array
from tests.targets.wasm import Devices, run_all

REDUCTIONS = sorted(name for name in OPS if name.startswith("reduce"))
ALONG = ("argMax", "argMin", "cumulativeSum", "softmax")
POOLS = ("averagePool2d", "l2Pool2d", "maxPool2d")
SIZES = st.sampled_from([0, 1, 2, 3, 5, 8, 17, 35])
BOOLS = st.booleans()
LAYOUTS = st.sampled_from(["nchw", "nhwc"])


def check(devices: Devices, graph: Graph, x: Array, more: dict[str, Array]) -> None:
    """Every device's output is the reference's: floats to 2e-5 of the largest, float16 2e-3."""
    arrays = {"x": x, **more}
    wanted = Reference(graph, lambda _: x, precise=True).run(arrays, {}, {})[0]["y"]
    kind = graph.values[graph.outputs["y"]].dtype
    data = {name: array.tobytes() for name, array in arrays.items()}
    limit = {DType.FLOAT32: 2e-5, DType.FLOAT16: 2e-3}.get(kind, 0.0)
    for made in run_all(devices, graph, data).values():
        got = np.frombuffer(made["y"], kind.value)[: wanted.size].reshape(wanted.shape)
        scale = np.abs(wanted).max(initial=1, where=np.isfinite(wanted))
        np.testing.assert_allclose(got, wanted, rtol=0, atol=limit * float(scale))


def values(draw: st.DrawFn, dtype: DType, shape: tuple[int, ...]) -> Array:
    """Numbers whose sums, products and logarithms are tame."""
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    if dtype.is_float:
        return rng.uniform(0.8, 1.2, shape).astype(dtype.value)
    return rng.integers(-3 * (not dtype.value.startswith("u")), 4, shape).astype(dtype.value)


def turned(draw: st.DrawFn, b: GraphBuilder, x: Value) -> Value:
    """The input, or a view of it with its axes in another order."""
    order = draw(st.permutations(range(len(x.shape))))
    moved: Value = b.transpose(x, permutation=tuple(order)) if draw(BOOLS) else x
    return moved


@st.composite
def rows(draw: st.DrawFn) -> tuple[Graph, Array, dict[str, Array]]:
    op = OPS[draw(st.sampled_from([*REDUCTIONS, *ALONG, "layerNormalization"]))]
    dtype = draw(st.sampled_from(sorted(op.inputs[0].dtypes)))
    shape = tuple(draw(st.lists(SIZES, min_size=1, max_size=4)))
    b = GraphBuilder("rows")
    x = turned(draw, b, b.input("x", dtype, shape))
    rank = range(len(shape))
    axes = tuple(draw(st.permutations(rank))[: draw(st.integers(0, len(shape)))])
    how: dict[str, Any] = {}
    more: dict[str, Array] = {}
    if op.name in ALONG:
        how["axis"] = draw(st.sampled_from(rank))
    else:
        how["axes"] = axes
    if op.name == "cumulativeSum":
        how |= {"exclusive": draw(BOOLS), "reversed": draw(BOOLS)}
    if op.name.startswith("arg"):
        how["output_data_type"] = draw(st.sampled_from([DType.INT32, DType.INT64]))
    for name in ("scale", "bias") if op.name == "layerNormalization" else ():
        if draw(BOOLS):
            part = tuple(int(x.shape[axis]) for axis in axes)  # type: ignore[arg-type]
            more[name] = values(draw, dtype, part)
            how[name] = b.input(name, dtype, part)
    b.output("y", getattr(b, op.method)(x, **how))
    return b.build(), values(draw, dtype, shape), more


@st.composite
def windows(draw: st.DrawFn) -> tuple[Graph, Array, dict[str, Array]]:
    op = OPS[draw(st.sampled_from([*POOLS, "resample2d", "instanceNormalization"]))]
    dtype = draw(st.sampled_from(sorted(each for each in op.inputs[0].dtypes if each.bits > 4)))
    few = st.integers(1, 3)
    shape = tuple(draw(st.lists(st.sampled_from([1, 2, 3, 6, 17]), min_size=4, max_size=4)))
    b = GraphBuilder("windows")
    x = turned(draw, b, b.input("x", dtype, shape))
    how: dict[str, Any] = {}
    if op.name == "resample2d":
        how["axes"] = tuple(draw(st.permutations(range(4)))[:2])
        how["mode"] = draw(st.sampled_from(["linear", "nearest-neighbor"]))
        how["sizes"] = (draw(st.integers(1, 20)), draw(st.integers(1, 20)))
    else:
        how["layout"] = draw(LAYOUTS)
    if op.name in POOLS:
        how["padding"] = tuple(draw(st.lists(st.integers(0, 2), min_size=4, max_size=4)))
        how["strides"], how["dilations"] = (draw(few), draw(few)), (draw(few), draw(few))
        how["window_dimensions"] = (draw(few), draw(few)) if draw(BOOLS) else None
        how["output_shape_rounding"] = draw(st.sampled_from(["floor", "ceil"]))
        how = {name: each for name, each in how.items() if each is not None}
    try:
        y = getattr(b, op.method)(x, **how)
    except ShapeError:  # no window fits
        y = b.reduce_max(x)
    b.output("y", y)
    return b.build(), values(draw, dtype, shape), {}


@st.composite
def recurrent(draw: st.DrawFn) -> tuple[Graph, Array, dict[str, Array]]:
    op = OPS[draw(st.sampled_from(["lstm", "lstmCell", "gru", "gruCell"]))]
    long = not op.name.endswith("Cell")
    dtype = draw(st.sampled_from([DType.FLOAT32, DType.FLOAT16]))
    kind, n_gates = ("lstm", 4) if op.name.startswith("lstm") else ("gru", 3)
    n, width, batch, steps = (draw(st.integers(1, most)) for most in (10, 21, 3, 4))
    how: dict[str, Any] = {"hidden_size": n}
    ways = 1
    if long:
        how |= {"steps": steps, "return_sequence": draw(BOOLS)}
        how["direction"] = draw(st.sampled_from(["forward", "backward", "both"]))
        ways += how["direction"] == "both"
    how["layout"] = draw(st.sampled_from({"lstm": ["iofg", "ifgo"], "gru": ["zrn", "rzn"]}[kind]))
    if draw(BOOLS):
        names = st.sampled_from(["sigmoid", "tanh", "relu"])
        how["activations"] = tuple(draw(names) for _ in range(n_gates - 1))
    if kind == "gru":
        how["reset_after"] = draw(BOOLS)
    sizes: dict[str, tuple[int, ...]] = {
        "weight": (n_gates * n, width), "recurrentWeight": (n_gates * n, n),
        "bias": (n_gates * n,), "recurrentBias": (n_gates * n,), "peepholeWeight": (3 * n,),
    }  # fmt: skip
    b = GraphBuilder("recurrent")
    x = b.input("x", dtype, (steps, batch, width) if long else (batch, width))
    more: dict[str, Array] = {}
    for port in op.inputs[1:]:
        if not port.optional or draw(BOOLS):
            shape = sizes.get(port.name, (batch, n))
            more[port.name] = values(draw, dtype, (ways, *shape) if long else shape) - 1
            how[snake(port.name)] = b.input(port.name, dtype, more[port.name].shape)
    made = getattr(b, op.method)(x, **how)
    b.output("y", draw(st.sampled_from(made)) if op.several else made)
    return b.build(), values(draw, dtype, tuple(map(int, x.shape))), more  # type: ignore[arg-type]


@settings(max_examples=120)
@given(rows())
def test_rows(devices: Devices, case: tuple[Graph, Array, dict[str, Array]]) -> None:
    check(devices, *case)


@settings(max_examples=80)
@given(windows())
def test_windows(devices: Devices, case: tuple[Graph, Array, dict[str, Array]]) -> None:
    check(devices, *case)


@settings(max_examples=80)
@given(recurrent())
def test_recurrent(devices: Devices, case: tuple[Graph, Array, dict[str, Array]]) -> None:
    check(devices, *case)
