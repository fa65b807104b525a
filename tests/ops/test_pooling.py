"""Pools against a walk over every window, and against onnxruntime; their rules and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.dtypes import DType
from edgewise.errors import DTypeError, EdgewiseError, GraphError, ShapeError
from edgewise.graph.builder import GraphBuilder
from edgewise.ops.window import permutation
from tests.ops import onnx_oracle
from tests.ops.decomposition import Array, check, run

F32 = DType.FLOAT32
FOLDS: dict[str, Any] = {
    "averagePool2d": np.mean,
    "l2Pool2d": lambda seen: np.sqrt(np.square(seen.astype(float)).sum()),
    "maxPool2d": np.max,
}


class Case:
    """Images and options whose every window sees an element."""

    def __init__(self, data: st.DataObject, dtype: str = "float32") -> None:
        draw = data.draw
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.window, self.strides, self.dilations = (
            tuple(draw(st.integers(1, 3)) for _ in range(2)) for _ in range(3)
        )
        # pads of less than a window's first step, so that no window is all padding
        self.padding = tuple(
            draw(st.integers(0, (self.window[i] - 1) * self.dilations[i])) for i in (0, 0, 1, 1)
        )
        sizes = [
            max((self.window[i] - 1) * self.dilations[i] + draw(st.integers(1, 5)), 1)
            for i in (0, 1)
        ]  # fmt: skip
        shape = (draw(st.integers(0, 2)), draw(st.integers(1, 3)), *sizes)
        self.x = (rng.integers(-99, 100, shape) / (8 if "f" in dtype else 1)).astype(dtype)
        self.layout = draw(st.sampled_from(["nchw", "nhwc"]))
        self.up = draw(st.booleans())
        ends = [
            (sizes[i] + sum(self.padding[2 * i : 2 * i + 2])
             - (self.window[i] - 1) * self.dilations[i] - 1) / self.strides[i] + 1 for i in (0, 1)
        ]  # fmt: skip
        self.out = tuple(int(np.ceil(end) if self.up else np.floor(end)) for end in ends)
        self.sized = draw(st.booleans())

    def options(self) -> dict[str, Any]:
        given = {"outputSizes": self.out} if self.sized else {}
        up = self.up != self.sized  # sizes win over a rounding that says otherwise
        return {
            "windowDimensions": self.window, "padding": self.padding, "strides": self.strides,
            "dilations": self.dilations, "layout": self.layout,
            "outputShapeRounding": "ceil" if up else "floor", **given,
        }  # fmt: skip

    def arrays(self) -> dict[str, Array]:
        return {"input": np.ascontiguousarray(self.x.transpose(permutation("nchw", self.layout)))}

    def windows(self, fold: Any) -> Array:
        """`fold` of what each window sees of the image, one after the other."""
        out = np.full((*self.x.shape[:2], *self.out), np.nan)
        for at in np.ndindex(*out.shape):
            rows, columns = (
                [index for tap in range(self.window[i])
                 if 0 <= (index := at[2 + i] * self.strides[i] + tap * self.dilations[i]
                          - self.padding[2 * i]) < self.x.shape[2 + i]] for i in (0, 1)
            )  # fmt: skip
            seen = self.x[at[0], at[1]][np.ix_(rows, columns)]
            if seen.size:
                out[at] = fold(seen)
        return out


def _nchw(case: Case, got: Array) -> Array:
    return got.transpose(permutation(case.layout, "nchw"))


@pytest.mark.parametrize("op", FOLDS)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_every_window_is_folded(op: str, data: st.DataObject) -> None:
    case = Case(data)
    [got] = run(op, case.arrays(), **case.options())
    want = case.windows(FOLDS[op])
    seen = ~np.isnan(want)  # rounding up may make a window of padding alone: no element, no value
    np.testing.assert_allclose(_nchw(case, got)[seen], want[seen], rtol=1e-6)


@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int32", "uint32", "int64", "uint64", "float16"]
)
@settings(deadline=None, max_examples=10)
@given(data=st.data())
def test_maxima_of_every_type_are_exact(dtype: str, data: st.DataObject) -> None:
    case = Case(data, "float16" if dtype == "float16" else "int8")
    case.x, case.up, case.sized = case.x.astype(dtype), False, False
    options = case.options()
    [got] = run("maxPool2d", case.arrays(), **options)
    [want] = run("maxPool2d", {"input": case.arrays()["input"].astype("float32")}, **options)
    if dtype not in ("uint32", "uint64"):  # whose large values float32 rounds
        np.testing.assert_array_equal(got, want.astype(dtype))
    assert np.isin(got, case.x).all()


@pytest.mark.parametrize(
    ("op", "theirs"),
    [("averagePool2d", "AveragePool"), ("maxPool2d", "MaxPool"), ("l2Pool2d", "LpPool")],
)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_pools_are_onnxruntime_s(op: str, theirs: str, data: st.DataObject) -> None:
    case = Case(data)
    case.up = case.sized = False
    limits = [case.window[i] - 1 for i in (0, 0, 1, 1)]  # onnxruntime takes no more
    case.padding = tuple(map(min, case.padding, limits))
    [got] = run(op, case.arrays(), **case.options())
    if not case.x.size:
        return
    top, bottom, left, right = case.padding
    extra: dict[str, Any] = {"p": 2} if op == "l2Pool2d" else {}
    [want] = onnx_oracle.run(
        theirs, [case.x], kernel_shape=case.window, strides=case.strides,
        dilations=case.dilations, pads=[top, left, bottom, right], **extra,
    )  # fmt: skip
    np.testing.assert_allclose(_nchw(case, got), want, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_the_norm_is_a_convolution_of_squares(dtype: str, data: st.DataObject) -> None:
    case = Case(data, dtype)
    check("l2Pool2d", case.arrays(), **case.options())
    check("l2Pool2d", case.arrays(), layout=case.layout)


def test_sizes_of_symbolic_images() -> None:
    b = GraphBuilder("symbols")
    batch, h = b.symbol("batch", 4), b.symbol("h", 20)
    x = b.input("x", F32, (batch, 3, 4 * h + 1, 30))
    pooled = b.max_pool2d(x, window_dimensions=(3, 3), strides=(2, 2))
    assert pooled.shape == (batch, 3, 2 * h, 14)
    assert b.average_pool2d(x).shape == (batch, 3, 1, 1)
    up = b.l2_pool2d(x, window_dimensions=(2, 2), strides=(2, 2), output_shape_rounding="ceil")
    assert up.shape == (batch, 3, 2 * h + 1, 15)
    with pytest.raises(ShapeError, match="known in advance"):
        b.max_pool2d(x, strides=(3, 3), window_dimensions=(3, 3))


IMAGE = (2, 4, 5, 6)


@pytest.mark.parametrize(
    ("error", "says", "shape", "options"),
    [
        (ShapeError, "input 'input': got float32[5, 6]; need rank 4", IMAGE[2:], {}),
        (ShapeError, "windowDimensions: got ['2']; need 2", IMAGE, {"window_dimensions": (2,)}),
        (ShapeError, "windowDimensions: got ['0', '2']", IMAGE, {"window_dimensions": (0, 2)}),
        (ShapeError, "padding: got ['1', '1']; need 4", IMAGE, {"padding": (1, 1)}),
        (ShapeError, "strides: got ['1']; need 2", IMAGE, {"strides": (1,)}),
        (ShapeError, "strides: got ['0', '1']", IMAGE, {"strides": (0, 1)}),
        (ShapeError, "dilations: got ['1']; need 2", IMAGE, {"dilations": (1,)}),
        (ShapeError, "dilations: got ['1', '0']", IMAGE, {"dilations": (1, 0)}),
        (ShapeError, "outputSizes: got ['1']; need 2", IMAGE, {"output_sizes": (1,)}),
        (ShapeError, "outputSizes: got ['2', '3']; need ['2', '2'] or ['3', '3']", IMAGE,
         {"output_sizes": (2, 3), "strides": (2, 2), "window_dimensions": (2, 3)}),
        (ShapeError, "height of the output: got -1", IMAGE, {"window_dimensions": (7, 1)}),
        (GraphError, "attribute 'layout': got 'chwn'; need one of ['nchw', 'nhwc']", IMAGE,
         {"layout": "chwn"}),
        (GraphError, "attribute 'outputShapeRounding': got 'up'; need one of ['floor', 'ceil']",
         IMAGE, {"output_shape_rounding": "up"}),
    ],
)  # fmt: skip
def test_what_is_refused(
    error: type[EdgewiseError], says: str, shape: tuple[int, ...], options: dict[str, Any]
) -> None:
    b = GraphBuilder("bad")
    x = b.input("x", F32, shape)
    for pool in (b.average_pool2d, b.l2_pool2d, b.max_pool2d):
        with pytest.raises(error) as caught:
            pool(x, **options)
        assert says in str(caught.value)
    for pool in (b.average_pool2d, b.l2_pool2d):
        with pytest.raises(DTypeError):
            pool(b.input(f"i{pool.__name__}", DType.INT32, IMAGE))
