"""Native WebNN without a browser: plans for what Chromium 147 says of itself.

The calls themselves run in e2e/test_webnn.py.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewise.arrays import decode, encode
from edgewise.dtypes import DType
from edgewise.errors import GraphError, UnsupportedError
from edgewise.graph.builder import GraphBuilder
from edgewise.graph.graph import Graph, Source
from edgewise.graph.verify import verify
from edgewise.ops import OPS
from edgewise.targets import reference
from edgewise.targets.reference_plan import Place
from edgewise.targets.webnn.divide import divide
from edgewise.targets.webnn.emit import emit, literal
from edgewise.targets.webnn.facts import WebnnFacts, probes
from edgewise.targets.webnn.fit import fit
from edgewise.targets.webnn.guards import Guard
from edgewise.targets.webnn.limits import spelled
from tests.targets.vectors import Vector, vectors
from tests.targets.webnn_guards import example, guarded

DATA = Path(__file__).parent.parent / "data"
F32, F16, I32 = DType.FLOAT32, DType.FLOAT16, DType.INT32
AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/147.0.7727.0 Safari/537.36"
)
METHODS = json.loads((DATA / "webnn_options_chromium147.json").read_text())


def chromium() -> WebnnFacts:
    """What Chromium 147 says."""
    return WebnnFacts.from_dict({
        "device_type": "cpu",
        "browser": AGENT,
        "operators": json.loads((DATA / "webnn_operators_chromium147.json").read_text()),
        "options": {name: method["options"] for name, method in METHODS.items()},
    })  # fmt: skip


FACTS = chromium()


def test_facts() -> None:
    assert FACTS.name == "WebNN cpu of Chromium 147"
    assert FACTS.chromium == 147
    assert FACTS.limits["maxTensorByteLength"] == 2**31 - 1
    assert "conv2d" in FACTS.features


def test_probes_give_what_the_browser_wants() -> None:
    """Each method is called with as many arguments as the browser says that it needs."""
    calls = dict(json.loads(probes()))
    assert calls.keys() <= METHODS.keys()
    assert len(calls) == 95
    counts = {name: len(arguments) for name, arguments in calls.items()}
    assert counts == {name: METHODS[name]["length"] for name in calls}


def test_the_browser_reads_every_option_of_every_row() -> None:
    unread = {
        f"{op.name}.{name}"
        for op in OPS.values()
        if op.spec
        for name in op.order
        if name not in op.required and spelled(FACTS, op.name, name) is None
    }
    assert unread == set()


def test_calls() -> None:
    b = GraphBuilder("small")
    x = b.input("x", F32, (1, 2, 5, 5))
    b.input("unread", F32, (3,))
    w = b.constant(F32, (2, 2, 3, 3), source=Source("w", "F32", "values"), name="w")
    bias = b.constant(F32, (2,), data=np.ones(2, np.float32).tobytes(), name="bias")
    with b.scope("layer"):
        y = b.conv2d(x, w, bias=bias, padding=[1, 1, 1, 1])
    parts = b.split(y, 2, axis=1)
    b.output("half", parts[1])
    b.output("same", x)
    b.output("low", b.cast(b.clamp(parts[0], max_value=float("inf"), min_value=-2.0), I32))
    graph = b.build()
    plan = emit(graph, {"w": Place("F32", (2, 2, 3, 3), 64, 144)}, FACTS)
    ids = {name: number for number, name in enumerate(graph.values)}
    made = {node.op: [ids[name] for name in node.outputs] for node in graph.nodes}
    assert plan.inputs == ((ids["x"], "x", "float32", (1, 2, 5, 5)),)
    assert plan.constants == (
        (ids["w"], "float32", (2, 2, 3, 3), (64, 144), "plain"),
        (ids["bias"], "float32", (2,), "AACAPwAAgD8=", "plain"),
    )
    assert plan.calls == (
        ("conv2d", [{"operand": ids["x"]}, {"operand": ids["w"]}],
         {"bias": {"operand": ids["bias"]}, "padding": [1, 1, 1, 1], "label": "layer"},
         made["conv2d"]),
        ("split", [{"operand": made["conv2d"][0]}, 2], {"axis": 1}, made["split"]),
        ("clamp", [{"operand": made["split"][0]}],
         {"minValue": -2.0, "maxValue": {"number": "Infinity"}}, made["clamp"]),
        ("cast", [{"operand": made["clamp"][0]}, "int32"], {}, made["cast"]),
        ("reshape", [{"operand": ids["x"]}, (1, 2, 5, 5)], {}, [len(ids) + 4]),
    )  # fmt: skip
    assert plan.outputs == (
        ("half", made["split"][1]), ("same", len(ids) + 4), ("low", made["cast"][0]),
    )  # fmt: skip
    assert plan.nbytes == 4 * (50 + 36 + 2 + 25 + 50 + 25)
    assert json.loads(plan.to_json())["format"] == "edgewise-webnn/1"


@pytest.mark.parametrize(
    ("attr", "json_form"),
    [(2**53, 2**53), (2**53 + 1, {"bigint": "9007199254740993"}),
     (-(2**63), {"bigint": "-9223372036854775808"}),
     (float("-inf"), {"number": "-Infinity"}), (float("nan"), {"number": "NaN"}), (0.1, 0.1),
     (True, True), (F16, "float16"), ((1, 2.5), [1, 2.5])],
)  # fmt: skip
def test_literals(attr: Any, json_form: object) -> None:
    assert literal(attr) == json_form


def test_block_formats_are_refused_all_at_once() -> None:
    b = GraphBuilder("blocks")
    x = b.input("x", F32, (2,))
    for name in ("one", "two"):
        w = b.constant(F32, (2,), source=Source(name, "Q4_1", "scale"))
        x = b.add(x, w)
    b.output("x", x)
    with pytest.raises(UnsupportedError, match=r"'one'.*'two'"):
        emit(b.build(), {}, FACTS)


def test_older_spelling_of_an_option() -> None:
    b = GraphBuilder("pool")
    x = b.input("x", F32, (1, 1, 6, 6))
    b.output("y", b.max_pool2d(x, window_dimensions=[2, 2], strides=[2, 2],
                               output_shape_rounding="ceil"))  # fmt: skip
    graph = b.build()
    ((_, _, options, _),) = emit(graph, {}, FACTS).calls
    assert options["roundingType"] == "ceil"
    known = FACTS.options["maxPool2d"] or frozenset()
    renamed = known - {"roundingType"} | {"outputShapeRounding"}
    newer = replace(FACTS, options={**FACTS.options, "maxPool2d": renamed})
    ((_, _, options, _),) = emit(graph, {}, newer).calls
    assert options["outputShapeRounding"] == "ceil"
    neither = replace(FACTS, options={**FACTS.options, "maxPool2d": frozenset({"label"})})
    assert fit(graph, neither).refused == {
        graph.outputs["y"]: "option windowDimensions is not read by this browser"
    }


def test_every_rewritten_vector_means_the_same() -> None:
    """What becomes of the W3C vectors that this browser does not take, run on the reference."""
    rewritten = 0
    for case in vectors():
        fitted = fit(case.graph, FACTS)
        verify(fitted.graph)
        assert {n.outputs[0] for n in fitted.graph.nodes} >= fitted.refused.keys()
        if fitted.graph.nodes == case.graph.nodes:
            continue
        rewritten += 1
        assert not fitted.refused, f"{case.name} is rewritten and refused: {fitted.refused}"
        assert case.wrong(on_reference(fitted.graph, case)) is None, case.name
    assert rewritten >= 20


def on_reference(graph: Graph, case: Vector) -> dict[str, bytes]:
    arrays = {}
    for name in graph.inputs:
        value = graph.values[name]
        shape = tuple(int(str(dim)) for dim in value.shape)
        count = int(np.prod(shape))
        arrays[name] = decode(case.inputs[name], value.dtype, count).reshape(shape)
    outputs, _ = reference.run(graph, arrays, {}, _no_file, {})
    return {
        name: encode(array, graph.values[graph.outputs[name]].dtype)
        for name, array in outputs.items()
    }


def _no_file(constant: object) -> Any:
    raise AssertionError(f"{constant=}")


@pytest.mark.parametrize(("guard", "build"), guarded())
def test_guards(guard: Guard, build: Any) -> None:
    """Each refuses its example, which then has another form or place; no other browser is meant."""
    graph, arrays = example(build)
    fitted = fit(graph, FACTS)
    assert any(f"{guard.op}: {guard.reason}" in str(note) for note in fitted.notes)
    verify(fitted.graph)
    want, _ = reference.run(graph, arrays, {}, _no_file, {})
    got, _ = reference.run(fitted.graph, arrays, {}, _no_file, {})
    np.testing.assert_allclose(got["y"], want["y"], rtol=1e-6)

    assert guard.browsers(FACTS)
    assert guard.seen == 147
    assert not replace(guard, fixed=147).browsers(FACTS)
    assert not fit(graph, replace(FACTS, browser="Firefox/160")).notes


def test_symbols_and_states_are_refused() -> None:
    b = GraphBuilder("dynamic")
    x = b.input("x", F32, (b.symbol("seq", 4),))
    b.output("y", b.exp(x))
    with pytest.raises(GraphError, match=r"symbols \['seq'\].*static"):
        fit(b.build(), FACTS)
    b = GraphBuilder("stateful")
    s = b.state("s", F32, (4,))
    b.update(s, b.exp(s))
    with pytest.raises(UnsupportedError, match="states s"):
        divide(b.build(), FACTS, rest="webgpu")


def test_everything_refused_is_named_at_once() -> None:
    b = GraphBuilder("far")
    x = b.input("x", DType.UINT64, (2, 2))
    with b.scope("one"):
        y = b.add(x, x)
    with b.scope("two"):
        z = b.mul(y, x)
    b.output("z", z)
    with pytest.raises(UnsupportedError) as caught:
        divide(b.build(), FACTS, rest=None)
    assert "add (a is uint64" in str(caught.value)
    assert "mul (a is uint64" in str(caught.value)
    assert "one, two" in str(caught.value)


def test_no_elements_run_elsewhere() -> None:
    b = GraphBuilder("empty")
    b.output("y", b.exp(b.input("x", F32, (0, 4))))
    placed = divide(b.build(), FACTS, rest="reference")
    assert [part.target for part in placed.parts] == ["reference"]


def test_a_constant_that_is_an_output_and_no_type_of_the_browser() -> None:
    b = GraphBuilder("folded")
    b.output("y", b.constant(DType.UINT4, (3,), data=b"\x21\x03"))
    b.output("z", b.constant(F32, (1,), data=bytes(4)))
    placed = divide(b.build(), FACTS, rest="reference")
    assert [part.target for part in placed.parts] == ["webnn", "reference"]
    assert [list(part.graph.outputs) for part in placed.parts] == [
        [placed.outputs["z"]], [placed.outputs["y"]],
    ]  # fmt: skip
    with pytest.raises(UnsupportedError, match=r"constant 'constant_1' .is uint4"):
        divide(b.build(), FACTS, rest=None)


def test_a_composite_runs_as_its_decomposition() -> None:
    b = GraphBuilder("norm")
    x = b.input("x", F32, (2, 64))
    w = b.input("w", F32, (64,))
    b.output("y", b.rms_norm(x, w, eps=1e-5))
    placed = divide(b.build(), FACTS, rest=None)
    assert [part.target for part in placed.parts] == ["webnn"]
    assert all(OPS[node.op].spec for node in placed.parts[0].graph.nodes)
