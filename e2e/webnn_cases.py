"""The W3C vectors as graphs: those inputs that a case calls constant are constants."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgewise.arrays import decode
from edgewise.dtypes import DType
from edgewise.graph.builder import GraphBuilder
from edgewise.graph.graph import Graph
from edgewise.ops import OPS
from edgewise.ops.base import snake
from tests.ops import webnn_vectors
from tests.ops.webnn_vectors import Array, Json


def all_cases() -> dict[str, Json]:
    """Every case of the operators that have rows, by `operator index name`."""
    return {
        f"{operator} {index} {case['name']}": case
        for operator in webnn_vectors.operators()
        for index, case in enumerate(webnn_vectors.cases(operator))
        if all(step["op"] in OPS for step in case["ops"])
    }


def graph_of(case: Json) -> Graph:
    """The graph that a case describes."""
    builder = GraphBuilder("case")
    values: dict[str, Any] = {}
    for name, tensor in case["inputs"].items():
        dtype = DType(tensor["dtype"])
        if tensor.get("constant"):
            data = to_bytes(webnn_vectors.array(tensor), dtype)
            values[name] = builder.constant(dtype, tensor["shape"], data=data, name=name)
        else:
            values[name] = builder.input(name, dtype, tensor["shape"])

    def given(arg: Any) -> Any:
        if isinstance(arg, dict):
            return values[arg["ref"]]
        if isinstance(arg, list):
            return [given(each) for each in arg]
        return arg

    for step in case["ops"]:
        op = OPS[step["op"]]
        kinds = {snake(param.name): param.kind for param in op.attrs}
        order = [snake(name) for name in op.order]
        arguments = dict(zip(order, map(given, step["args"].values()), strict=False))
        arguments |= {snake(name): given(arg) for name, arg in (step.get("options") or {}).items()}
        typed = {n: _typed(kinds.get(n), each) for n, each in arguments.items()}
        made = getattr(builder, op.method)(**typed)
        names = step.get("outputs") or [step["output"]]
        values.update(zip(names, made if isinstance(made, tuple) else (made,), strict=True))
    for name in case["expected"]:
        builder.output(name, values[name])
    return builder.build()


def _typed(kind: str | None, given: Any) -> Any:
    """Numbers that JSON has as text, and data types."""
    if not isinstance(given, str) or kind == "str":
        return given
    return DType(given) if kind == "dtype" else webnn_vectors.number(given)


def to_bytes(array: Array, dtype: DType) -> bytes:
    """Little-endian, 4-bit elements packed."""
    if dtype.bits >= 8:
        return array.tobytes()
    codes = (array.reshape(-1).astype(np.int16) & 15).astype(np.uint8)
    pairs = np.append(codes, np.zeros(codes.size % 2, np.uint8)).reshape(-1, 2)
    packed: Array = pairs[:, 0] | pairs[:, 1] << 4
    return packed.tobytes()


def from_bytes(data: bytes, dtype: DType, shape: tuple[int, ...]) -> Array:
    """The inverse of `to_bytes`."""
    count = int(np.prod(shape, dtype=np.int64))
    return decode(data, dtype, count)[:count].reshape(shape)


def complaint(case: Json, outputs: dict[str, Array]) -> str | None:
    """What is wrong with a case's outputs by WPT's rules, or None."""
    for name, expected in case["expected"].items():
        got, want = outputs[name], webnn_vectors.array(expected)
        if got.shape != want.shape or got.dtype != want.dtype:
            return f"{name}: {got.dtype}{got.shape}, not {want.dtype}{want.shape}"
        limit = case["tolerance"]["value"] or 0
        off = webnn_vectors.worst(got, want, case["tolerance"]["metric"])
        if off > limit:
            return f"{name}: off by {off:g} {case['tolerance']['metric']}, {limit} allowed"
    return None
