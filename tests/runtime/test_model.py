"""Any graph on the reference and on wgpu: the same arrays, and memory as planned."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewise.dtypes import DType
from edgewise.errors import DTypeError, HostError, InputError, NoDeviceError, ShapeError
from edgewise.graph.builder import GraphBuilder
from edgewise.graph.graph import Graph, Source
from edgewise.host.base import Target, WeightBytes, WeightFile
from edgewise.host.cpython import CPythonHost
from edgewise.runtime.model import Model
from edgewise.store.base import Segment
from edgewise.targets.reference_plan import Place

F32 = DType.FLOAT32
GPU = pytest.param("webgpu", marks=pytest.mark.gpu)
NO_WEIGHTS = WeightBytes(b"")


@pytest.fixture
def host(tmp_path: Path) -> CPythonHost:
    return CPythonHost(tmp_path)


def affine(rows: int | None = None) -> Graph:
    """y = x * 2 + c over `rows` rows, or over up to 8."""
    b = GraphBuilder("affine")
    seq = b.symbol("seq", 8) if rows is None else rows
    x = b.input("x", F32, (seq, 12))
    c = b.input("c", F32, (12,))
    b.output("y", b.add(b.mul(x, b.scalar(F32, 2.0)), c))
    return b.build()


def load(host: CPythonHost, graph: Graph, target: Target, **weights: Any) -> Model:
    given = {"tensors": {}, "weights": NO_WEIGHTS, **weights}
    return asyncio.run(Model.load(host, graph, target=target, **given))


@pytest.mark.parametrize("target", ["reference", GPU])
def test_runs_at_every_size(host: CPythonHost, target: Target) -> None:
    model = load(host, affine(), target)
    c = np.linspace(1, 3, 12, dtype=np.float32)
    for rows in (8, 1, 5):
        x = np.arange(rows * 12, dtype=np.float32).reshape(rows, 12)
        y = model.run_sync({"x": x, "c": c})["y"]
        assert y.dtype == np.float32
        np.testing.assert_array_equal(y, x * 2 + c)
    raw = model.run_sync({"x": x.tobytes(), "c": memoryview(c.tobytes())}, {"seq": 5})["y"]
    np.testing.assert_array_equal(raw, y)
    assert model.report.facts.target == target
    assert str(model.report.nbytes) in str(model.report)


def test_wasm_turns_a_matrix(host: CPythonHost) -> None:
    b = GraphBuilder("turned")
    b.output("y", b.transpose(b.input("x", F32, (b.symbol("rows", 8), 12))))
    model = load(host, b.build(), "wasm")
    for rows in (8, 3):
        x = np.arange(rows * 12, dtype=np.float32).reshape(rows, 12)
        np.testing.assert_array_equal(model.run_sync({"x": x})["y"], x.T)
    report = model.report
    assert report.facts.target == "wasm"
    assert 0 < report.nbytes <= report.peak_nbytes
    asyncio.run(model.close())


@pytest.mark.parametrize("target", ["reference", GPU])
def test_allocates_what_was_planned(host: CPythonHost, target: Target) -> None:
    report = load(host, affine(), target).report
    assert report.nbytes == report.plan.nbytes > 0
    assert report.peak_nbytes == report.plan.peak_nbytes >= report.nbytes


@pytest.mark.parametrize(
    ("inputs", "error", "says"),
    [
        ({"x": (2, 12)}, InputError, "no c"),
        ({"x": (2, 12), "c": (12,), "d": (1,)}, InputError, "unknown d"),
        ({"x": (2, 4), "c": (12,)}, ShapeError, r"'x': got an array of shape \[2, 4\]"),
        ({"x": (2,), "c": (12,)}, ShapeError, "'x'"),
        ({"x": (9, 12), "c": (12,)}, ShapeError, "symbol 'seq': got 9; need 0 to 8"),
    ],
)
def test_wrong_inputs_are_named(
    host: CPythonHost, inputs: dict[str, tuple[int, ...]], error: type[Exception], says: str
) -> None:
    model = load(host, affine(), "reference")
    with pytest.raises(error, match=says):
        model.run_sync({name: np.zeros(shape, np.float32) for name, shape in inputs.items()})


def test_wrong_types_and_bytes_are_named(host: CPythonHost) -> None:
    model = load(host, affine(), "reference")
    wrong: Any = [[0.0] * 12] * 2
    x, c = np.zeros((2, 12), np.float32), np.zeros(12, np.float32)
    with pytest.raises(DTypeError, match="'x': got an array of float64; need float32"):
        model.run_sync({"x": x.astype(np.float64), "c": c})
    with pytest.raises(ShapeError, match="'x': got 90 bytes; need 96"):
        model.run_sync({"x": bytes(90), "c": c}, {"seq": 2})
    with pytest.raises(InputError, match="seq"):
        model.run_sync({"x": bytes(96), "c": c})
    with pytest.raises(InputError, match="'x': got list"):
        model.run_sync({"x": wrong, "c": c}, {"seq": 2})


def test_four_bits_are_packed_at_the_border(host: CPythonHost) -> None:
    b = GraphBuilder("nibbles")
    x = b.input("x", DType.INT4, (3,))
    b.output("same", b.identity(x))
    b.output("wide", b.cast(x, DType.INT32))
    model = load(host, b.build(), "reference")
    given = np.array([-8, 7, -1], np.int8)
    for form in (given, bytes([0x78, 0x0F])):
        got = model.run_sync({"x": form})
        assert got["same"].dtype == np.int8
        assert got["same"].tolist() == got["wide"].tolist() == [-8, 7, -1]
    with pytest.raises(InputError, match="-8 to 8; need -8 to 7"):
        model.run_sync({"x": np.array([-8, 8, 0], np.int8)})


def with_large_constants() -> tuple[Graph, np.ndarray[Any, Any]]:
    """x + w + w' + v: w twice inline with the same bytes, v from the weights."""
    b = GraphBuilder("large")
    w = np.arange(2048, dtype=np.float32)
    x = b.input("x", F32, (2048,))
    first = b.constant(F32, (2048,), data=w.tobytes(), name="first")
    second = b.constant(F32, (2048,), data=w.tobytes(), name="second")
    v = b.constant(F32, (2048,), source=Source("v", "F32", "values"))
    b.output("y", b.add(b.add(b.add(x, first), second), v))
    return b.build(), w


@pytest.mark.parametrize("stored", [False, True])
def test_large_constants_travel_as_weights(host: CPythonHost, stored: bool) -> None:
    graph, w = with_large_constants()
    file = b"head" + (10 * w).tobytes()
    tensors = {"v": Place("F32", (2048,), 4, 8192)}
    weights: WeightFile | WeightBytes = WeightBytes(file)
    if stored:
        cuts = [file[:5000], file[5000:]]
        segments = [Segment(sha256(cut).hexdigest(), len(cut)) for cut in cuts]
        for cut, segment in zip(cuts, segments, strict=True):
            host.store.put(str(segment.hash), cut)
        weights = WeightFile(tuple(segments))
    model = load(host, graph, "reference", tensors=tensors, weights=weights)
    y = model.run_sync({"x": np.ones(2048, np.float32)})["y"]
    np.testing.assert_array_equal(y, 1 + 12 * w)
    assert len(model.report.plan.text) < 2000, "no constant is in the plan's JSON"
    # inputs, the file's tensor, and one copy of what was inline twice
    assert model.report.nbytes == 3 * 8192


def test_the_plain_call_says_what_to_await(host: CPythonHost) -> None:
    async def inside() -> None:
        model = await Model.load(host, affine(1), {}, NO_WEIGHTS, target="reference")
        with pytest.raises(HostError, match="await run"):
            model.run_sync({})

    asyncio.run(inside())


def test_no_webnn_in_cpython(host: CPythonHost) -> None:
    with pytest.raises(NoDeviceError, match="CPython"):
        load(host, affine(), "webnn")
