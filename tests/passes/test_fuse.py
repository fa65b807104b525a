from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgewise.dtypes import DType
from edgewise.graph.builder import GraphBuilder
from edgewise.graph.graph import Graph
from edgewise.graph.verify import verify
from edgewise.passes.base import PassResult
from edgewise.passes.clean import clean
from edgewise.passes.fuse import fuse
from edgewise.passes.pipeline import STEPS, run
from edgewise.targets.reference import Reference
from tests.graphs import F16, F32, Decoder

I8 = DType.INT8


def _contract(graph: Graph, result: PassResult) -> None:
    """What every pass keeps: a sound graph, a truthful `changed`, and nothing left to do."""
    verify(result.graph)
    assert result.changed == (result.graph != graph)
    assert result.changed or result.graph is graph
    again = fuse(result.graph)
    assert not again.changed
    assert again.graph is result.graph


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("activation", [F32, F16])
@pytest.mark.parametrize("heads", [(4, 2), (2, 2), (3, 1)])
def test_a_decoder_computes_the_same_before_and_after(
    seed: int, activation: DType, heads: tuple[int, int]
) -> None:
    decoder = Decoder(seed, heads=heads[0], kv_heads=heads[1], activation=activation)
    before = decoder.build()
    result = fuse(before)
    _contract(before, result)
    runs = [Reference(graph, decoder.weights) for graph in (before, result.graph)]
    states = [decoder.states(before)] * 2
    past = 0
    for tokens in ([3, 1, 4, 1, 5], [9], [2], [6, 5]):
        inputs, bindings = decoder.inputs(tokens), {"seq": len(tokens), "past": past}
        done = [each.run(inputs, state, bindings)
                for each, state in zip(runs, states, strict=True)]  # fmt: skip
        states = [after for _, after in done]
        past += len(tokens)
        # in float32 the fused graph is the same sums; in float16 it rounds less often
        limit = 1e-6 if activation is F32 else 2e-2
        for ours, theirs in ((done[0][0], done[1][0]), (done[0][1], done[1][1])):
            assert ours.keys() == theirs.keys()
            for name in ours:
                np.testing.assert_allclose(ours[name].astype(np.float64), theirs[name],
                                           rtol=limit, atol=limit)  # fmt: skip


def test_a_decoder_layer_becomes_six_operators() -> None:
    graph, notes = run(Decoder(layers=5).build(), debug=2)
    layer = Counter(node.op for node in graph.nodes if node.origin == "blk.3")
    assert layer == {"quantizedQkv": 1, "attention": 1, "reshape": 1, "quantizedMatmul": 2,
                     "quantizedSwiglu": 1}  # fmt: skip
    assert {note.rule for note in notes if note.text.startswith("did")} >= {
        "norm into matmul", "residual into matmul", "swiglu of matmuls", "qkv of attention",
    }  # fmt: skip
    assert not any(note.text.startswith("declined") for note in notes)


def test_results_keep_their_names() -> None:
    before = Decoder().build()
    after, _ = run(before)
    assert (after.outputs, after.updates) == (before.outputs, before.updates)


class Bench:
    """A builder with the parts of the patterns at hand."""

    def __init__(self) -> None:
        self.b = GraphBuilder("pattern")
        self.x = self.b.input("x", F32, (2, 6))
        self.w = self.b.input("w", F32, (6,))
        self.count = 0

    def matmul(self, x: Any, *, group: int = 3, n: int = 6, minimum: bool = False,
               **more: Any) -> Any:  # fmt: skip
        self.count += 1
        name, shape = f"m{self.count}", (n, 6 // group)
        codes = self.b.input(f"{name}c", I8, (n, 6))
        scale = self.b.input(f"{name}s", F16, shape)
        least = self.b.input(f"{name}m", F16, shape) if minimum else None
        return self.b.quantized_matmul(x, codes, scale, least, **{"dtype": F32, **more})

    def qkv(self, **changes: Any) -> None:
        b = self.b
        state = (5, 1, 6)
        k_state, v_state = b.state("k", F32, state), b.state("v", F32, state)
        q, k, v = (b.reshape(self.matmul(self.x), (2, 1, 6)) for _ in range(3))
        q = b.rotary(q, 1, 100.0, changes.get("q_dims", 6), True)
        k = b.rotary(k, 1, 100.0, 6, True)
        k_new = b.kv_update(k_state, k, 1)
        if changes.get("early"):
            b.output("early", b.neg(k_new))
        v_new = b.kv_update(v_state, v, changes.get("v_start", 1))
        b.update(k_state, k_new)
        b.update(v_state, v_new)
        if changes.get("shared"):
            b.output("shared", b.neg(k))
        b.output("y", b.attention(q, k_new, v_new, 1, 1.0))


Make = Callable[[Bench], Any]


def _norm_with_other_reader(t: Bench) -> Any:
    h = t.b.rms_norm(t.x, t.w, 1e-5)
    return t.b.mul(t.matmul(h), t.b.neg(h))


def _norm_that_is_a_result(t: Bench) -> Any:
    h = t.b.rms_norm(t.x, t.w, 1e-5)
    t.b.output("h", h)
    return t.matmul(h)


def _norm_as_residual(t: Bench) -> Any:
    h = t.b.rms_norm(t.x, t.w, 1e-5)
    return t.matmul(h, residual=h)


def _norm_twice(t: Bench) -> Any:
    return t.matmul(t.b.rms_norm(t.x, t.w, 1e-5), norm=t.w, eps=1e-5)


def _sum_with_shared_matmul(t: Bench) -> Any:
    y = t.matmul(t.x)
    return t.b.mul(t.b.add(t.x, y), y)


def _sum_with_broadcast(t: Bench) -> Any:
    return t.b.add(t.w, t.matmul(t.x))


def _sum_twice(t: Bench) -> Any:
    return t.b.add(t.b.neg(t.x), t.matmul(t.x, residual=t.x))


def _swiglu_of_other_groups(t: Bench) -> Any:
    return t.b.swiglu(t.matmul(t.x), t.matmul(t.x, group=2))


def _swiglu_with_one_minimum(t: Bench) -> Any:
    return t.b.swiglu(t.matmul(t.x, minimum=True), t.matmul(t.x))


def _swiglu_of_two_x(t: Bench) -> Any:
    return t.b.swiglu(t.matmul(t.x), t.matmul(t.b.neg(t.x)))


def _swiglu_with_a_second_reader(t: Bench) -> Any:
    gate = t.matmul(t.x)
    return t.b.mul(t.b.swiglu(gate, t.matmul(t.x)), gate)


def _swiglu_with_residual(t: Bench) -> Any:
    return t.b.swiglu(t.matmul(t.x), t.matmul(t.x, residual=t.x))


def _swiglu_of_other_eps(t: Bench) -> Any:
    return t.b.swiglu(t.matmul(t.x, norm=t.w, eps=1.0), t.matmul(t.x, norm=t.w, eps=2.0))


def _swiglu_that_broadcasts(t: Bench) -> Any:
    return t.b.swiglu(t.matmul(t.x), t.matmul(t.x, n=1))


@pytest.mark.parametrize(
    ("make", "rule", "because"),
    [
        (_norm_with_other_reader, "norm into matmul", "neg 'neg_1' reads it too"),
        (_norm_that_is_a_result, "norm into matmul", "'rmsNorm_1' is a result"),
        (_norm_as_residual, "norm into matmul", "quantizedMatmul 'quantizedMatmul_1' reads it"),
        (_norm_twice, "norm into matmul", "quantizedMatmul 'quantizedMatmul_1' reads it"),
        (_sum_with_shared_matmul, "residual into matmul", "'quantizedMatmul_1' has other users"),
        (_sum_with_broadcast, "residual into matmul", "'w' is broadcast"),
        (_sum_twice, "residual into matmul", "has a residual already"),
        (_swiglu_of_other_groups, "swiglu of matmuls", "block types differ: int8 by 3"),
        (_swiglu_with_one_minimum, "swiglu of matmuls", "block types differ"),
        (_swiglu_of_two_x, "swiglu of matmuls", "has another x or norm"),
        (_swiglu_with_a_second_reader, "swiglu of matmuls", "'quantizedMatmul_1' has other users"),
        (_swiglu_with_residual, "swiglu of matmuls", "has a residual"),
        (_swiglu_of_other_eps, "swiglu of matmuls", "has other attributes"),
        (_swiglu_that_broadcasts, "swiglu of matmuls", "differ in shape"),
        (lambda t: t.qkv(q_dims=4), "qkv of attention", "rotated differently"),
        (lambda t: t.qkv(v_start=2), "qkv of attention", "start at different rows"),
        (lambda t: t.qkv(shared=True), "qkv of attention", "'rotary_2' has other users"),
        (lambda t: t.qkv(early=True), "qkv of attention", "before all three are there"),
    ],
)  # fmt: skip
def test_it_declines_with_a_reason(make: Make, rule: str, because: str) -> None:
    bench = Bench()
    with bench.b.scope("here"):
        made = make(bench)
    if made is not None:
        bench.b.output("out", made)
    graph = bench.b.build()
    result = fuse(graph)
    _contract(graph, result)
    assert not result.changed
    (note,) = [note for note in result.notes if note.rule == rule]
    assert (note.origin, note.text.startswith("declined because")) == ("here", True)
    assert because in note.text


def test_a_read_of_a_state_is_not_moved_past_its_update() -> None:
    t = Bench()
    state = t.b.state("s", F32, (2, 6))
    y = t.matmul(state)
    t.b.output("z", t.b.add(t.x, y))
    normed = t.b.rms_norm(state, t.w, 1e-5)
    t.b.output("n", t.matmul(normed))
    t.b.output("u", t.b.swiglu(t.matmul(state), t.matmul(state)))
    graph = t.b.build()
    result = fuse(graph)
    _contract(graph, result)
    assert {note.rule: note.text[-14:] for note in result.notes} == {
        "norm into matmul": " reads a state", "residual into matmul": " reads a state",
        "swiglu of matmuls": " reads a state",
    }  # fmt: skip


def test_both_orders_of_a_sum_are_joined() -> None:
    t = Bench()
    y = t.b.add(t.matmul(t.x), t.x)
    t.b.output("y", t.b.add(y, t.matmul(y)))
    result = fuse(t.b.build())
    assert [node.op for node in result.graph.nodes] == ["quantizedMatmul"] * 2
    assert [node.inputs[-1] for node in result.graph.nodes] == ["x", "add_1"]


def test_clean_drops_what_no_result_needs() -> None:
    t = Bench()
    t.b.neg(t.b.exp(t.x))
    t.b.scalar(F32, 2.5)
    t.b.output("y", t.b.sqrt(t.x))
    graph = t.b.build()
    result = clean(graph)
    assert result.changed
    verify(result.graph)
    assert [node.op for node in result.graph.nodes] == ["sqrt"]
    assert not result.graph.constants
    assert result.graph.inputs == graph.inputs
    assert clean(result.graph).graph is result.graph


def test_a_dead_reader_does_not_stop_the_pipeline_from_fusing() -> None:
    t = Bench()
    h = t.b.rms_norm(t.x, t.w, 1e-5)
    t.b.neg(h)
    t.b.output("y", t.matmul(h))
    graph, _ = run(t.b.build())
    assert [node.op for node in graph.nodes] == ["quantizedMatmul"]


def test_debug_levels_say_what_the_pipeline_does() -> None:
    graph = Decoder(layers=1).build()
    said: list[list[str]] = [[], [], []]
    for level in range(3):
        run(graph, level, said[level].append)
    assert said[0] == []
    assert [line.split(":")[0] for line in said[1]] == [f"pass {step.name}" for step in STEPS]
    assert len(said[2]) == 2 * len(STEPS)
    assert said[2][-1].startswith("graph decoder")
