"""ONNX's node tests with something wrong in them: an error that names the node, or a graph; soon.

Each seed makes 150 models: an attribute or an input's values or shape changed, an input gone.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import onnx
import pytest

from edgewise.errors import EdgewiseError
from edgewise.formats.onnx_read import parse
from edgewise.importers.onnx import NeedsValues, import_onnx
from tests.onnx.node_cases import array, baseline, cases

NUMBERS = [-3, -2, -1, 0, 1, 2, 3, 5, 7, 100, 1 << 40, -(1 << 40)]
NAMES = [name for name in baseline() if not name.endswith("_expanded")]


def mutated_attribute(rng: random.Random, node: Any) -> None:
    """Another value of an attribute, or one less."""
    if not node.attribute:
        return
    chosen = rng.choice(node.attribute)
    if chosen.type == onnx.AttributeProto.INT:
        chosen.i = rng.choice(NUMBERS)
    elif chosen.type == onnx.AttributeProto.INTS and chosen.ints:
        chosen.ints[rng.randrange(len(chosen.ints))] = rng.choice(NUMBERS)
    elif chosen.type == onnx.AttributeProto.STRING:
        chosen.s = b"foo"
    else:
        node.attribute.remove(chosen)


def mutated_array(rng: random.Random, given: Any) -> Any:
    """Another number in an array of integers, or another shape."""
    if given.dtype.kind == "i" and given.size and rng.random() < 0.7:
        flat = given.astype(np.int64).reshape(-1)
        flat[rng.randrange(flat.size)] = rng.choice(NUMBERS)
        return flat.reshape(given.shape).astype(given.dtype)
    shape = list(given.shape)
    change = rng.randrange(3)
    if change == 0 and shape:
        shape[rng.randrange(len(shape))] = rng.choice([0, 1, 2, 3])
    elif change == 1 and shape:
        shape.pop()
    else:
        shape.append(1)
    return np.resize(given, shape) if given.size else np.zeros(shape, given.dtype)


def mutated(rng: random.Random, case: Any) -> tuple[Any, list[Any]]:
    """A model and its inputs, with one to three changes."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    inputs = [np.array(array(each)) for each in case.data_sets[0][0]]
    for _ in range(rng.randint(1, 3)):
        node = rng.choice(model.graph.node)
        where = rng.randrange(4)
        if where == 0:
            mutated_attribute(rng, node)
        elif where == 1 and node.input:
            node.input[rng.randrange(len(node.input))] = ""
        elif inputs:
            place = rng.randrange(len(inputs))
            inputs[place] = mutated_array(rng, inputs[place])
    return model, inputs


def build(model: Any, inputs: list[Any]) -> None:
    """Import a model for its inputs, with their values where they are asked for."""
    found = parse(model.SerializeToString())
    given = {value.name: each for value, each in zip(found.graph.inputs, inputs, strict=False)}
    values: dict[str, Any] = {}
    while True:
        try:
            import_onnx(found, {name: each.shape for name, each in given.items()}, values)
        except NeedsValues as missing:
            names = missing.names
        else:
            return
        assert names - values.keys(), f"{names} asked for again"
        values |= {name: given[name] for name in names}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.timeout(30)
@pytest.mark.parametrize("seed", range(8))
def test_only_errors_of_ours(seed: int) -> None:
    rng = random.Random(seed)
    refused: list[EdgewiseError] = []
    for _ in range(150):
        name = rng.choice(NAMES)
        model, inputs = mutated(rng, cases()[name])
        try:
            build(model, inputs)
        except EdgewiseError as error:
            refused.append(error)
    assert len(refused) > 30
    assert all(error.where for error in refused)
