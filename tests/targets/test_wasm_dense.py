"""Products and convolutions on Wasm in sizes that hypothesis makes up, against the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.dtypes import DType
from edgewise.graph.builder import GraphBuilder
from tests.targets.cases import Case, check
from tests.targets.wasm import Devices, run_all

F32 = DType.FLOAT32
SIZES = st.sampled_from([1, 2, 3, 5, 8, 9, 17, 33])
EXAMPLES = settings(max_examples=60, deadline=None)


class Given:
    """Inputs and constants of random numbers, and the graph that they are for."""

    def __init__(self) -> None:
        self.b = GraphBuilder("case")
        self.inputs: dict[str, Any] = {}

    def __call__(self, shape: tuple[int, ...], constant: bool = False) -> Any:
        name = f"x{len(self.b._values)}"
        data = np.random.default_rng(len(name) + sum(shape)).normal(size=shape).astype(np.float32)
        if constant:
            return self.b.constant(F32, shape, data=data.tobytes(), name=name)
        self.inputs[name] = data
        return self.b.input(name, F32, shape)

    def check(self, devices: Devices, y: Any) -> None:
        """All modules, and two threads as one."""
        self.b.output("y", y)
        case = Case("random", self.b.build(), {}, self.inputs, {})
        raw = {name: data.tobytes() for name, data in self.inputs.items()}
        for made in run_all(devices, case.graph, raw).values():
            check(case, {"y": np.frombuffer(made["y"], np.float32)[: case.count("y")]})


@EXAMPLES
@given(st.data())
def test_matmul(devices: Devices, data: st.DataObject) -> None:
    draw = data.draw
    m, k, n = (draw(SIZES) for _ in range(3))
    batch = tuple(draw(st.lists(st.integers(1, 3), max_size=3)))
    some = [tuple(draw(st.sampled_from([1, dim])) for dim in batch) for _ in range(3)]
    make = Given()
    pair = []
    for lead, shape in ((some[0], (m, k)), (some[1], (k, n))):
        turned = draw(st.booleans())
        x = make((*lead, *(shape[::-1] if turned else shape)), draw(st.booleans()))
        axes = range(len(lead))
        order = (*axes, len(lead) + 1, len(lead))
        pair.append(make.b.transpose(x, permutation=order) if turned else x)
    y = make.b.matmul(*pair)
    added = make((*some[2], draw(st.sampled_from([1, m])), draw(st.sampled_from([1, n]))))
    make.check(devices, make.b.add(y, added) if draw(st.booleans()) else make.b.relu(y))


PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))


def _sizes(draw: Any, window: Any, dilations: Any) -> tuple[int, int]:
    return tuple(
        (size - 1) * by + 1 + draw(st.sampled_from([0, 1, 6, 25]))
        for size, by in zip(window, dilations, strict=True)
    )


@EXAMPLES
@given(st.data())
def test_conv2d(devices: Devices, data: st.DataObject) -> None:
    draw = data.draw
    groups, window, dilations, strides = draw(st.integers(1, 3)), *(draw(PAIRS) for _ in range(3))
    height, width = _sizes(draw, window, dilations)
    sizes = {"n": draw(st.integers(1, 2)), "c": groups * draw(SIZES), "h": height, "w": width}
    each = {"o": groups * draw(SIZES), "i": sizes["c"] // groups, "h": window[0], "w": window[1]}
    layout = draw(st.sampled_from(["nchw", "nhwc"]))
    filters = draw(st.sampled_from(["oihw", "hwio", "ohwi", "ihwo"]))
    make = Given()
    y = make.b.conv2d(
        make(tuple(sizes[letter] for letter in layout)),
        make(tuple(each[letter] for letter in filters), draw(st.booleans())),
        bias=make((each["o"],)) if draw(st.booleans()) else None,
        padding=tuple(draw(st.integers(0, 3)) for _ in range(4)), strides=strides,
        dilations=dilations, groups=groups, input_layout=layout, filter_layout=filters,
    )  # fmt: skip
    make.check(devices, y)


@settings(max_examples=6, deadline=None)
@given(st.data())
def test_conv2d_of_tiles(devices: Devices, data: st.DataObject) -> None:
    """Windows of 3 x 3 over as many channels as winograd.c wants."""
    draw = data.draw
    groups, depth, rows = draw(st.integers(1, 2)), *(draw(st.integers(16, 70)) for _ in range(2))
    shape = (draw(st.integers(1, 2)), groups * depth, *(draw(st.integers(3, 40)) for _ in range(2)))
    make = Given()
    y = make.b.conv2d(
        make(shape), make((groups * rows, depth, 3, 3)),
        bias=make((groups * rows,)) if draw(st.booleans()) else None,
        padding=tuple(draw(st.integers(0, 2)) for _ in range(4)), groups=groups,
    )  # fmt: skip
    make.check(devices, y)


@EXAMPLES
@given(st.data())
def test_conv_transpose2d(devices: Devices, data: st.DataObject) -> None:
    draw = data.draw
    groups, window, dilations, strides = draw(st.integers(1, 3)), *(draw(PAIRS) for _ in range(3))
    sizes = {"n": draw(st.integers(1, 2)), "c": groups * draw(SIZES), "h": draw(SIZES),
             "w": draw(SIZES)}  # fmt: skip
    each = {"i": sizes["c"], "o": draw(SIZES), "h": window[0], "w": window[1]}
    layout = draw(st.sampled_from(["nchw", "nhwc"]))
    filters = draw(st.sampled_from(["iohw", "hwoi", "ohwi"]))
    if draw(st.booleans()):
        strides, dilations = window, (1, 1)
    full = [(sizes[axis] - 1) * strides[i] + (window[i] - 1) * dilations[i]
            for i, axis in enumerate("hw")]  # fmt: skip
    most = [0 if strides == window else min(each // 2, 2) for each in full]
    padding = [draw(st.integers(0, most[i // 2])) for i in range(4)]
    make = Given()
    y = make.b.conv_transpose2d(
        make(tuple(sizes[letter] for letter in layout)),
        make(tuple(each[letter] for letter in filters), draw(st.booleans())),
        bias=make((groups * each["o"],)) if draw(st.booleans()) else None,
        padding=tuple(padding), strides=strides, dilations=dilations, groups=groups,
        output_padding=tuple(draw(st.integers(0, by - 1)) for by in strides),
        input_layout=layout, filter_layout=filters,
    )  # fmt: skip
    make.check(devices, y)
