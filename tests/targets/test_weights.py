"""Where weights lie: plans of one file for different shapes agree, and the graph's own is apart."""

from __future__ import annotations

from dataclasses import replace

from edgewise.dtypes import DType
from edgewise.graph.builder import GraphBuilder
from edgewise.graph.graph import Graph, Source
from edgewise.plan.plan import Plan
from edgewise.targets.device import DeviceFacts
from edgewise.targets.places import POOL_BYTES, SMALL_BYTES
from edgewise.targets.reference_plan import Place
from edgewise.targets.webgpu.compile import compile_plan

F32, F16 = DType.FLOAT32, DType.FLOAT16
LIMITS = {
    "maxBufferSize": 1 << 28,
    "maxStorageBufferBindingSize": 1 << 27,
    "maxComputeWorkgroupsPerDimension": 65535,
    "maxComputeInvocationsPerWorkgroup": 256,
    "maxComputeWorkgroupStorageSize": 16384,
    "maxComputeWorkgroupSizeX": 256,
}
FACTS = DeviceFacts("webgpu", "any", frozenset(), LIMITS, 0, 0, False)
N, K, LAYERS = 640, 640, 3
Q4_1 = N * K // 32 * 20
TENSORS = {
    f"{name}{i}": Place(type, shape, i * (Q4_1 + 4 * N) + at, nbytes)
    for i in range(LAYERS)
    for name, type, shape, at, nbytes in (
        ("w", "Q4_1", (N, K), 0, Q4_1),
        ("b", "F32", (N,), Q4_1, 4 * N),
    )
}


def graph(rows: int, layers: tuple[int, ...] = (0, 1, 2)) -> Graph:
    """Quantised products of the file, each with a bias, then a constant of the graph's own."""
    b = GraphBuilder("layers")
    h = b.input("x", F32, (rows, K))
    for i in layers:
        name, groups = f"w{i}", (N, K // 32)
        codes = b.constant(DType.UINT4, (N, K), source=Source(name, "Q4_1", "codes"))
        scale = b.constant(F16, groups, source=Source(name, "Q4_1", "scale"))
        minimum = b.constant(F16, groups, source=Source(name, "Q4_1", "minimum"))
        bias = b.constant(F32, (N,), source=Source(f"b{i}", "F32", "values"))
        h = b.add(b.quantized_matmul(h, codes, scale, minimum, dtype=F32), bias)
    b.output("y", b.mul(h, b.constant(F32, (N,), data=bytes(4 * N))))
    return b.build()


def plan(rows: int, layers: tuple[int, ...] = (0, 1, 2), facts: DeviceFacts = FACTS) -> Plan:
    made = compile_plan({"main": graph(rows, layers)}, TENSORS, facts, features=frozenset())
    assert made.nbytes < made.peak_nbytes
    return made


def weights(made: Plan) -> dict[str, int]:
    """Bytes of the buffers with weights, by name."""
    found = [(b.name, b.nbytes) for b in made.buffers if b.kind == "weights"]
    assert len(found) == len(dict(found)), f"{found=}"
    return dict(found)


def test_another_shape_has_the_same_weights_and_uploads() -> None:
    one, two = plan(1), plan(40)
    assert weights(one) == weights(two)
    assert [(w.tensor, w.start, w.nbytes) for w in one.weights] == [
        (w.tensor, w.start, w.nbytes) for w in two.weights
    ]
    codes = N * K // 2
    assert sorted(weights(one).values(), reverse=True)[:LAYERS] == [codes] * LAYERS
    assert sum(weights(one).values()) == LAYERS * (codes + 4 * N * K // 32 + 4 * N)


def test_a_large_weight_is_the_same_whatever_else_is_used() -> None:
    whole, part = weights(plan(1)), weights(plan(1, (2, 0)))
    large = {name for name in part if "pool" not in name}
    assert len(large) == 2
    assert large < whole.keys()
    # small ones are together, and other ones are not taken for them
    assert len([name for name in part if name not in whole]) == 1
    assert all(whole[name] == part[name] for name in large)


def test_rows_that_are_split_otherwise_are_other_weights() -> None:
    limits = LIMITS | {"maxStorageBufferBindingSize": N * K // 4}
    split = weights(plan(1, facts=replace(FACTS, limits=limits)))
    at_0 = {name for name in split if "codes from row 0" in name}
    whole = weights(plan(1))
    assert len(at_0) == LAYERS
    assert all(split[name] == 256 * K // 2 < whole[name] for name in at_0)


def test_what_the_graph_holds_is_not_a_weight() -> None:
    made = plan(1)
    assert [b.nbytes for b in made.buffers if b.kind == "constants"] == [4 * N]
    assert {made.buffers[to.buffer].kind for to, _ in made.inline} == {"constants"}


def test_pools_are_many_where_small_weights_are() -> None:
    b = GraphBuilder("small")
    n, each = 40, SMALL_BYTES
    tensors = {f"b{i}": Place("F32", (each // 4,), i * each, each) for i in range(n)}
    h = b.input("x", F32, (each // 4,))
    for i in range(n):
        source = Source(f"b{i}", "F32", "values")
        h = b.max(h, b.constant(F32, (each // 4,), source=source))
    b.output("y", h)
    made = compile_plan({"main": b.build()}, tensors, FACTS, features=frozenset())
    assert sum(weights(made).values()) == n * each
    assert max(weights(made).values()) == POOL_BYTES
    assert len(weights(made)) == -(-n * each // POOL_BYTES)
