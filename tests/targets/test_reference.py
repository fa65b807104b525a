from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgewise
from edgewise.arrays import decode
from edgewise.dtypes import DType
from edgewise.errors import DTypeError, EdgewiseError, InputError, ShapeError
from edgewise.graph.builder import GraphBuilder
from edgewise.graph.graph import Constant, Graph, Source
from edgewise.passes.pipeline import run as optimise
from edgewise.targets.reference import Reference, run
from tests.graphs import F32, Array, Decoder


def test_prefill_at_once_equals_token_by_token() -> None:
    decoder = Decoder(1)
    graph = decoder.build()
    program = Reference(graph, decoder.weights)
    tokens = [3, 1, 4, 1, 5]
    whole, after = program.run(decoder.inputs(tokens), decoder.states(graph),
                               {"seq": len(tokens), "past": 0})  # fmt: skip
    states = decoder.states(graph)
    for past, token in enumerate(tokens):
        step, states = program.run(decoder.inputs([token]), states, {"seq": 1, "past": past})
    np.testing.assert_allclose(step["logits"], whole["logits"], rtol=1e-4, atol=1e-4)
    for name, state in states.items():
        np.testing.assert_allclose(state, after[name], rtol=1e-4, atol=1e-4)
    assert states["seen"].tolist() == [int(token in tokens) for token in range(decoder.vocab)]


def test_precise_is_float64_throughout_and_close() -> None:
    decoder = Decoder(2)
    graph, _ = optimise(decoder.build())
    inputs, bindings = decoder.inputs([1, 2, 3]), {"seq": 3, "past": 0}
    single, _ = run(graph, inputs, decoder.states(graph), decoder.weights, bindings)
    double, states = run(graph, inputs, decoder.states(graph), decoder.weights, bindings,
                         precise=True)  # fmt: skip
    assert single["logits"].dtype == np.float32
    assert double["logits"].dtype == np.float64
    assert states["k0"].dtype == np.float64
    assert states["seen"].dtype == np.uint32
    off = np.abs(single["logits"] - double["logits"])
    assert 0 < off.max() < 1e-4
    again, _ = run(graph, inputs, states, decoder.weights, {"seq": 3, "past": 3}, precise=True)
    assert again["logits"].dtype == np.float64


def test_constants_are_read_once_and_inputs_are_left_alone() -> None:
    decoder = Decoder(3)
    graph = decoder.build()
    reads: list[Source | None] = []

    def constants(constant: Constant) -> Array:
        reads.append(constant.source)
        return decoder.weights(constant)

    program = Reference(graph, constants)
    inputs, states = decoder.inputs([1]), decoder.states(graph)
    copies = {name: array.copy() for name, array in (inputs | states).items()}
    first, _ = program.run(inputs, states, {"seq": 1, "past": 0})
    second, _ = program.run(inputs, states, {"seq": 1, "past": 0})
    np.testing.assert_array_equal(first["logits"], second["logits"])
    assert len(reads) == len(set(reads)) == len(decoder.arrays)
    for name, array in (inputs | states).items():
        np.testing.assert_array_equal(array, copies[name])


def _program() -> tuple[Graph, dict[str, Array]]:
    b = GraphBuilder("small")
    x = b.input("x", F32, (b.symbol("seq", 4), 2))
    b.output("y", b.neg(x))
    return b.build(), {"x": np.zeros((3, 2), np.float32)}


@pytest.mark.parametrize(
    ("error", "arrays", "bindings", "says"),
    [
        (ShapeError, {}, {}, "symbol 'seq': got None; need 0 to 4"),
        (ShapeError, {}, {"seq": 5}, "symbol 'seq': got 5; need 0 to 4"),
        (ShapeError, {}, {"seq": 2}, "array 'x': got (3, 2); need (2, 2), float32[seq, 2]"),
        (InputError, {"z": np.zeros(3)}, {"seq": 3}, "got ['x', 'z']; need ['x']"),
        (DTypeError, {"x": np.zeros((3, 2))}, {"seq": 3}, "array 'x': got float64"),
    ],
)
def test_arrays_that_do_not_fit(
    error: type[EdgewiseError], arrays: dict[str, Any], bindings: dict[str, int], says: str
) -> None:
    graph, good = _program()
    with pytest.raises(error) as caught:
        run(graph, good | arrays, {}, lambda constant: np.zeros(0), bindings)
    assert says in str(caught.value)


def test_a_constant_of_the_wrong_size_is_named() -> None:
    decoder = Decoder()
    graph = decoder.build()
    with pytest.raises(ShapeError, match=r"constant .*got \(7,\); need"):
        run(graph, decoder.inputs([1]), decoder.states(graph), lambda constant: np.zeros(7),
            {"seq": 1, "past": 0})  # fmt: skip


def test_an_update_past_the_end_of_a_state_is_refused() -> None:
    decoder = Decoder()
    graph = decoder.build()
    with pytest.raises(ShapeError, match="need within 16"):
        run(graph, decoder.inputs([1, 2]), decoder.states(graph), decoder.weights,
            {"seq": 2, "past": decoder.context - 1})  # fmt: skip


def test_inline_data_is_little_endian_and_four_bits_are_unpacked() -> None:
    assert decode(bytes([0x01, 0x02, 0, 0]), DType.UINT32, 1).tolist() == [0x201]
    assert decode(bytes([0xF1, 0x08]), DType.UINT4, 4).tolist() == [1, 15, 8, 0]
    assert decode(bytes([0xF1, 0x08]), DType.INT4, 3).tolist() == [1, -1, -8]


@pytest.mark.parametrize("dtype", [DType.UINT4, DType.INT4])
def test_an_odd_number_of_four_bit_elements(dtype: DType) -> None:
    b = GraphBuilder("odd")
    packed = b.constant(dtype, (3,), data=bytes([0x21, 0x03]))
    b.output("y", b.cast(packed, F32))
    outputs, _ = run(b.build(), {}, {}, lambda constant: np.zeros(0), {})
    assert outputs["y"].tolist() == [1, 2, 3]


def test_the_compiler_starts_without_numpy() -> None:
    modules = "ops graph.builder graph.text passes.pipeline passes.decompose targets.reference"
    imports = "; ".join(f"import edgewise.{module}" for module in modules.split())
    code = f"import sys; sys.modules['numpy'] = None; {imports}"
    package = Path(edgewise.__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=package)
