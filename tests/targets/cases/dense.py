"""Cases of matrix products, convolutions, pools and resampling."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from edgewise.dtypes import DType
from tests.targets.cases.base import F16, F32, Case, Maker

RUN = {"seq": 9, "past": 0}


def _case(name: str, build: Callable[[Maker], Any]) -> Case:
    m = Maker(name)
    m.b.output("y", build(m))
    return m.case(RUN)


def _matmul() -> Iterator[Case]:
    shapes: list[tuple[DType, tuple[Any, ...], tuple[Any, ...]]] = [
        (F32, (37, 70), (70, 45)),
        (F32, (3, 67, 19), (3, 19, 130)),
        (F32, (2, 1, 5, 9), (3, 9, 7)),
        (F32, (5, 1, 33), (33, 70)),  # batches that are rows
        (F32, (1, 300), (300, 71)),
        (F32, (130, 40), (40, 1)),
        (F32, (2, 3, 1, 4, 3, 65), (5, 1, 65, 2)),
        (F32, (7, 0), (0, 5)),
        (F32, (0, 7), (7, 5)),
        (F16, (4, 35, 66), (66, 33)),
        (F16, (2, 1, 64), (2, 64, 129)),
    ]
    for dtype, left, right in shapes:

        def build(m: Maker, dtype: DType = dtype, left: Any = left, right: Any = right) -> Any:
            a, b = m.input("a", dtype, left, RUN), m.input("b", dtype, right, RUN)
            return m.b.matmul(a, b)

        yield _case(f"matmul {dtype} {left}x{right}", build)
    m = Maker("matmul of a symbolic number of rows, with what follows")
    x = m.input("x", F32, (2, m.seq, 33), RUN)
    y = m.b.add(m.b.matmul(x, m.input("w", F32, (33, 67), RUN)), m.vector(67))
    m.b.output("y", m.b.sigmoid(y))
    m.b.output("scores", m.b.matmul(x, m.b.transpose(x, permutation=(0, 2, 1))))
    yield m.case(RUN)
    for turned, rank, biased in ((False, 3, True), (True, 2, False)):
        m = Maker(f"stacked products {turned=} {rank=} {biased=}")
        x = m.input("x", F32, (2, m.seq, 20)[3 - rank :], RUN)
        for index in range(5):  # three, then two
            w = m.b.constant(F32, (20, 20), data=m.floats(20, 20).tobytes(), name=f"w{index}")
            y = m.b.matmul(x, m.b.transpose(w, permutation=(1, 0)) if turned else w)
            m.b.output(f"y{index}", m.b.add(y, m.vector(20)) if biased else y)
        yield m.case(RUN)
    m = Maker("matmul by columns that lie side by side")
    weight = m.b.transpose(m.input("w", F32, (83, 70), RUN))
    m.b.output("tile", m.b.matmul(m.input("x", F32, (37, 70), RUN), weight))
    m.b.output("row", m.b.matmul(m.input("one", F32, (1, 70), RUN), weight))
    yield m.case(RUN)


def _attention() -> Iterator[Case]:
    # dtype, q [.., S, D], k [.., L, D], v [.., L, DV], mask
    rows: list[tuple[DType, tuple[int, ...], tuple[int, ...], tuple[int, ...], Any]] = [
        (F32, (2, 3, 37, 20), (2, 3, 41, 20), (2, 3, 41, 20), (2, 1, 1, 41)),
        (F32, (2, 33, 70), (2, 5, 70), (2, 5, 97), None),
        (F32, (4, 6), (3, 6), (3, 40), (4, 3)),
        (F16, (2, 2, 7, 66), (2, 1, 65, 66), (1, 2, 65, 66), (7, 1)),
    ]
    for dtype, q, k, v, mask in rows:
        m = Maker(f"scaledDotProductAttention {dtype} {q} {k} {v}")
        given = [m.input(name, dtype, shape, RUN) for name, shape in zip("qkv", (q, k, v),
                                                                         strict=True)]  # fmt: skip
        masked = None if mask is None else m.input("mask", dtype, mask, RUN)
        if mask is not None and mask[-1] > 1:
            m.inputs["mask"] = np.where(m.inputs["mask"] > 1, -np.inf, m.inputs["mask"])
            m.inputs["mask"][..., 0] = 0  # a query sees some key
        m.b.output("y", m.b.scaled_dot_product_attention(*given, masked, scale=0.3))
        yield m.case(RUN)
    m = Maker("scaledDotProductAttention of symbolic sizes, heads in the middle")
    heads = m.input("x", F32, (2, m.seq, 3, 16), RUN)
    turned = m.b.transpose(heads, permutation=(0, 2, 1, 3))
    y = m.b.scaled_dot_product_attention(turned, turned, turned, scale=0.25)
    m.b.output("y", m.b.transpose(y, permutation=(0, 2, 1, 3)))
    yield m.case(RUN)


def _conv() -> Iterator[Case]:
    # dtype, input [N, C, H, W], filter [O, C/G, KH, KW], options, bias
    rows: list[tuple[DType, tuple[int, ...], tuple[int, ...], dict[str, Any], bool]] = [
        (F32, (2, 3, 9, 11), (5, 3, 3, 3), {"padding": (1, 1, 1, 1)}, True),
        (F32, (1, 16, 12, 7), (34, 16, 2, 3), {"strides": (2, 1), "dilations": (1, 2)}, False),
        (F32, (1, 20, 6, 5), (18, 10, 3, 3), {"padding": (0, 2, 1, 0), "groups": 2}, True),
        (F32, (2, 6, 10, 10), (6, 1, 3, 3), {"strides": (2, 2), "groups": 6}, True),
        (F32, (2, 33, 8, 9), (66, 33, 1, 1), {}, True),
        (F32, (1, 24, 7, 5), (16, 12, 1, 1), {"groups": 2}, False),
        (F32, (1, 40, 1, 1), (50, 40, 1, 1), {}, True),
        (F16, (1, 12, 9, 8), (20, 12, 3, 3), {"padding": (2, 1, 0, 1)}, True),
        (F16, (1, 4, 9, 8), (8, 1, 5, 2), {"groups": 4, "padding": (2, 2, 0, 1)}, False),
    ]
    for dtype, x, weight, options, biased in rows:

        def build(
            m: Maker, dtype: DType = dtype, x: Any = x, weight: Any = weight,
            options: Any = options, biased: bool = biased,
        ) -> Any:  # fmt: skip
            bias = m.input("bias", dtype, weight[:1], RUN) if biased else None
            images, filters = m.input("x", dtype, x, RUN), m.input("filter", dtype, weight, RUN)
            return m.b.relu(m.b.conv2d(images, filters, bias=bias, **options))

        yield _case(f"conv2d {dtype} {x} {weight} {options}", build)
    for layout, filters in (("nhwc", "ohwi"), ("nhwc", "hwio"), ("nchw", "ihwo")):

        def arranged(m: Maker, layout: str = layout, filters: str = filters) -> Any:
            sizes = {"n": 2, "c": 12, "h": 7, "w": 6}
            window = {"o": 18, "i": 12, "h": 3, "w": 2}
            x = m.input("x", F32, tuple(sizes[letter] for letter in layout), RUN)
            weight = m.input("filter", F32, tuple(window[letter] for letter in filters), RUN)
            return m.b.conv2d(x, weight, padding=(1, 0, 0, 1), input_layout=layout,
                              filter_layout=filters)  # fmt: skip

        yield _case(f"conv2d {layout} {filters}", arranged)
    m = Maker("conv2d of symbolic sizes")
    images = m.input("x", F32, (1, 3, 2 * m.seq, m.seq), RUN)
    filter = m.input("filter", F32, (17, 3, 3, 3), RUN)
    m.b.output("y", m.b.conv2d(images, filter, padding=(1, 1, 1, 1)))
    m.b.output("z", m.b.conv2d(images, m.input("deep", F32, (3, 1, 3, 3), RUN), groups=3))
    yield m.case(RUN)


def _conv_transpose() -> Iterator[Case]:
    rows: list[tuple[DType, tuple[int, ...], tuple[int, ...], dict[str, Any], bool]] = [
        (F32, (2, 3, 4, 5), (3, 5, 3, 3), {}, True),
        (F32, (1, 6, 4, 5), (6, 5, 3, 2),
         {"strides": (2, 3), "padding": (1, 0, 1, 1), "output_padding": (1, 1), "groups": 2},
         False),
        (F32, (1, 2, 4, 5), (2, 6, 3, 3),
         {"strides": (2, 1), "dilations": (2, 3), "padding": (1, 2, 0, 1)}, True),
        (F16, (1, 4, 3, 3), (4, 2, 2, 2), {"strides": (2, 2)}, True),
    ]  # fmt: skip
    for dtype, x, weight, options, biased in rows:

        def build(
            m: Maker, dtype: DType = dtype, x: Any = x, weight: Any = weight,
            options: Any = options, biased: bool = biased,
        ) -> Any:  # fmt: skip
            channels = weight[1] * options.get("groups", 1)
            bias = m.input("bias", dtype, (channels,), RUN) if biased else None
            images, filters = m.input("x", dtype, x, RUN), m.input("filter", dtype, weight, RUN)
            return m.b.conv_transpose2d(images, filters, bias=bias, **options)

        yield _case(f"convTranspose2d {dtype} {x} {weight} {options}", build)


def _pools() -> Iterator[Case]:
    options: list[dict[str, Any]] = [
        {"window_dimensions": (3, 3), "strides": (2, 2), "padding": (1, 1, 1, 1)},
        {"window_dimensions": (2, 3), "dilations": (2, 1), "padding": (0, 1, 2, 0)},
        {"window_dimensions": (3, 2), "strides": (2, 2), "output_shape_rounding": "ceil"},
        {"layout": "nhwc"},  # the whole image
    ]
    for dtype, given in [(F32, each) for each in options] + [(F16, options[0])]:
        m = Maker(f"pools {dtype} {given}")
        x = m.input("x", dtype, (2, 3, 8, 11), RUN)
        for method in (m.b.average_pool2d, m.b.max_pool2d, m.b.l2_pool2d):
            m.b.output(method.__name__, method(x, **given))
        yield m.case(RUN)
    m = Maker("max_pool2d of integers")
    for kind in (DType.INT32, DType.INT64, DType.INT8):
        x = m.input(f"x_{kind}", kind, (1, 2, 6, 5), RUN)
        m.inputs[x.name] = m.rng.integers(-99, 99, (1, 2, 6, 5)).astype(kind.value)
        y = m.b.max_pool2d(x, window_dimensions=(2, 2), padding=(1, 0, 1, 0))
        m.b.output(f"y_{kind}", y)
    yield m.case(RUN)


def _resample() -> Iterator[Case]:
    options: tuple[tuple[DType, dict[str, Any]], ...] = (
        (F32, {"sizes": (13, 4)}),
        (F32, {"scales": (0.5, 2.5), "axes": (1, 2)}),
        (F32, {"sizes": (7, 5), "axes": (3, 0)}),
        (F16, {"scales": (2.0, 3.0)}),
    )
    for dtype, given in options:
        m = Maker(f"resample2d {dtype} {given}")
        x = m.input("x", dtype, (2, 4, 6, 9), RUN)
        m.b.output("nearest", m.b.resample2d(x, mode="nearest-neighbor", **given))
        m.b.output("linear", m.b.resample2d(x, mode="linear", **given))
        yield m.case(RUN)
    m = Maker("resample2d of bytes")
    x = m.input("x", DType.UINT8, (1, 1, 5, 6), RUN)
    m.inputs["x"] = m.rng.integers(0, 255, (1, 1, 5, 6)).astype(np.uint8)
    m.b.output("y", m.b.resample2d(x, sizes=(9, 4), mode="nearest-neighbor"))
    yield m.case(RUN)


def _long_sums() -> Iterator[Case]:
    """Few results of long sums, which a GPU makes in slices."""
    plain: list[tuple[DType, tuple[Any, ...], tuple[Any, ...]]] = [
        (F32, (37, 1601), (1601, 45)),  # nor K nor M nor N are whole tiles
        (F32, (2, 1, 5, 130), (3, 130, 7)),
        (F16, (2, 9, 520), (520, 33)),
    ]
    for dtype, left, right in plain:

        def build(m: Maker, dtype: DType = dtype, left: Any = left, right: Any = right) -> Any:
            a, b = m.input("a", dtype, left, RUN), m.input("b", dtype, right, RUN)
            return m.b.sigmoid(m.b.add(m.b.matmul(a, b), m.input("c", dtype, right[-1:], RUN)))

        yield _case(f"matmul sliced {dtype} {left}x{right}", build)
    m = Maker("matmul sliced, by columns that lie side by side, with two readers")
    weight = m.b.transpose(m.input("w", F32, (40, 390), RUN))
    y = m.b.matmul(m.input("x", F32, (6, 390), RUN), weight)
    m.b.output("y", y)
    m.b.output("tall", m.b.relu(y))
    yield m.case(RUN)
    m = Maker("matmul sliced along a symbolic K, and of symbolic rows")
    long = m.b.reshape(m.input("x", F32, (m.seq, 5, 16), RUN), new_shape=(5, m.seq * 16))
    y = m.b.matmul(long, m.input("w", F32, (m.seq * 16, 9), RUN))
    rows = m.b.matmul(m.input("r", F32, (m.seq, 200), RUN), m.input("v", F32, (200, 66), RUN))
    m.b.output("y", y)
    m.b.output("rows", rows)
    yield m.case(RUN)
    # dtype, input [N, C, H, W], filter [O, C/G, KH, KW], options, bias
    windows: list[tuple[DType, tuple[int, ...], tuple[int, ...], dict[str, Any], bool]] = [
        (F32, (2, 67, 5, 6), (35, 67, 3, 3), {"padding": (1, 1, 0, 2)}, True),
        (F32, (1, 80, 9, 9), (20, 40, 3, 2),
         {"strides": (2, 1), "dilations": (1, 2), "groups": 2}, True),
        (F32, (2, 300, 2, 3), (9, 300, 1, 1), {}, True),
        (F16, (1, 40, 6, 5), (16, 40, 3, 3), {}, False),
    ]  # fmt: skip
    for dtype, x, filter, options, biased in windows:

        def convolve(
            m: Maker, dtype: DType = dtype, x: Any = x, filter: Any = filter,
            options: Any = options, biased: bool = biased,
        ) -> Any:  # fmt: skip
            bias = m.input("bias", dtype, filter[:1], RUN) if biased else None
            images, filters = m.input("x", dtype, x, RUN), m.input("filter", dtype, filter, RUN)
            return m.b.relu(m.b.conv2d(images, filters, bias=bias, **options))

        yield _case(f"conv2d sliced {dtype} {x} {filter} {options}", convolve)

    def arranged(m: Maker) -> Any:
        x, filters = m.input("x", F32, (2, 4, 3, 60), RUN), m.input("f", F32, (10, 2, 3, 60), RUN)
        return m.b.conv2d(x, filters, input_layout="nhwc", filter_layout="ohwi")

    yield _case("conv2d sliced nhwc ohwi", arranged)


MAKERS = (_matmul, _long_sums, _attention, _conv, _conv_transpose, _pools, _resample)
