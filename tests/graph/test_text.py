from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.dims import Dim, symbol
from edgewise.dtypes import DType
from edgewise.errors import FormatError
from edgewise.graph.graph import PARTS, Constant, Graph, Node, Source, Value
from edgewise.graph.text import parse_graph, print_graph
from edgewise.graph.verify import verify
from edgewise.passes.decompose import decompose
from edgewise.passes.pipeline import run
from tests.graphs import Decoder

# words of the text form itself, words that look like numbers, and anything at all
odd = ["x", "input", "inf", "nan", "_", "true", "float32", "0x1", "1e5", "a b", 'q"', "blk.0.w",
       "é\u2028", "-3", "3*seq", ""]  # fmt: skip
names = st.sampled_from(odd) | st.text(max_size=4)
symbols = st.dictionaries(st.sampled_from(["seq", "past", "inf", "x", "e5", "float32"]),
                          st.integers(0, 999), max_size=3)  # fmt: skip


@st.composite
def dims(draw: st.DrawFn, bounds: dict[str, int]) -> Dim:
    total: Dim = draw(st.integers(-9, 999))
    for name in bounds:
        total = total + symbol(name, bounds[name]) * draw(st.integers(-3, 3))
    return total


def attrs(bounds: dict[str, int]) -> st.SearchStrategy[Any]:
    scalar = (st.integers() | st.floats(allow_nan=False) | st.booleans() | names
              | st.sampled_from(list(DType)) | dims(bounds))  # fmt: skip
    return st.recursive(scalar, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=5)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Any data in the form of a graph: the text form does not depend on the rules."""
    bounds = draw(symbols)
    every = draw(st.lists(names, unique=True, max_size=9))
    values = {
        name: Value(name, draw(st.sampled_from(list(DType))),
                    tuple(draw(st.lists(dims(bounds), max_size=3))))
        for name in every
    }  # fmt: skip
    cuts = sorted(draw(st.lists(st.integers(0, len(every)), min_size=3, max_size=3)))
    constants = {}
    for name in every[cuts[1] : cuts[2]]:
        source = Source(draw(names), draw(names), draw(st.sampled_from(PARTS)))
        inline = draw(st.booleans())
        constants[name] = Constant(values[name], None if inline else source,
                                   draw(st.binary(max_size=5)) if inline else None)  # fmt: skip
    nodes = tuple(
        Node("add",
             tuple(draw(st.lists(st.none() | st.sampled_from(every), max_size=3))), (name,),
             draw(st.dictionaries(st.sampled_from(["axis", "newShape"]), attrs(bounds))),
             draw(names))
        for name in every[cuts[2] :]
    )  # fmt: skip
    pairs = st.dictionaries(names, names, max_size=2)
    return Graph(draw(names), bounds, tuple(every[: cuts[0]]), tuple(every[cuts[0] : cuts[1]]),
                 constants, values, nodes, draw(pairs), draw(pairs))  # fmt: skip


def _typed(graph: Graph) -> str:
    """Tells 1 from 1.0 and True, which are equal, and a StrEnum from its string."""
    return repr([[(name, type(attr), attr) for name, attr in node.attrs.items()]
                 for node in graph.nodes])  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(graphs())
def test_printing_and_parsing_is_the_identity(graph: Graph) -> None:
    text = print_graph(graph)
    again = parse_graph(text)
    assert again == graph
    assert _typed(again) == _typed(graph)
    assert print_graph(again) == text


def test_real_graphs_come_back_sound() -> None:
    built = Decoder().build()
    for graph in (built, run(built)[0], decompose(built).graph):
        again = parse_graph(print_graph(graph))
        assert again == graph
        verify(again)


def test_nan_comes_back() -> None:
    line = "y: float32[] = op(_) {a=nan, b=-inf}"
    attr = parse_graph(f"graph g\n{line}").nodes[0].attrs
    assert math.isnan(attr["a"])  # type: ignore[arg-type]
    assert attr["b"] == -math.inf


GOLDEN = """\
graph double
symbol seq <= 256
input x: float32[seq, 4]
constant w: float32[4] = F32 values "blk.0.attn_norm.weight"
constant constant_1: float32[] = 0x00000040
mul_1: float32[seq, 4] = mul(x, constant_1) @ "blk.0"
rmsNorm_1: float32[seq, 4] = rmsNorm(mul_1, w) {eps=1e-05} @ "blk.0"
slice_1: float32[1, 4] = slice(rmsNorm_1) {starts=[(seq-1), 0], sizes=[1, 4]}
output y = slice_1
"""


def test_the_form_itself() -> None:
    graph = parse_graph(GOLDEN)
    verify(graph)
    assert print_graph(graph) == GOLDEN


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("input x float32[2]", "got 'float32'; need :"),
        ("input x: float33[2]", "float33"),
        ("input x: float32[2", "need ,"),
        ("input x: float32[other]", "other"),
        ("input a: float32[1]", "second definition"),
        ("symbol seq <= many", "need number"),
        ("constant c: float32[1] = 0x0", "non-hexadecimal|fromhex"),
        ("constant c: float32[1] = F32 all \"t\"", "need values or codes"),
        ("y: float32[1] = neg(a", "end of the line"),
        ("y: float32[1] = neg(a) {axis}", "need ="),
        ("y: float32[1] = neg(a) {axis=(no)}", "'no'"),
        ("y: float32[1] = neg(a) {axis=sometimes}", "sometimes"),
        ("y: float32[1] = neg(a) {axis=", "''"),
        ("y: float32[1] = neg(a) more", "end of the line"),
        ("y: float32[1] = neg(a) \\", "got"),
        ("y: float32[1] = neg(a) {b=" + "[" * 100_000, "recursion"),
        ("output y", "end of the line"),
    ],
)  # fmt: skip
def test_what_is_no_graph_text_names_its_line(line: str, says: str) -> None:
    with pytest.raises(FormatError, match=r"(?s)" + says.replace("(", r"\(")) as caught:
        parse_graph(f"graph g\ninput a: float32[1]\n{line}\n")
    assert str(caught.value.where).startswith("line 3")


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(GOLDEN) - 1), st.characters(max_codepoint=0x100))
def test_a_changed_character_gives_a_graph_or_a_format_error(place: int, other: str) -> None:
    text = GOLDEN[:place] + other + GOLDEN[place + 1 :]
    try:
        graph = parse_graph(text)
    except FormatError:
        return
    assert parse_graph(print_graph(graph)) == graph
