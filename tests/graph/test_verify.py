"""A broken graph for each rule, in text form."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgewise.dims import symbol
from edgewise.dtypes import DType
from edgewise.errors import DTypeError, EdgewiseError, GraphError, ShapeError
from edgewise.graph.builder import GraphBuilder
from edgewise.graph.graph import Constant, Graph, Node, Source, Value, specialise
from edgewise.graph.text import parse_graph
from edgewise.graph.verify import verify
from edgewise.passes.pipeline import run
from tests.graphs import Decoder

HEAD = """
graph broken
symbol seq <= 8
input x: float32[seq, 4]
input h: float32[2, 1, 4]
state s: float32[5, 1, 4]
state t: float32[5, 1, 4]
"""


@pytest.mark.parametrize(
    ("error", "says", "lines"),
    [
        (GraphError, "input 'y'", "z: float32[seq, 4] = neg(y)\ny: float32[seq, 4] = neg(x)"),
        (GraphError, "operator", "y: float32[seq, 4] = frob(x)"),
        (GraphError, "add inputs: got 1", "y: float32[seq, 4] = add(x)"),
        (GraphError, "add input 'b': got nothing", "y: float32[seq, 4] = add(x, _)"),
        (GraphError, "outputs: got 2", "y: float32[seq, 4], z: float32[] = neg(x)"),
        (ShapeError, "output 'y'", "y: float32[4, seq] = neg(x)"),
        (DTypeError, "output 'y'", "y: float16[seq, 4] = neg(x)"),
        (DTypeError, "logicalNot input 'a'", "y: uint8[seq, 4] = logicalNot(x)"),
        (ShapeError, "softmax axis", "y: float32[seq, 4] = softmax(x) {axis=2}"),
        (GraphError, "softmax attribute 'axis'", "y: float32[seq, 4] = softmax(x)"),
        (GraphError, "canonical form", "y: float32[seq, 4] = rmsNorm(x, x) {eps=1}"),
        (GraphError, "softmax attributes", "y: float32[seq, 4] = softmax(x) {axis=1, b=2}"),
        (GraphError, "reduceSum attribute 'keepDimensions'",
         "y: float32[] = reduceSum(x) {axes=[0, 1]}"),
        (ShapeError, "reshape newShape", "y: float32[seq, 5] = reshape(x) {newShape=[(seq), 5]}"),
        (ShapeError, "slice axis 1", "y: float32[seq, 3] = slice(x) {starts=[0, 2], "
                                     "sizes=[(seq), 3]}"),
        (ShapeError, "constant 'c'", "constant c: float32[seq] = 0x"),
        (ShapeError, "constant 'c': got 3 bytes; need 8", "constant c: float32[2] = 0x000000"),
        (ShapeError, "need 2 for uint4[3]", "constant c: uint4[3] = 0x00"),
        (GraphError, "output 'y'", "output y = nowhere"),
        (GraphError, "update 'x'", "update x = h"),
        (ShapeError, "update of 's'", "update s = h"),
        (GraphError, "kvUpdate of 'h': got no state",
         "n: float32[2, 1, 4] = kvUpdate(h, h) {start=0}"),
        (GraphError, "state 's': got update None",
         "n: float32[5, 1, 4] = kvUpdate(s, h) {start=0}"),
        (GraphError, "read of 's'", "n: float32[5, 1, 4] = kvUpdate(s, h) {start=0}\n"
                                    "o: float32[5, 1, 4] = neg(s)\nupdate s = n"),
        (GraphError, "read of 's'", "n: float32[5, 1, 4] = kvUpdate(s, h) {start=0}\n"
                                    "o: float32[5, 1, 4] = kvUpdate(s, h) {start=2}\nupdate s = o"),
        (GraphError, "read of 's'", "n: float32[5, 1, 4] = kvUpdate(s, h) {start=0}\n"
                                    "update s = n\noutput old = s"),
        (GraphError, "state 's'", "n: float32[5, 1, 4] = kvUpdate(s, h) {start=0}\n"
                                  "update t = n"),
        (GraphError, "state 't': got update 'n'", "n: float32[5, 1, 4] = kvUpdate(s, h) {start=0}\n"
                                  "o: float32[5, 1, 4] = kvUpdate(t, h) {start=0}\n"
                                  "update s = n\nupdate t = n"),
    ],
)  # fmt: skip
def test_each_rule_has_a_graph_that_breaks_it(
    error: type[EdgewiseError], says: str, lines: str
) -> None:
    verify(parse_graph(HEAD))
    with pytest.raises(error) as caught:
        verify(parse_graph(HEAD + lines))
    assert says in str(caught.value)
    assert caught.value.where is not None
    assert "broken" in caught.value.where


def test_two_versions_in_a_row_are_fine() -> None:
    verify(parse_graph(HEAD + (
        "n: float32[5, 1, 4] = kvUpdate(s, h) {start=0}\n"
        "o: float32[5, 1, 4] = kvUpdate(n, h) {start=2}\n"
        "update s = o\nupdate t = h2\n"
    ).replace("update t = h2\n", "")))  # fmt: skip


def _graph() -> Graph:
    return parse_graph(HEAD + "y: float32[seq, 4] = neg(x)\noutput y = y")


def test_rules_that_text_cannot_break() -> None:
    graph = _graph()
    stray = Value("stray", DType.FLOAT32, (1,))
    wrong = symbol("seq", 9)
    source = Source("a", "F32", "values")
    broken = [
        replace(graph, values={**graph.values, "stray": stray}),
        replace(graph, nodes=graph.nodes * 2),
        replace(graph, inputs=(*graph.inputs, "x")),
        replace(graph, inputs=("x", "h", "absent")),
        replace(graph, values={**graph.values, "x": replace(graph.values["h"], name="y")}),
        replace(graph, values={**graph.values, "x": Value("x", DType.FLOAT32, (wrong, 4))}),
        replace(graph, symbols={}),
        *(replace(graph, values={**graph.values, "stray": stray}, constants={"stray": each})
          for each in (Constant(stray, None, None), Constant(stray, source, bytes(4)),
                       Constant(replace(stray, dtype=DType.INT32), source, None),
                       Constant(stray, replace(source, part="none"), None))),  # type: ignore[arg-type]
    ]  # fmt: skip
    verify(graph)
    for each in broken:
        with pytest.raises(GraphError):
            verify(each)


def test_the_origin_of_a_node_is_in_the_error() -> None:
    graph = _graph()
    node = Node("exp", ("h",), ("y",), {}, "blk.7")
    with pytest.raises(ShapeError) as caught:
        verify(replace(graph, nodes=(node,)))
    assert caught.value.where == "blk.7 (y = exp)"


def test_specialising_keeps_a_graph_sound() -> None:
    for graph in (Decoder().build(), run(Decoder().build())[0]):
        one = specialise(graph, {"seq": 1})
        verify(one)
        assert one.symbols == {"past": graph.symbols["past"]}
        assert one.values["tokens"].shape == (1,)
        both = specialise(one, {"past": 3})
        verify(both)
        assert specialise(both, {"past": 3}) == both
        attention = next(node for node in both.nodes if node.op == "attention")
        assert attention.attrs["past"] == 3


def test_the_builder_refuses_what_is_not_its_own() -> None:
    one, two = GraphBuilder("one"), GraphBuilder("two")
    x = one.input("x", DType.FLOAT32, (3,))
    two.input("x", DType.FLOAT32, (3,))
    one.output("y", x)
    one.symbol("s", 3)
    for refused in (
        lambda: two.neg(x), lambda: two.output("y", x), lambda: two.update(x, x),
        lambda: one.input("x", DType.FLOAT32, (3,)), lambda: one.output("y", x),
        lambda: one.symbol("s", 4),
    ):  # fmt: skip
        with pytest.raises(GraphError):
            refused()


def test_one_state_cannot_hold_both_keys_and_values() -> None:
    b = GraphBuilder("one")
    x = b.input("x", DType.FLOAT32, (2, 4))
    codes, scale = b.input("c", DType.INT8, (4, 4)), b.input("s", DType.FLOAT16, (4, 1))
    state = b.state("kv", DType.FLOAT32, (5, 1, 4))
    weights = [codes, scale, None] * 3
    q, _, v = b.quantized_qkv(x, *weights, None, state, state, heads=1, kv_heads=1, start=0,
                              theta=1e4, dims=4, interleaved=True, dtype=DType.FLOAT32)  # fmt: skip
    b.output("q", q)
    b.update(state, v)
    with pytest.raises(GraphError, match="two updates in one node"):
        b.build()


def test_fresh_names_avoid_given_ones() -> None:
    b = GraphBuilder("names")
    x = b.input("neg_1", DType.FLOAT32, (3,))
    b.output("y", b.neg(x))
    assert b.build().outputs == {"y": "neg_2"}
