from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.dtypes import DType
from edgewise.errors import UnsupportedError
from edgewise.graph.builder import GraphBuilder
from edgewise.graph.graph import Graph
from edgewise.graph.verify import verify
from edgewise.passes import place as module
from edgewise.passes.place import Placement, place
from edgewise.targets import reference

F32 = DType.FLOAT32
Labels = list[tuple[int, int, bool]]


def chain(labels: Labels) -> tuple[Graph, dict[str, str]]:
    """A graph of sums: each node adds two earlier values, and may be refused."""
    b = GraphBuilder("chain")
    values = [b.input("x", F32, (4,)), b.scalar(F32, 3.0)]
    refused = {}
    for left, right, bad in labels:
        made = b.add(values[left % len(values)], values[right % len(values)])
        values.append(made)
        if bad:
            refused[made.name] = "no reason"
    b.output("last", values[-1])
    b.output("middle", values[len(values) // 2])
    return b.build(), refused


def run_parts(graph: Graph, placed: Placement, x: Any) -> dict[str, Any]:
    known = {"x": x}
    for part in placed.parts:
        verify(part.graph)
        inputs = {name: known[name] for name in part.graph.inputs}
        outputs, _ = reference.run(part.graph, inputs, {}, _no_file, {})
        known |= outputs
    return {public: known[name] for public, name in placed.outputs.items()}


def _no_file(constant: object) -> Any:
    raise AssertionError(f"{constant=}")


def changes(graph: Graph, refused: dict[str, str]) -> int:
    """Changes of target on the way to each value, at most."""
    deepest: dict[str, tuple[int, bool]] = {}
    most = 0
    for node in graph.nodes:
        away = node.outputs[0] in refused
        before = [deepest[name] for name in node.inputs if name in deepest]
        count = max((n + (other is not away) for n, other in before), default=0)
        deepest[node.outputs[0]] = count, away
        most = max(most, count)
    return most


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.booleans()), max_size=12))
def test_parts_compute_what_the_graph_does(labels: Labels) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "WORTH", 0)
        graph, refused = chain(labels)
        placed = place(graph, refused, target="a", rest="b")
        x = np.arange(4, dtype=np.float32)
        want, _ = reference.run(graph, {"x": x}, {}, _no_file, {})
        got = run_parts(graph, placed, x)
    assert got.keys() == want.keys()
    for name in want:
        np.testing.assert_array_equal(got[name], want[name])
    # every node is where it may be, and the parts are few
    for part in placed.parts:
        names = {node.outputs[0] for node in part.graph.nodes}
        assert names <= set(refused) if part.target == "b" else names.isdisjoint(refused)
    assert len(placed.parts) <= changes(graph, refused) + 2


def test_small_parts_between_others_go_with_them() -> None:
    graph, refused = chain([(0, 0, True), (2, 2, False), (3, 3, True)])
    placed = place(graph, refused, target="a", rest="b")
    assert [part.target for part in placed.parts] == ["b"]
    assert placed.crossing == 0
    notes = [str(note) for note in placed.notes]
    assert any("a refuses it: no reason" in note for note in notes)
    assert any("4 operations are not worth 2 crossings" in note for note in notes)


def test_large_parts_stay_and_their_crossings_are_counted() -> None:
    b = GraphBuilder("large")
    x = b.input("x", F32, (128, 128))
    first = b.reciprocal(x)
    product = b.matmul(first, x)
    b.output("y", b.reciprocal(product))
    graph = b.build()
    refused = {node.outputs[0]: "refused" for node in graph.nodes if node.op == "reciprocal"}
    placed = place(graph, refused, target="a", rest="b")
    assert [part.target for part in placed.parts] == ["b", "a", "b"]
    assert placed.crossing == 2 * 4 * 128 * 128
    assert str(placed.notes[-1]) == (
        "place at large: did put 1 nodes on a and 2 on b, in 3 parts; 131072 bytes cross in a run"
    )


def test_without_another_target_all_operators_are_named() -> None:
    b = GraphBuilder("two")
    x = b.input("x", F32, (2,))
    with b.scope("layer.0"):
        y = b.sin(x)
    with b.scope("layer.1"):
        z = b.cos(y)
    b.output("z", z)
    graph = b.build()
    refused = {y.name: "no sine", z.name: "no cosine"}
    with pytest.raises(UnsupportedError) as caught:
        place(graph, refused, target="a", rest=None)
    text = str(caught.value)
    assert all(part in text for part in ("sin (no sine)", "cos (no cosine)", "layer.0, layer.1"))


def test_results_that_nothing_computes() -> None:
    b = GraphBuilder("plain")
    x = b.input("x", F32, (2,))
    b.output("same", x)
    b.output("three", b.scalar(F32, 3.0))
    placed = place(b.build(), {}, target="a", rest="b")
    assert [part.target for part in placed.parts] == ["a"]
    assert placed.outputs["same"] == "x"
    assert placed.outputs["three"] in placed.parts[0].graph.outputs
