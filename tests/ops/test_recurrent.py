"""Recurrent networks: references, their decompositions, and onnxruntime's LSTM and GRU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ops.decomposition import Array, check, run

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
