"""The browser's own WebNN from Python in the page: models with symbols, in parts; vectors."""

from __future__ import annotations

import numpy as np
import pytest

from e2e.browsers import Engine, engines
from e2e.python_page import PythonError, PythonPage
from edgewise.graph.text import print_graph
from tests.ops import webnn_vectors
from tests.ops.webnn_vectors import Array
from tests.targets.vectors import Vector, vectors

NATIVE = engines("chromium_webnn")
LARGEST = 1 << 22  # elements: what is larger tries memory, in e2e/test_webnn.py

SYMBOLS = """
    from edgewise.dtypes import DType
    from edgewise.graph.builder import GraphBuilder
    from edgewise.host.base import WeightBytes
    from edgewise.runtime.model import Model

    b = GraphBuilder("dense")
    x = b.input("x", DType.FLOAT32, (b.symbol("rows", 16), 8))
    weight = b.constant(DType.FLOAT32, (8, 300), data=w.tobytes())
    b.output("y", b.softmax(b.matmul(x, weight), axis=1))
    model = await Model.load(host, b.build(), {}, WeightBytes(b""), target="webnn")
    found = [(await model.run({"x": each}))["y"] for each in xs]
    report = model.report
    await model.close()
    return {"y": found, "name": report.facts.name, "notes": [str(n) for n in report.notes],
            "planned": report.plan.nbytes}
"""


@NATIVE
def test_a_model_at_several_sizes(python: PythonPage, engine: Engine) -> None:
    rng = np.random.default_rng(1)
    w = rng.standard_normal((8, 300), np.float32)
    xs = [rng.standard_normal((rows, 8), np.float32) for rows in (3, 16, 1, 3, 5, 7, 9)]
    got = python.run(SYMBOLS, w=w, xs=xs)
    for x, y in zip(xs, got["y"], strict=True):
        exps = np.exp(x @ w - (x @ w).max(1, keepdims=True))
        np.testing.assert_allclose(y, exps / exps.sum(1, keepdims=True), rtol=1e-5, atol=1e-8)
    assert got["name"] == "WebNN gpu of Chromium 147"
    assert any("did put 2 nodes on webnn" in note for note in got["notes"])
    assert got["planned"] == 4 * (16 * 8 + 8 * 300 + 16 * 300)


PARTS = """
    from edgewise.dtypes import DType
    from edgewise.graph.builder import GraphBuilder
    from edgewise.host.base import WeightBytes
    from edgewise.runtime.model import Model

    b = GraphBuilder("sandwich")
    x, rows = b.input("x", DType.FLOAT32, (64, 64)), b.input("rows", DType.INT32, (64, 64))
    product = b.matmul(x, x)
    with b.scope("uneven"):
        far = b.cast(b.cast(rows, DType.UINT64), DType.FLOAT32)
    b.output("y", b.matmul(b.add(product, far), x))
    model = await Model.load(
        host, b.build(), {}, WeightBytes(b""), target="webnn", splitting=splitting
    )
    y = (await model.run({"x": a, "rows": rows_given}))["y"]
    notes = [str(note) for note in model.report.notes]
    await model.close()
    return {"y": y, "notes": notes}
"""


@NATIVE
def test_what_webnn_does_not_take_runs_elsewhere(python: PythonPage, engine: Engine) -> None:
    rng = np.random.default_rng(2)
    x = rng.integers(-2, 3, (64, 64)).astype(np.float32)
    rows = rng.integers(0, 64, (64, 64)).astype(np.int32)
    got = python.run(PARTS, a=x, rows_given=rows, splitting=True)
    np.testing.assert_array_equal(got["y"], (x @ x + rows) @ x)
    assert any("did put cast on reference because webnn refuses it" in n for n in got["notes"])
    assert any("in 3 parts" in note for note in got["notes"])
    with pytest.raises(
        PythonError, match=r"UnsupportedError.*cast \(output is uint64(.|\n)*uneven"
    ):
        python.run(PARTS, a=x, rows_given=rows, splitting=False)


@engines("chromium", "firefox")
def test_without_webnn_the_error_says_what_to_do(python: PythonPage, engine: Engine) -> None:
    assert not engine.webnn
    with pytest.raises(PythonError, match=r"NoDeviceError: WebNN: got(.|\n)*fix: .*another target"):
        python.run("await host.open_device('webnn')")


VECTORS = """
    from edgewise.graph.text import parse_graph
    from edgewise.host.base import WeightBytes
    from edgewise.runtime.model import Model

    device = await host.open_device("webnn")
    found = []
    for text, inputs in cases:
        graph = parse_graph(text)
        try:
            model = await Model.load(host, graph, {}, WeightBytes(b""), device=device)
            found.append(await model.run(inputs))
            await model.close()
        except Exception as error:
            found.append(str(error))
    await device.close()
    return found
"""


@NATIVE
def test_vectors(python: PythonPage, engine: Engine) -> None:
    """Every W3C case, compiled and run by Python in the page."""
    cases: dict[str, list[Vector]] = {}
    for case in vectors():
        if all(np.prod(each["shape"]) < LARGEST for each in case.json["inputs"].values()):
            cases.setdefault(case.name.split("-")[0], []).append(case)
    assert sum(map(len, cases.values())) >= 1072
    wrong = {}
    for several in cases.values():
        given = [(print_graph(case.graph), case.inputs) for case in several]
        for case, got in zip(several, python.run(VECTORS, cases=given), strict=True):
            verdict = got if isinstance(got, str) else judged(case, got)
            if verdict is not None:
                wrong[case.name] = verdict
    assert wrong == {}


def judged(case: Vector, got: dict[str, Array]) -> str | None:
    """What is wrong with a case's arrays, or None."""
    for name, expected in case.json["expected"].items():
        want = webnn_vectors.array(expected)
        if (got[name].dtype, got[name].shape) != (want.dtype, want.shape):
            return f"{name}: {got[name].dtype}{got[name].shape}"
        off = webnn_vectors.worst(got[name], want, case.json["tolerance"]["metric"])
        if off > (case.json["tolerance"]["value"] or 0):
            return f"{name}: off by {off:g}"
    return None
