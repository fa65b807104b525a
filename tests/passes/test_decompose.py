from __future__ import annotations

import numpy as np

from edgewise.graph.graph import specialise
from edgewise.graph.verify import verify
from edgewise.ops import OPS
from edgewise.passes.decompose import DEFINED, decompose
from edgewise.passes.pipeline import run
from edgewise.targets.reference import Reference
from tests.graphs import Decoder


def test_only_rows_are_left_and_results_keep_their_public_names() -> None:
    graph, _ = run(Decoder().build())
    result = decompose(graph)
    verify(result.graph)
    assert result.changed
    assert all(OPS[node.op].reference is not None for node in result.graph.nodes)
    assert result.graph.outputs.keys() == graph.outputs.keys()
    assert result.graph.updates.keys() == graph.updates.keys()
    assert decompose(result.graph).graph is result.graph


def test_what_is_kept_stays_and_nested_composites_go() -> None:
    graph, _ = run(Decoder().build())
    keep = {"quantizedMatmul", "kvUpdate", "sample"}
    result = decompose(graph, keep).graph
    verify(result)
    composites = {node.op for node in result.nodes if OPS[node.op].decompose is not None}
    assert composites == keep
    # three for each fused qkv, two for each fused swiglu, as before fusion
    count = sum(node.op == "quantizedMatmul" for node in result.nodes)
    assert count == 2 * (3 + 2 + 2) + 1


def test_every_level_of_expansion_computes_the_same() -> None:
    decoder = Decoder(5)
    graph, _ = run(decoder.build())
    some = decompose(graph, DEFINED | {"quantizedMatmul", "attention"}).graph
    inputs, bindings = decoder.inputs([7, 8, 9]), {"seq": 3, "past": 2}
    results = [
        Reference(each, decoder.weights).run(inputs, decoder.states(graph), bound)
        for each, bound in ((graph, bindings), (some, bindings),
                            (decompose(graph).graph, bindings), (specialise(graph, bindings), {}),
                            (decompose(specialise(some, bindings)).graph, {}))
    ]  # fmt: skip
    for outputs, states in results[1:]:
        for ours, theirs in ((outputs, results[0][0]), (states, results[0][1])):
            for name in theirs:
                np.testing.assert_array_equal(ours[name], theirs[name])


def test_origins_survive() -> None:
    graph = decompose(Decoder().build()).graph
    assert {node.origin for node in graph.nodes} == {"", "blk.0", "blk.1"}


def test_equal_inline_constants_are_one() -> None:
    graph = decompose(Decoder(layers=6).build()).graph
    data = [(each.value.dtype, each.value.shape, each.data) for each in graph.constants.values()
            if each.data is not None]  # fmt: skip
    assert len(set(data)) == len(data)
    assert sum(len(each[2]) for each in data) < 2000
