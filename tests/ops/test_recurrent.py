"""Recurrent networks: references, their decompositions, and onnxruntime's LSTM and GRU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.dtypes import DType
from edgewise.errors import DTypeError, GraphError, ShapeError
from edgewise.graph.builder import GraphBuilder
from edgewise.graph.graph import specialise
from edgewise.targets import reference
from tests.ops import onnx_oracle
from tests.ops.decomposition import Array, check, expanded, graph_of, run

ACTIVATIONS = st.sampled_from(["relu", "sigmoid", "tanh"])


def _draw(
    data: st.DataObject, gates: int, cell: bool, dtype: str
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Arrays and attributes of a random network with `gates` gates."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    steps, batch, width, hidden = (data.draw(st.integers(1, 4)) for _ in range(4))
    direction = data.draw(st.sampled_from(["forward", "backward", "both"]))
    ways = 2 if direction == "both" else 1
    shapes: dict[str, tuple[int, ...]] = {
        "input": (steps, batch, width), "weight": (ways, gates * hidden, width),
        "recurrentWeight": (ways, gates * hidden, hidden),
    }  # fmt: skip
    options: dict[str, tuple[int, ...]] = {
        "bias": (ways, gates * hidden),
        "recurrentBias": (ways, gates * hidden),
    }
    state = (ways, batch, hidden)
    layouts = ["iofg", "ifgo"] if gates == 4 else ["zrn", "rzn"]
    attrs: dict[str, Any] = {"hiddenSize": hidden, "layout": data.draw(st.sampled_from(layouts))}
    if gates == 4:
        options["peepholeWeight"] = (ways, 3 * hidden)
    else:
        attrs["resetAfter"] = data.draw(st.booleans())
    if cell:
        shapes["hiddenState"] = state
        if gates == 4:
            shapes["cellState"] = state
        shapes |= {name: shape for name, shape in options.items() if data.draw(st.booleans())}
        shapes = {name: shape[1:] for name, shape in shapes.items()}
    else:
        options["initialHiddenState"] = state
        if gates == 4:
            options["initialCellState"] = state
        shapes |= {name: shape for name, shape in options.items() if data.draw(st.booleans())}
        attrs |= {"steps": steps, "direction": direction,
                  "returnSequence": data.draw(st.booleans())}  # fmt: skip
    if data.draw(st.booleans()):
        count = 3 if gates == 4 else 2
        attrs["activations"] = tuple(data.draw(ACTIVATIONS) for _ in range(count))
    arrays = {
        name: (rng.standard_normal(shape) / 2).astype(dtype) for name, shape in shapes.items()
    }
    return arrays, attrs


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(
    ("op", "gates"), [("lstm", 4), ("lstmCell", 4), ("gru", 3), ("gruCell", 3)]
)
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_decompositions_agree(op: str, gates: int, dtype: str, data: st.DataObject) -> None:
    arrays, attrs = _draw(data, gates, op.endswith("Cell"), dtype)
    run(op, arrays, **attrs)
    check(op, arrays, **attrs)
    if not op.endswith("Cell"):
        check(op, arrays, f"{op}Cell", **attrs)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_lstm_is_onnxruntime_s(data: st.DataObject) -> None:
    arrays, attrs = _draw(data, 4, False, "float32")
    attrs |= {"layout": "iofg", "returnSequence": True}
    ways, hidden = arrays["weight"].shape[0], attrs["hiddenSize"]
    zeros = np.zeros((ways, 4 * hidden), np.float32)
    biases = [arrays.get(name, zeros) for name in ("bias", "recurrentBias")]
    peephole = arrays.get("peepholeWeight")
    if peephole is not None:  # of the output gate ONNX has the new cell state, WebNN the old
        peephole[:, hidden : 2 * hidden] = 0
    names = attrs.get("activations", ("sigmoid", "tanh", "tanh"))
    sequence, last, cell = onnx_oracle.run(
        "LSTM",
        [arrays["input"], arrays["weight"], arrays["recurrentWeight"], np.concatenate(biases, 1),
         None, arrays.get("initialHiddenState"), arrays.get("initialCellState"), peephole],
        outputs=3, hidden_size=hidden, direction=_direction(attrs),
        activations=[name.capitalize() for name in names] * ways,
    )  # fmt: skip
    for got, want in zip(run("lstm", arrays, **attrs), (last, cell, sequence), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_gru_is_onnxruntime_s(data: st.DataObject) -> None:
    arrays, attrs = _draw(data, 3, False, "float32")
    attrs |= {"layout": "zrn", "returnSequence": True}
    ways, hidden = arrays["weight"].shape[0], attrs["hiddenSize"]
    zeros = np.zeros((ways, 3 * hidden), np.float32)
    biases = [arrays.get(name, zeros) for name in ("bias", "recurrentBias")]
    names = attrs.get("activations", ("sigmoid", "tanh"))
    sequence, last = onnx_oracle.run(
        "GRU",
        [arrays["input"], arrays["weight"], arrays["recurrentWeight"], np.concatenate(biases, 1),
         None, arrays.get("initialHiddenState")],
        outputs=2, hidden_size=hidden, direction=_direction(attrs),
        linear_before_reset=int(attrs["resetAfter"]),
        activations=[name.capitalize() for name in names] * ways,
    )  # fmt: skip
    for got, want in zip(run("gru", arrays, **attrs), (last, sequence), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def _direction(attrs: dict[str, Any]) -> str:
    return {"both": "bidirectional", "backward": "reverse"}.get(attrs["direction"], "forward")


def test_the_output_gate_sees_the_old_cell_state() -> None:
    """One cell by hand: all weights 0, a peephole of the output gate alone."""
    zeros = {
        "input": np.zeros((1, 1), np.float32), "weight": np.zeros((4, 1), np.float32),
        "recurrentWeight": np.zeros((4, 1), np.float32),
        "hiddenState": np.zeros((1, 1), np.float32),
    }  # fmt: skip
    arrays = zeros | {"cellState": np.full((1, 1), 2, np.float32),
                      "peepholeWeight": np.array([0, 3, 0], np.float32)}  # fmt: skip
    hidden, cell = run("lstmCell", arrays, hiddenSize=1)
    assert cell[0, 0] == 1  # half of the old one, by the forget gate
    np.testing.assert_allclose(hidden[0, 0], np.tanh(1) / (1 + np.exp(-6)), rtol=1e-6)


@pytest.mark.parametrize(("gates", "orders"), [(4, ("iofg", "ifgo")), (3, ("zrn", "rzn"))])
def test_layouts_are_orders_of_the_same_gates(gates: int, orders: tuple[str, str]) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        name: rng.standard_normal(shape).astype(np.float32)
        for name, shape in {
            "input": (2, 3), "weight": (gates * 2, 3), "recurrentWeight": (gates * 2, 2),
            "hiddenState": (2, 2), "bias": (gates * 2,), "recurrentBias": (gates * 2,),
        }.items()
    }  # fmt: skip
    op = "gruCell"
    if gates == 4:
        op, arrays["cellState"] = "lstmCell", rng.standard_normal((2, 2)).astype(np.float32)
    moved = dict(arrays)
    for name in ("weight", "recurrentWeight", "bias", "recurrentBias"):
        parts = dict(zip(orders[0], np.split(arrays[name], gates), strict=True))
        moved[name] = np.concatenate([parts[letter] for letter in orders[1]])
    first, second = (run(op, given, hiddenSize=2, layout=order)
                     for given, order in ((arrays, orders[0]), (moved, orders[1])))  # fmt: skip
    for ours, theirs in zip(first, second, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_symbolic_steps_and_batches() -> None:
    b = GraphBuilder("symbols")
    steps, batch = b.symbol("steps", 50), b.symbol("batch", 4)
    x = b.input("x", DType.FLOAT32, (steps, batch, 3))
    weight = b.input("w", DType.FLOAT32, (1, 8, 3))
    recurrent = b.input("r", DType.FLOAT32, (1, 8, 2))
    made = b.lstm(x, weight, recurrent, steps, 2, return_sequence=True)
    assert [value.shape for value in made] == [
        (1, batch, 2), (1, batch, 2), (steps, 1, batch, 2)]  # fmt: skip
    for index, value in enumerate(made):
        b.output(f"y{index}", value)
    graph = b.build()
    rng = np.random.default_rng(0)
    shapes = {"x": (5, 2, 3), "w": (1, 8, 3), "r": (1, 8, 2)}
    arrays = {name: rng.standard_normal(each).astype(np.float32) for name, each in shapes.items()}
    bound = {"steps": 5, "batch": 2}
    outputs, _ = reference.run(graph, arrays, {}, _none, bound)
    assert outputs["y2"].shape == (5, 1, 2, 2)
    with pytest.raises(ShapeError, match="steps: got steps; need a number known in advance"):
        expanded(graph, ["lstm"])
    split = expanded(specialise(graph, {"steps": 5}), ["lstm", "lstmCell"])
    again, _ = reference.run(split, arrays, {}, _none, {"batch": 2})
    np.testing.assert_allclose(again["y2"], outputs["y2"], rtol=1e-5, atol=1e-6)


def _none(constant: object) -> Array:
    raise AssertionError(f"no constant of a file is in this graph: {constant=}")


SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "lstm": {"input": (3, 2, 4), "weight": (1, 20, 4), "recurrentWeight": (1, 20, 5)},
    "gru": {"input": (3, 2, 4), "weight": (1, 15, 4), "recurrentWeight": (1, 15, 5)},
    "lstmCell": {"input": (2, 4), "weight": (20, 4), "recurrentWeight": (20, 5),
                 "hiddenState": (2, 5), "cellState": (2, 5)},
    "gruCell": {"input": (2, 4), "weight": (15, 4), "recurrentWeight": (15, 5),
                "hiddenState": (2, 5)},
}  # fmt: skip


@pytest.mark.parametrize(
    ("says", "op", "shapes", "attrs"),
    [
        ("input 'input': got float32[2, 4]; need rank 3", "lstm", {"input": (2, 4)}, {}),
        ("steps: got 2; need more than 0, and 3", "lstm", {}, {"steps": 2}),
        ("steps: got 0; need more than 0", "gru", {"input": (0, 2, 4)}, {"steps": 0}),
        ("input 'weight': got float32[1, 20, 4]; need shape [2, 20, 4]", "lstm", {},
         {"direction": "both"}),
        ("input 'weight': got float32[1, 15, 3]; need shape [1, 15, 4]", "gru",
         {"weight": (1, 15, 3)}, {}),
        ("input 'recurrentWeight': got float32[1, 20, 4]; need shape [1, 20, 5]", "lstm",
         {"recurrentWeight": (1, 20, 4)}, {}),
        ("input 'bias': got float32[20]; need shape [1, 20]", "lstm", {"bias": (20,)}, {}),
        ("input 'recurrentBias': got float32[1, 20]; need shape [1, 15]", "gru",
         {"recurrentBias": (1, 20)}, {}),
        ("input 'peepholeWeight': got float32[1, 20]; need shape [1, 15]", "lstm",
         {"peepholeWeight": (1, 20)}, {}),
        ("input 'initialHiddenState': got float32[2, 5]; need shape [1, 2, 5]", "gru",
         {"initialHiddenState": (2, 5)}, {}),
        ("input 'initialCellState': got float32[1, 5, 2]; need shape [1, 2, 5]", "lstm",
         {"initialCellState": (1, 5, 2)}, {}),
        ("input 'hiddenState': got float32[5, 2]; need shape [2, 5]", "lstmCell",
         {"hiddenState": (5, 2)}, {}),
        ("input 'cellState': got float32[1, 5]; need shape [2, 5]", "lstmCell",
         {"cellState": (1, 5)}, {}),
        ("input 'bias': got float32[3]; need shape [15]", "gruCell", {"bias": (3,)}, {}),
        ("input 'peepholeWeight': got float32[20]; need shape [15]", "lstmCell",
         {"peepholeWeight": (20,)}, {}),
        ("hiddenSize: got 0; need 1 to 268435455", "lstm", {}, {"hiddenSize": 0}),
        ("hiddenSize: got 357913942; need 1 to 357913941", "gruCell", {},
         {"hiddenSize": 357913942}),
        ("attribute 'layout': got 'zrn'; need one of ['iofg', 'ifgo']", "lstmCell", {},
         {"layout": "zrn"}),
        ("attribute 'layout': got 'iofg'; need one of ['zrn', 'rzn']", "gru", {},
         {"layout": "iofg"}),
        ("attribute 'direction': got 'left'", "gru", {}, {"direction": "left"}),
        ("attribute 'activations': got 'gelu'; need one of ['relu', 'sigmoid', 'tanh']",
         "gruCell", {}, {"activations": ("gelu", "tanh")}),
        ("attribute 'activations': got ['relu', 'tanh']; need 3 of them", "lstm", {},
         {"activations": ("relu", "tanh")}),
        ("attribute 'activations': got ['relu', 'tanh', 'tanh']; need 2 of them", "gruCell", {},
         {"activations": ("relu", "tanh", "tanh")}),
    ],
)  # fmt: skip
def test_what_is_refused(
    says: str, op: str, shapes: dict[str, tuple[int, ...]], attrs: dict[str, Any]
) -> None:
    arrays = {name: np.zeros(shape, np.float32) for name, shape in (SHAPES[op] | shapes).items()}
    given = {"hiddenSize": 5} | ({} if op.endswith("Cell") else {"steps": 3}) | attrs
    with pytest.raises((ShapeError, GraphError)) as caught:
        graph_of(op, arrays, **given)
    assert says in str(caught.value)


@pytest.mark.parametrize("op", SHAPES)
def test_one_float_type(op: str) -> None:
    arrays = {name: np.zeros(shape, np.float32) for name, shape in SHAPES[op].items()}
    given = {"hiddenSize": 5} | ({} if op.endswith("Cell") else {"steps": 3})
    for name in arrays:
        with pytest.raises(DTypeError, match="float"):
            graph_of(op, arrays | {name: arrays[name].astype(np.float16)}, **given)
