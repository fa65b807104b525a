"""The W3C vectors on a browser's own WebNN: Python's plans through shims/webnn.js, in one page."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from e2e.browsers import Engine, engines
from e2e.webnn_page import (
    Browser,
    as_it_is,
    compiled,
    example_of,
    native,
    run_all,
    targets,
)
from edgewise.dtypes import DType
from edgewise.errors import UnsupportedError
from edgewise.graph.builder import GraphBuilder
from edgewise.graph.graph import Graph
from edgewise.host.reference import FACTS
from tests.ops import webnn_vectors
from tests.targets.vectors import vector
from tests.targets.webnn_guards import example, guarded

__all__ = ["native"]
VECTORS = {
    f"{operator}: {case['name']}": (f"{operator}-{index}", case)
    for operator in webnn_vectors.operators()
    for index, case in enumerate(webnn_vectors.cases(operator))
}


@engines("chromium_webnn")
def test_vectors(native: Browser, engine: Engine) -> None:
    """What the browser gets right by itself runs on it alone; all the rest passes too."""
    cases = {name: vector(*given) for name, given in VECTORS.items()}
    assert len(cases) >= 1070
    facts = replace(native.webnn, rest=(FACTS,))
    plain = run_all(native, {name: as_it_is(case, facts) for name, case in cases.items()})
    runs = {name: compiled(case, facts) for name, case in cases.items()}
    assert run_all(native, runs) == {}

    helped = {name for name, run in runs.items() if targets(run) != {"webnn"}}
    assert helped <= plain.keys(), "these need no help"
    print(f"{len(cases)} cases on {facts.name}: {len(plain)} fail as they are; rewritten, "
          f"{len(helped)} still need another target")  # fmt: skip
    # Chromium 147's own count on this half of the suite, and what the rewriting leaves of it
    assert (len(plain), len(helped)) == (45, 15)


@engines("chromium_webnn")
def test_vectors_with_webgpu(native: Browser, engine: Engine) -> None:
    """What the browser's WebNN does not take passes on its WebGPU."""
    cases = {name: vector(*given) for name, given in VECTORS.items()}
    facts = replace(native.webnn, rest=(FACTS,))
    needing = [name for name, case in cases.items() if targets(compiled(case, facts)) != {"webnn"}]
    facts = replace(native.webnn, rest=(native.webgpu,))
    runs, unsupported = {}, set()
    for name in needing:
        try:
            runs[name] = compiled(cases[name], facts)
        except UnsupportedError:
            unsupported.add(name)
    assert run_all(native, runs) == {}
    assert all(targets(run) == {"webgpu"} for run in runs.values())
    assert unsupported == set()


@engines("chromium_webnn")
def test_without_splitting_what_is_refused_is_named(native: Browser, engine: Engine) -> None:
    cases = [vector(*given) for given in VECTORS.values()]
    helped = replace(native.webnn, rest=(FACTS,))
    needing = [case for case in cases if targets(compiled(case, helped)) != {"webnn"}]
    for case in needing:
        with pytest.raises(UnsupportedError, match="splitting") as caught:
            compiled(case, native.webnn)
        assert case.json["ops"][-1]["op"] in str(caught.value)


@engines("chromium_webnn")
def test_guards_are_still_needed(native: Browser, engine: Engine) -> None:
    """Each guard's example goes wrong in this browser as it is; with the guard it does not."""
    facts = replace(native.webnn, rest=(FACTS,))
    plain, made = {}, {}
    for parameters in guarded():
        case = example_of(*example(parameters.values[1]))
        name = str(parameters.id)
        plain[name], made[name] = as_it_is(case, facts), compiled(case, facts)
    assert run_all(native, made) == {}
    right = plain.keys() - run_all(native, plain).keys()
    assert right == set(), "this browser gets these right: give them their `fixed`"


@engines("chromium_webnn")
def test_outputs_that_nothing_computes(native: Browser, engine: Engine) -> None:
    b = GraphBuilder("given")
    half = np.array([-0.0, 0.0, -1.0, 65504.0], np.float16)
    x = b.input("x", DType.FLOAT16, (4,))
    constant = b.constant(DType.FLOAT16, (4,), data=half.tobytes())
    for name, value in {
        "same": x, "constant": constant, "cast": b.cast(constant, DType.FLOAT32),
        "size": b.abs(x), "again": constant,
    }.items():  # fmt: skip
        b.output(name, value)
    case = example_of(b.build(), {"x": half[::-1].copy()})
    assert run_all(native, {"given": compiled(case, native.webnn)}) == {}


@engines("chromium_webnn")
def test_parts_hand_on(native: Browser, engine: Engine) -> None:
    """A graph of which the middle runs on WebGPU, and the ends on WebNN."""
    rng = np.random.default_rng(5)
    arrays = {
        "x": rng.integers(-2, 3, (64, 64)).astype(np.float32),  # sums are exact
        "rows": rng.integers(0, 64, (64, 64)).astype(np.int32),
    }
    b = GraphBuilder("sandwich")
    x, rows = b.input("x", DType.FLOAT32, (64, 64)), b.input("rows", DType.INT32, (64, 64))
    product = b.matmul(x, x)
    uneven = b.cast(b.cast(rows, DType.UINT64), DType.FLOAT32)
    b.output("y", b.matmul(b.add(product, uneven), x))
    b.output("product", product)
    case = example_of(b.build(), arrays)
    run = compiled(case, replace(native.webnn, rest=(native.webgpu,)))
    assert [part.target for part in run.plan.parts] == ["webnn", "webgpu", "webnn"]
    assert run_all(native, {"sandwich": run}) == {}


WINDOWS = ("conv2d", "depthwise", "averagePool2d", "maxPool2d", "l2Pool2d")


def windowed(op: str, sizes: tuple[int, int], window: tuple[int, int], strides: tuple[int, int],
             padding: tuple[int, int, int, int]) -> Graph:  # fmt: skip
    b = GraphBuilder(op)
    x = b.input("x", DType.FLOAT32, (1, 2, *sizes))
    options = {"strides": strides, "padding": padding}
    if op in ("conv2d", "depthwise"):
        shape = (2, 2 if op == "conv2d" else 1, *window)
        numbers = np.arange(1, 1 + np.prod(shape), dtype=np.float32)
        w = b.constant(DType.FLOAT32, shape, data=numbers.tobytes())
        y = b.conv2d(x, w, groups=1 if op == "conv2d" else 2, **options)
    else:
        pool = {"averagePool2d": b.average_pool2d, "maxPool2d": b.max_pool2d}
        y = pool.get(op, b.l2_pool2d)(x, window_dimensions=window, **options)
    b.output("y", y)
    return b.build()


@engines("chromium_webnn")
def test_windows_and_padding(native: Browser, engine: Engine) -> None:
    """Where this browser maps padding to another, and only sometimes to the right one."""
    facts = replace(native.webnn, rest=(FACTS,))
    x = np.random.default_rng(3).integers(-9, 9, (1, 2, 5, 6)).astype(np.float32)
    runs, seen = {}, set()
    pads = [(0, 0), (0, 1), (1, 0), (1, 1)]
    every = product(WINDOWS, product((1, 3), (1, 2)), product((1, 3), (1, 2)), pads, pads)
    for op, window, strides, *pad in every:
        if "Pool" in op and any(max(p) >= w for p, w in zip(pad, window, strict=True)):
            continue  # a window without elements
        case = example_of(windowed(op, (5, 6), window, strides, (*pad[0], *pad[1])), {"x": x})
        name = f"{op} {window=} {strides=} {pad=}"
        runs[name] = compiled(case, facts)
        seen |= targets(runs[name])
    assert len(runs) >= 500
    assert run_all(native, runs) == {}
    assert seen == {"webnn"}
