"""edgewise.webnn in a page: one script, there and in CPython, on every target, gives one answer."""

from __future__ import annotations

import asyncio
import textwrap
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from e2e.browsers import Engine, engines
from e2e.python_page import PythonError, PythonPage

EVERYWHERE = engines("chromium", "chromium_webnn", "firefox")
RNG = np.random.default_rng(5)
X = RNG.standard_normal((1, 3, 8, 8), np.float32)
WEIGHTS = {
    "w": RNG.standard_normal((8, 3, 3, 3), np.float32),
    "dense": RNG.standard_normal((128, 10), np.float32),
}
#: The body of an async function of (target, x, w, dense).
SCRIPT = """
    from edgewise.webnn import ML

    context = await ML().create_context_async(target=target)
    b = context.create_graph_builder()
    image = b.input("x", [1, 3, 8, 8], "float32")
    h = b.relu(b.conv2d(image, b.constant(w), padding=[1, 1, 1, 1], strides=[2, 2]))
    scores = b.gemm(b.reshape(h, [1, 128]), b.constant(dense), alpha=0.25)
    graph = await b.build_async({"p": b.softmax(scores, 1), "best": b.arg_max(scores, 1)})
    made = await context.compute_async(graph, {"x": x})

    given, p, best = (context.create_tensor(*shaped) for shaped in (
        ([1, 3, 8, 8], "float32"), ([1, 10], "float32"), ([1], "int32")))
    context.write_tensor(given, x)
    context.dispatch(graph, {"x": given}, {"p": p, "best": best})
    same = await context.read_tensor_async(p)
    report = graph.report
    text = graph.to_text()
    context.destroy()
    return {**made, "dispatched": same, "text": text, "report": str(report),
            "held": [report.nbytes, report.peak_nbytes],
            "planned": [report.plan.nbytes, report.plan.peak_nbytes]}
"""


def in_cpython() -> dict[str, Any]:
    names: dict[str, Any] = {"target": "reference", "x": X, **WEIGHTS}
    exec("async def script():\n" + textwrap.indent(textwrap.dedent(SCRIPT), "    "), names)
    made: dict[str, Any] = asyncio.run(names["script"]())
    return made


@pytest.fixture(scope="module")
def wanted() -> dict[str, Any]:
    with ThreadPoolExecutor(1) as aside:  # Playwright's event loop runs in this thread
        return aside.submit(in_cpython).result()


def check(made: dict[str, Any], wanted: dict[str, Any]) -> None:
    # sums of up to 128 products in another order
    np.testing.assert_allclose(made["p"], wanted["p"], rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(made["best"], wanted["best"])
    np.testing.assert_array_equal(made["dispatched"], made["p"])
    assert (made["p"].dtype, made["best"].dtype) == (np.float32, np.int32)
    assert made["text"] == wanted["text"]


@EVERYWHERE
@pytest.mark.parametrize("target", ["reference", "webgpu", "wasm"])
def test_a_script_moves_to_a_page(python: PythonPage, wanted: dict[str, Any], target: str) -> None:
    made = python.run(SCRIPT, target=target, x=X, **WEIGHTS)
    check(made, wanted)
    if target != "wasm":  # which holds the steps as well
        assert made["held"] == made["planned"]
    print(made["report"])


@engines("chromium_webnn")
def test_a_script_moves_to_the_browsers_own_webnn(
    python: PythonPage, wanted: dict[str, Any]
) -> None:
    check(python.run(SCRIPT, target="webnn", x=X, **WEIGHTS), wanted)
    limits = python.run("""
        from edgewise.webnn import ML
        context = await ML().create_context_async(target="webnn")
        return context.op_support_limits()""")
    assert "float32" in limits["conv2d"]["input"]["dataTypes"]


@EVERYWHERE
def test_a_graph_moves_as_text(python: PythonPage, wanted: dict[str, Any]) -> None:
    made = python.run("""
        from edgewise.webnn import ML
        context = await ML().create_context_async(target="webgpu")
        graph = await context.load_graph_async(text)
        made = await context.compute_async(graph, {"x": x})
        return {**made, "dispatched": made["p"], "text": graph.to_text()}""",
        text=wanted["text"], x=X)  # fmt: skip
    check(made, wanted)


@EVERYWHERE
def test_plain_calls_as_in_cpython(python: PythonPage) -> None:
    """pywebnn's quick start, unchanged, where the browser can suspend Python (JSPI)."""
    made = python.run("""
        from edgewise.webnn import ML
        context = ML().create_context(device_type="gpu")
        builder = context.create_graph_builder()
        x = builder.input("x", [2, 3], "float32")
        y = builder.input("y", [2, 3], "float32")
        graph = builder.build({"output": builder.relu(builder.add(x, y))})
        one = np.arange(6, dtype=np.float32).reshape(2, 3)
        return context.compute(graph, {"x": one, "y": -2 * one / one.max()})["output"]""")
    one = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_allclose(made, np.maximum(one - 2 * one / 5, 0), rtol=1e-6, atol=0)


@engines("chromium")
def test_without_webnn_the_error_says_so(python: PythonPage, engine: Engine) -> None:
    assert not engine.webnn
    with pytest.raises(PythonError, match="NoDeviceError"):
        python.run("""
            from edgewise.webnn import ML
            await ML().create_context_async(target="webnn")""")
