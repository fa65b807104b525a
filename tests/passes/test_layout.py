from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.dims import Dim
from edgewise.dtypes import DType
from edgewise.graph.builder import GraphBuilder
from edgewise.graph.graph import Constant, Graph, Source, Value
from edgewise.graph.text import parse_graph, print_graph
from edgewise.graph.verify import verify
from edgewise.ops.convolution import CONV_FILTERS, TRANSPOSED_FILTERS
from edgewise.ops.window import permutation
from edgewise.passes.layout import FILTERS, IMAGES, layout
from edgewise.targets.reference import Reference

Array = np.ndarray[Any, np.dtype[Any]]
F32 = DType.FLOAT32


class Images:
    """A graph of operators on images, with random filters: inline, of a file, or inputs."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.b = GraphBuilder("images")
        self.arrays: dict[str, Array] = {}
        self.weights: dict[str, Array] = {}

    def input(self, name: str, shape: tuple[int, ...]) -> Value:
        self.arrays[name] = self.rng.standard_normal(shape).astype(np.float32)
        return self.b.input(name, F32, shape)

    def weight(self, name: str, shape: tuple[int, ...], kind: str) -> Value:
        if kind == "input":
            return self.input(name, shape)
        array = self.rng.standard_normal(shape).astype(np.float32)
        if kind == "inline":
            return self.b.constant(F32, shape, data=array.tobytes())
        self.weights[name] = array
        return self.b.constant(F32, shape, source=Source(name, "F32", "values"), name=name)

    def conv(self, op: str, x: Value, image: str, order: str, kind: str, **options: Any) -> Value:
        """A convolution of `x` with a 2×3 filter, from its channels to as many."""
        channels = x.shape[image.index("c")]
        assert isinstance(channels, int)
        sizes = {"o": channels, "i": channels, "h": 2, "w": 3}
        shape = tuple(sizes[letter] for letter in order)
        weight = self.weight(f"w{len(self.b._values)}", shape, kind)
        made: Value = getattr(self.b, op)(
            x, weight, input_layout=image, filter_layout=order, padding=(1, 0, 1, 1), **options
        )
        return made

    def run(self, graph: Graph) -> dict[str, Array]:
        def constant(each: Constant) -> Array:
            assert each.source is not None
            return self.weights[each.source.tensor]

        return Reference(graph, constant, precise=True).run(self.arrays, {}, {})[0]

    def check(self, graph: Graph) -> Graph:
        """The pass's contract: verified, the same values, canonical, idempotent, honest."""
        result = layout(graph)
        verify(result.graph)
        assert result.changed == (result.graph is not graph)
        assert result.graph.inputs == graph.inputs
        assert result.graph.outputs.keys() == graph.outputs.keys()
        again = layout(result.graph)
        assert not again.changed, print_graph(result.graph) + "\n".join(map(str, again.notes))
        assert again.graph is result.graph
        for node in result.graph.nodes:
            assert node.op not in IMAGES or node.attrs[IMAGES[node.op]] == "nchw"
            assert node.op not in FILTERS or node.attrs["filterLayout"] == FILTERS[node.op]
            assert node.op != "resample2d" or node.attrs["axes"] == (2, 3)
        want, got = self.run(graph), self.run(result.graph)
        for name in want:
            np.testing.assert_allclose(got[name], want[name], rtol=1e-9, atol=1e-9)
        assert parse_graph(print_graph(result.graph)) == result.graph
        return result.graph


def _count(graph: Graph) -> Counter[str]:
    return Counter(node.op for node in graph.nodes)


@pytest.mark.parametrize("kind", ["inline", "file", "input"])
@pytest.mark.parametrize(
    ("op", "order"),
    [*(("conv2d", order) for order in CONV_FILTERS),
     *(("convTranspose2d", order) for order in TRANSPOSED_FILTERS)],
)  # fmt: skip
@pytest.mark.parametrize("image", ["nchw", "nhwc"])
def test_one_convolution(op: str, order: str, image: str, kind: str) -> None:
    images = Images()
    shape = tuple({"n": 2, "c": 3, "h": 5, "w": 6}[letter] for letter in image)
    method = {"conv2d": "conv2d", "convTranspose2d": "conv_transpose2d"}[op]
    y = images.conv(method, images.input("x", shape), image, order, kind)
    images.b.output("y", y)
    graph = images.check(images.b.build())
    turns = 0 if image == "nchw" else 2
    turns += order != FILTERS[op] and kind != "inline"
    assert _count(graph)["transpose"] == turns
    assert (turns == 0 and order == FILTERS[op]) == (not layout(images.b.build()).changed)


def test_a_network_in_nhwc_has_transposes_at_its_ends_alone() -> None:
    images, rng = Images(1), np.random.default_rng(2)
    b = images.b
    x = images.input("x", (1, 8, 9, 4))
    vector = b.constant(F32, (4,), data=rng.standard_normal(4).astype(np.float32).tobytes())
    mean, variance = images.weight("mean", (4,), "file"), b.vector(F32, [1, 2, 3, 4])
    first = b.sigmoid(b.add(images.conv("conv2d", x, "nhwc", "ohwi", "inline"), vector))
    second = images.conv("conv2d", first, "nhwc", "hwio", "inline")
    second = b.batch_normalization(second, mean, variance, axis=3)
    joined = b.concat([b.add(first, second), b.mul(second, b.scalar(F32, 2))], axis=3)
    pooled = b.max_pool2d(joined, window_dimensions=(2, 2), strides=(2, 2), layout="nhwc")
    scaled = b.resample2d(pooled, scales=(2.0, 3.0), axes=(1, 2))
    b.output("y", b.softmax(b.instance_normalization(scaled, layout="nhwc"), axis=3))
    counts = _count(images.check(b.build()))
    assert counts["transpose"] == 2
    assert counts["reshape"] == 0  # the vector is inline: it got its shape here


def test_resampling_of_other_axes() -> None:
    images = Images(3)
    x = images.input("x", (2, 3, 4, 5))
    for index, axes in enumerate([(2, 3), (3, 2), (1, 2), (2, 1), (0, 3), (1, 0)]):
        for mode in ("nearest-neighbor", "linear"):
            y = images.b.resample2d(x, mode=mode, scales=(1.5, 2.0), sizes=None, axes=axes)
            images.b.output(f"y{index}{mode}", y)
            y = images.b.resample2d(x, mode=mode, sizes=(7, 2), axes=axes)
            images.b.output(f"z{index}{mode}", y)
    images.check(images.b.build())


def test_transposes_cancel_join_and_are_made_once() -> None:
    images = Images()
    b = images.b
    x = images.input("x", (2, 3, 4, 5))
    there = b.transpose(x, permutation=(0, 2, 3, 1))
    b.output("same", b.transpose(there, permutation=(0, 3, 1, 2)))
    b.output("other", b.transpose(b.transpose(there)))
    b.output("again", b.neg(b.transpose(x, permutation=(0, 2, 3, 1))))
    b.output("still", b.abs(b.transpose(b.exp(x), permutation=(0, 1, 2, 3))))
    counts = _count(images.check(b.build()))
    assert counts == {"identity": 1, "transpose": 1, "neg": 1, "abs": 1, "exp": 1}


def test_without_images_transposes_stay_above_other_operators() -> None:
    images = Images()
    b = images.b
    x = images.input("x", (2, 3, 4, 5))
    b.output("y", b.exp(b.transpose(x, permutation=(0, 2, 1, 3))))
    assert not layout(b.build()).changed


def test_an_operand_in_its_own_order_stops_a_transpose() -> None:
    images = Images()
    x = images.input("x", (1, 4, 4, 4))
    y = images.conv("conv2d", x, "nhwc", "oihw", "inline")
    images.b.output("y", images.b.add(y, images.input("z", (1, 4, 4, 4))))
    result = layout(images.b.build())
    assert [str(note) for note in result.notes if "declined" in note.text] == [
        "layout at : declined because 'z' is not transposed as the other inputs are"
    ]
    assert images.check(images.b.build()).nodes[-1].op == "add"


def test_a_state_is_read_before_its_update() -> None:
    b = GraphBuilder("state")
    state = b.state("cache", F32, (4, 2, 3))
    row = b.input("row", F32, (1, 2, 3))
    turned = b.transpose(state)
    after = b.kv_update(state, row, 3)
    b.output("old", b.exp(b.transpose(turned)))
    b.output("new", b.neg(b.transpose(b.transpose(after))))
    b.update(state, after)
    verify(layout(b.build()).graph)


def test_symbolic_batches_stay() -> None:
    b = GraphBuilder("symbols")
    batch: Dim = b.symbol("batch", 8)
    x = b.input("x", F32, (batch, 4, 5, 3))
    y = b.average_pool2d(x, layout="nhwc")
    b.output("y", y)
    graph = layout(b.build()).graph
    verify(graph)
    assert graph.values[graph.outputs["y"]].shape == (batch, 1, 1, 3)


STEPS = ["conv", "transposed", "max", "average", "norm", "resample", "sigmoid", "add", "concat",
         "transpose", "vector", "scalar"]  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.lists(st.sampled_from(STEPS), min_size=1, max_size=9))
def test_random_networks(seed: int, steps: list[str]) -> None:
    images = Images(seed)
    b, rng = images.b, images.rng
    values = [images.input("x", (1, 3, 4, 3)), images.input("z", (1, 3, 4, 3))]
    for index, step in enumerate(steps):
        x = values[rng.integers(len(values))]
        image = ("nchw", "nhwc")[rng.integers(2)]
        kind = ("inline", "file", "input")[rng.integers(3)]
        same = [each for each in values if each.shape == x.shape]
        if step == "conv":
            x = images.conv("conv2d", x, image, CONV_FILTERS[rng.integers(4)], kind)
        elif step == "transposed":
            order = TRANSPOSED_FILTERS[rng.integers(3)]
            x = images.conv("conv_transpose2d", x, image, order, kind)
        elif step in ("max", "average"):
            pool = b.max_pool2d if step == "max" else b.average_pool2d
            x = pool(x, window_dimensions=(2, 2), padding=(1, 0, 0, 1), layout=image)
        elif step == "norm":
            x = b.instance_normalization(x, layout=image)
        elif step == "resample":
            axes = tuple(int(axis) for axis in rng.permutation(4)[:2])
            x = b.resample2d(x, scales=(1.5, 1.0), axes=axes)
        elif step == "add":
            x = b.add(x, same[rng.integers(len(same))])
        elif step == "concat":
            x = b.concat([x, same[rng.integers(len(same))]], axis=int(rng.integers(4)))
        elif step == "transpose":
            turn = ((0, 2, 3, 1), (0, 3, 1, 2), (3, 2, 1, 0))[rng.integers(3)]
            x = b.transpose(x, permutation=turn)
        elif step == "vector":
            x = b.mul(images.weight(f"v{index}", (int(str(x.shape[3])),), kind), x)
        else:
            x = b.sigmoid(x) if step == "sigmoid" else b.sub(b.scalar(F32, 1), x)
        values.append(x)
    for index, value in enumerate(values[-3:]):
        b.output(f"y{index}", value)
    images.check(b.build())


def test_permutations_of_layouts() -> None:
    array = np.empty((1, 2, 3, 4))  # nchw
    assert array.transpose(permutation("nchw", "nhwc")).shape == (1, 3, 4, 2)
    assert array.transpose(permutation("ohwi", "oihw")).shape == (1, 4, 2, 3)
