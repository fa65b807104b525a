"""Convolutions against onnxruntime over all options, their shape rules and their errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgewise.dims import Dim
from edgewise.dtypes import DType
from edgewise.errors import DTypeError, EdgewiseError, GraphError, ShapeError
from edgewise.graph.builder import GraphBuilder
from edgewise.graph.graph import Value
from edgewise.ops import convolution
from edgewise.ops.convolution import CONV_FILTERS, TRANSPOSED_FILTERS
from edgewise.ops.window import permutation
from tests.ops import onnx_oracle
from tests.ops.decomposition import Array, graph_of, outputs, run

F32, F16 = DType.FLOAT32, DType.FLOAT16
small = st.integers(1, 3)


class Case:
    """Arrays in canonical order and the options they were drawn with."""

    def __init__(self, data: st.DataObject, transposed: bool) -> None:
        draw = data.draw
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.groups = draw(small)
        into, out = draw(small), draw(small)
        self.strides, self.dilations = ([draw(small), draw(small)] for _ in range(2))
        self.padding = [draw(st.integers(0, 2)) for _ in range(4)]
        window, sizes = ([draw(st.integers(1, top)) for _ in range(2)] for top in (3, 7))
        if not transposed:  # as large as a window, at least
            for i, pads in enumerate((self.padding[:2], self.padding[2:])):
                sizes[i] = max(1, (window[i] - 1) * self.dilations[i] - sum(pads) + sizes[i])
        filters = (self.groups * into, out) if transposed else (self.groups * out, into)
        self.x = self.array(draw(st.integers(0, 2)), self.groups * into, *sizes)
        self.filter = self.array(*filters, *window)
        self.bias = self.array(self.groups * out) if draw(st.booleans()) else None
        self.image = draw(st.sampled_from(["nchw", "nhwc"]))
        self.order = draw(st.sampled_from(TRANSPOSED_FILTERS if transposed else CONV_FILTERS))
        self.canonical = "iohw" if transposed else "oihw"

    def array(self, *shape: int) -> Array:
        # multiples of 1/8, whose products and sums are exact in float32 and float16's range
        return (self.rng.integers(-8, 9, shape) / 8).astype(np.float32)

    def arrays(self, dtype: str = "float32") -> dict[str, Array]:
        given = {
            "input": self.x.transpose(permutation("nchw", self.image)),
            "filter": self.filter.transpose(permutation(self.canonical, self.order)),
        }
        if self.bias is not None:
            given["bias"] = self.bias
        return {name: np.ascontiguousarray(each).astype(dtype) for name, each in given.items()}

    def options(self) -> dict[str, Any]:
        return {
            "padding": tuple(self.padding), "strides": tuple(self.strides),
            "dilations": tuple(self.dilations), "groups": self.groups,
            "inputLayout": self.image, "filterLayout": self.order,
        }  # fmt: skip

    def onnx(self) -> dict[str, Any]:
        top, bottom, left, right = self.padding
        return {"pads": [top, left, bottom, right], "strides": self.strides,
                "dilations": self.dilations, "group": self.groups}  # fmt: skip

    def agree(self, got: Array, want: Array) -> None:
        np.testing.assert_array_equal(got.transpose(permutation(self.image, "nchw")), want)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_conv2d_is_onnxruntime_s(data: st.DataObject) -> None:
    case = Case(data, transposed=False)
    [got] = run("conv2d", case.arrays(), **case.options())
    [half] = run("conv2d", case.arrays("float16"), **case.options())
    np.testing.assert_array_equal(half, got.astype(np.float16))
    if case.x.size:
        [want] = onnx_oracle.run("Conv", [case.x, case.filter, case.bias], **case.onnx())
        case.agree(got, want)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_conv_transpose2d_is_onnxruntime_s(data: st.DataObject) -> None:
    case = Case(data, transposed=True)
    least = [
        (case.x.shape[2 + i] - 1) * case.strides[i] + (case.filter.shape[2 + i] - 1)
        * case.dilations[i] + 1 - sum(case.padding[2 * i : 2 * i + 2]) for i in (0, 1)
    ]  # fmt: skip
    more = [data.draw(st.integers(0, stride - 1)) for stride in case.strides]
    assume(min(least) >= 1)
    options = case.options()
    if data.draw(st.booleans()):
        options["outputPadding"] = tuple(more)
    else:
        options["outputSizes"] = tuple(np.add(least, more).tolist())
    [got] = run("convTranspose2d", case.arrays(), **options)
    if case.x.size:
        [want] = onnx_oracle.run(
            "ConvTranspose", [case.x, case.filter, case.bias], output_padding=more, **case.onnx()
        )
        # onnxruntime's own sums are in another order, which these numbers do not show
        case.agree(got, want)


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_a_transposed_convolution_is_the_adjoint(data: st.DataObject) -> None:
    """<conv(x), y> = <x, convTranspose(y)>, whatever the options."""
    case = Case(data, transposed=False)
    case.bias, case.image, case.order = None, "nchw", "oihw"
    options = case.options()
    [forward] = run("conv2d", case.arrays(), **options)
    y = case.array(*forward.shape)
    options |= {"filterLayout": "iohw", "outputSizes": case.x.shape[2:]}
    [back] = run("convTranspose2d", {"input": y, "filter": case.filter}, **options)
    np.testing.assert_array_equal((forward * y).sum(dtype=float), (case.x * back).sum(dtype=float))


def test_rows_in_blocks_are_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    arrays = {"input": rng.standard_normal((2, 4, 11, 5)).astype(np.float32),
              "filter": rng.standard_normal((6, 2, 3, 2)).astype(np.float32)}  # fmt: skip
    graph = graph_of("conv2d", arrays, groups=2, strides=(2, 1), padding=(1, 1, 0, 0))
    [whole] = outputs(graph, arrays, precise=True)
    monkeypatch.setattr(convolution, "BLOCK_ELEMENTS", 2 * 2 * 12 * 4 * 2)
    np.testing.assert_allclose(outputs(graph, arrays, precise=True)[0], whole, rtol=1e-12)


def _symbolic() -> tuple[GraphBuilder, Dim, Dim]:
    b = GraphBuilder("symbols")
    return b, b.symbol("batch", 16), b.symbol("h", 30)


def test_symbolic_sizes_stay_affine() -> None:
    b, batch, h = _symbolic()
    weight = b.input("w", F32, (8, 3, 3, 3))
    x = b.input("x", F32, (batch, 3, 32 * h, 40))
    half = b.conv2d(x, weight, padding=(1, 1, 1, 1), strides=(2, 2))
    assert half.shape == (batch, 8, 16 * h, 20)
    assert b.conv2d(x, weight).shape == (batch, 8, 32 * h - 2, 38)
    shifted = b.conv2d(b.input("y", F32, (1, 32 * h + 7, 9, 3)), weight, strides=(4, 1),
                       input_layout="nhwc")  # fmt: skip
    assert shifted.shape == (1, 8 * h + 2, 7, 8)
    up = b.input("u", F32, (8, 4, 2, 2))
    assert b.conv_transpose2d(half, up, strides=(2, 2)).shape == (batch, 4, 32 * h, 40)
    given = b.conv_transpose2d(half, up, strides=(2, 2), output_sizes=(32 * h + 1, 40))
    assert given.shape == (batch, 4, 32 * h + 1, 40)


IMAGE, FILTER, UP = (2, 4, 5, 6), (6, 4, 3, 3), (4, 6, 3, 3)


@pytest.mark.parametrize(
    ("error", "says", "op", "shapes", "options"),
    [
        (ShapeError, "conv2d input 'input': got float32[4, 5, 6]; need rank 4",
         "conv2d", [IMAGE[1:], FILTER], {}),
        (ShapeError, "conv2d input 'filter': got float32[6, 4, 3]; need rank 4",
         "conv2d", [IMAGE, FILTER[:3]], {}),
        (ShapeError, "padding: got ['0', '0']; need 4 integers of at least 0",
         "conv2d", [IMAGE, FILTER], {"padding": (0, 0)}),
        (ShapeError, "padding: got ['0', '0', '-1', '0']; need 4",
         "conv2d", [IMAGE, FILTER], {"padding": (0, 0, -1, 0)}),
        (ShapeError, "strides: got ['1']; need 2 integers of at least 1",
         "conv2d", [IMAGE, FILTER], {"strides": (1,)}),
        (ShapeError, "strides: got ['1', '0']", "conv2d", [IMAGE, FILTER], {"strides": (1, 0)}),
        (ShapeError, "dilations: got ['0', '1']", "conv2d", [IMAGE, FILTER],
         {"dilations": (0, 1)}),
        (ShapeError, "groups: got 0; need at least 1", "conv2d", [IMAGE, FILTER], {"groups": 0}),
        (ShapeError, "groups: got 3; need a divisor of 4 input channels",
         "conv2d", [IMAGE, FILTER], {"groups": 3}),
        (ShapeError, "groups: got 4; need a divisor of 6 output channels",
         "conv2d", [IMAGE, (6, 1, 3, 3)], {"groups": 4}),
        (ShapeError, "input 'filter': got float32[6, 4, 3, 3]; need 2 input channels (oihw)",
         "conv2d", [IMAGE, FILTER], {"groups": 2}),
        (ShapeError, "input 'bias': got float32[5]; need shape [6]",
         "conv2d", [IMAGE, FILTER, (5,)], {}),
        (ShapeError, "height of the output: got -5 (5 padded by [0, 0] under 11)",
         "conv2d", [IMAGE, FILTER], {"dilations": (5, 1)}),
        (GraphError, "attribute 'inputLayout': got 'chwn'; need one of ['nchw', 'nhwc']",
         "conv2d", [IMAGE, FILTER], {"input_layout": "chwn"}),
        (GraphError, "attribute 'filterLayout': got 'iohw'; need one of ['oihw'",
         "conv2d", [IMAGE, FILTER], {"filter_layout": "iohw"}),
        (ShapeError, "input 'filter': got float32[6, 4, 3, 3]; need 4 input channels in iohw",
         "conv_transpose2d", [IMAGE, FILTER], {}),
        (GraphError, "attribute 'filterLayout': got 'oihw'; need one of ['iohw'",
         "conv_transpose2d", [IMAGE, UP], {"filter_layout": "oihw"}),
        (ShapeError, "outputPadding: got ['1']; need 2", "conv_transpose2d", [IMAGE, UP],
         {"output_padding": (1,)}),
        (ShapeError, "outputPadding: got height 8; need from 7 to 7",
         "conv_transpose2d", [IMAGE, UP], {"output_padding": (1, 0)}),
        (ShapeError, "outputSizes: got height 6; need from 7 to 7",
         "conv_transpose2d", [IMAGE, UP], {"output_sizes": (6, 8)}),
        (ShapeError, "outputSizes: got width 15; need from 13 to 14",
         "conv_transpose2d", [IMAGE, UP], {"output_sizes": (7, 15), "strides": (1, 2)}),
        (ShapeError, "groups: got 3; need a divisor of 4 input channels",
         "conv_transpose2d", [IMAGE, UP], {"groups": 3}),
        (ShapeError, "input 'bias': got float32[6]; need shape [12]",
         "conv_transpose2d", [IMAGE, UP, (6,)], {"groups": 2}),
        (ShapeError, "height of the output: got -1; need at least 1",
         "conv_transpose2d", [IMAGE, UP], {"padding": (4, 4, 0, 0)}),
    ],
)  # fmt: skip
def test_what_is_refused(
    error: type[EdgewiseError], says: str, op: str, shapes: list[tuple[int, ...]],
    options: dict[str, Any],
) -> None:  # fmt: skip
    b = GraphBuilder("bad")
    values = [b.input(f"x{index}", F32, shape) for index, shape in enumerate(shapes)]
    if len(values) == 3:
        options = options | {"bias": values.pop()}
    with pytest.raises(error) as caught:
        getattr(b, op)(*values, **options)
    assert says in str(caught.value)
    assert type(caught.value) is error


def test_types_and_symbols_that_are_refused() -> None:
    b, batch, h = _symbolic()
    x = b.input("x", F32, (batch, 3, h, 9))
    weight = b.input("w", F32, (8, 3, 3, 3))

    def refuse(error: type[EdgewiseError], says: str, *values: Value, **options: Any) -> None:
        with pytest.raises(error) as caught:
            b.conv2d(*values, **options)
        assert says in str(caught.value)

    refuse(ShapeError, "known in advance", x, weight, strides=(2, 2))
    refuse(ShapeError, "known in advance", b.input("c", F32, (1, h, 5, 5)), weight)
    refuse(DTypeError, "float32 as input", x, b.input("half", F16, (8, 3, 3, 3)))
    refuse(DTypeError, "one of float16, float32", b.input("i", DType.INT32, (1, 3, 5, 5)), weight)
    refuse(DTypeError, "float32 as input", x, weight, bias=b.input("hb", F16, (8,)))
