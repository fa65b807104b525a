"""Views, broadcasts and moves on Wasm: random chains of them on random shapes, against NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.dtypes import DType
from edgewise.graph.builder import GraphBuilder
from edgewise.ops.base import Value
from tests.ops.decomposition import Array
from tests.targets.wasm import Devices, close, open_devices, run_all

SIZES = st.sampled_from([0, 1, 1, 2, 3, 5, 7, 16, 17])
TYPES = {1: "uint8", 2: "float16", 4: "float32", 8: "int64"}
MOVES = ("transpose", "slice", "reverse", "reshape", "expand", "concat", "pad", "tile", "add")
MOST = 4000  # elements


@pytest.fixture(scope="module")
def devices() -> Iterator[Devices]:
    made = open_devices()
    yield {name: made[name] for name in ("threads", "two threads")}
    close(made)


def moved(
    b: GraphBuilder, x: Value, y: Array, name: str, data: st.DataObject
) -> tuple[Value, Array]:
    """One random operator, and what NumPy makes of the same."""
    rank, draw = y.ndim, data.draw
    if name == "transpose":
        order = tuple(draw(st.permutations(range(rank))))
        return b.transpose(x, permutation=order), y.transpose(order)
    if name == "slice":
        starts = tuple(draw(st.integers(0, n)) for n in y.shape)
        sizes = tuple(draw(st.integers(0, n - at)) for n, at in zip(y.shape, starts, strict=True))
        steps = tuple(draw(st.integers(1, 3)) for _ in y.shape)
        cut = tuple(map(slice, starts, np.add(starts, sizes).tolist(), steps))
        return b.slice(x, starts, sizes, strides=steps), y[cut]
    if name == "reverse":
        axes = tuple(axis for axis in range(rank) if draw(st.booleans()))
        return b.reverse(x, axes=axes), np.flip(y, axes)
    if name == "reshape":
        flat = draw(st.sampled_from([(y.size,), (1, y.size, 1), (*y.shape, 1)]))
        return b.reshape(x, flat), y.reshape(flat)
    if name == "expand":
        shape = (2, *(3 if n == 1 else n for n in y.shape))
        return b.expand(x, shape), np.broadcast_to(y, shape)
    if name == "concat" and rank:
        axis = draw(st.integers(0, rank - 1))
        return b.concat([x, x], axis), np.concatenate([y, y], axis)
    if name == "pad" and rank:
        mode = draw(st.sampled_from(["constant", "edge", "reflection"] if y.size else ["constant"]))
        most = [max(n - 1, 0) if mode == "reflection" else 2 if n else 0 for n in y.shape]
        widths = [(draw(st.integers(0, n)), draw(st.integers(0, n))) for n in most]
        before, after = (tuple(pair[side] for pair in widths) for side in (0, 1))
        kind = {"reflection": "reflect"}.get(mode, mode)
        return b.pad(x, before, after, mode=mode), np.pad(y, widths, kind)  # type: ignore[call-overload]
    if name == "tile":
        times = tuple(draw(st.integers(0, 2)) for _ in y.shape)
        return b.tile(x, times), np.tile(y, times)
    other = y[tuple(slice(0, 1) if draw(st.booleans()) else slice(None) for _ in y.shape)]
    constant = b.constant(x.dtype, other.shape, data=np.ascontiguousarray(other).tobytes())
    return b.add(x, constant), y + other


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_chains_of_moves_are_what_numpy_makes(devices: Devices, data: st.DataObject) -> None:
    shape = data.draw(st.lists(SIZES, max_size=6).filter(lambda s: prod(s) <= MOST))
    dtype = DType(TYPES[data.draw(st.sampled_from(sorted(TYPES)))])
    x = (np.arange(prod(shape)) % 50).reshape(shape).astype(dtype.value)
    b = GraphBuilder("moves")
    at, want = b.input("x", dtype, shape), x
    for name in data.draw(st.lists(st.sampled_from(MOVES), min_size=1, max_size=5)):
        if want.ndim < 7 and want.size <= MOST:
            at, want = moved(b, at, want, name, data)
    b.output("y", b.identity(at))
    for made in run_all(devices, b.build(), {"x": x.tobytes()}).values():
        got = np.frombuffer(made["y"], dtype.value)[: want.size]
        np.testing.assert_array_equal(got, want.ravel())


@pytest.mark.parametrize("n", [0, 1, 7, 40])
def test_sizes_known_when_it_runs(devices: Devices, n: int) -> None:
    b = GraphBuilder("moves")
    seq = b.symbol("seq", 40)
    x = b.input("x", DType.FLOAT32, (2, seq, 3))
    turned = b.transpose(x, permutation=(2, 0, 1))
    back = b.reverse(turned, axes=(0, 1))
    b.output("y", b.add(b.reshape(b.concat([back, turned], 2), (3, 2, seq + seq)),
                        b.scalar(DType.FLOAT32, 1)))  # fmt: skip
    b.output("z", b.pad(back, (0, 1, 2), (0, 0, 3), mode="constant", value=5))
    given_x = np.arange(2 * n * 3, dtype="f4").reshape(2, n, 3)
    made = run_all(devices, b.build(), {"x": given_x.tobytes()}, {"seq": n})["threads"]
    want = given_x.transpose(2, 0, 1)
    flipped = np.flip(want, (0, 1))
    y = np.concatenate([flipped, want], 2) + 1
    z = np.pad(flipped, ((0, 0), (1, 0), (2, 3)), constant_values=5)
    for name, each in (("y", y), ("z", z)):
        got = np.frombuffer(made[name], "f4")[: each.size]
        np.testing.assert_array_equal(got, each.ravel())
