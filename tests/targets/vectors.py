"""The W3C vectors as graphs, for targets: what is constant in a case is a constant of its graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edgewise.arrays import decode, encode
from edgewise.dtypes import DType
from edgewise.graph.builder import GraphBuilder
from edgewise.graph.graph import Graph
from edgewise.ops import OPS
from edgewise.ops.base import snake
from tests.ops import webnn_vectors
from tests.ops.webnn_vectors import Json

TYPES = {each.value for each in DType}


@dataclass(frozen=True, slots=True)
class Vector:
    """One case: its graph, the inputs' bytes, and how to judge the outputs."""

    name: str
    graph: Graph
    inputs: dict[str, bytes]
    json: Json

    @property
    def half(self) -> bool:
        """Whether it has float16 in it."""
        return any(value.dtype is DType.FLOAT16 for value in self.graph.values.values())

    def wrong(self, outputs: dict[str, bytes]) -> str | None:
        """What is wrong with the outputs' bytes, or None."""
        tolerance = self.json["tolerance"]
        for name, expected in self.json["expected"].items():
            want = webnn_vectors.array(expected)
            dtype = DType(expected["dtype"])
            data = outputs[name][: dtype.nbytes(want.size)]
            got = decode(data, dtype, want.size).reshape(want.shape)
            off = webnn_vectors.worst(got, want, tolerance["metric"])
            if off > (tolerance["value"] or 0):
                return f"{name}: {tolerance['metric']} {off:g} > {tolerance['value']}"
        return None


def vectors() -> Iterator[Vector]:
    """Every case of every operator."""
    for operator in webnn_vectors.operators():
        for index, case in enumerate(webnn_vectors.cases(operator)):
            yield vector(f"{operator}-{index}", case)


def vector(name: str, case: Json) -> Vector:
    """A case as a graph."""
    builder = GraphBuilder("case")
    values: dict[str, Any] = {}
    inputs: dict[str, bytes] = {}
    for each, tensor in case["inputs"].items():
        dtype = DType(tensor["dtype"])
        data = encode(webnn_vectors.array(tensor), dtype)
        if tensor.get("constant"):
            values[each] = builder.constant(dtype, tensor["shape"], data=data, name=each)
        else:
            values[each] = builder.input(each, dtype, tensor["shape"])
            inputs[each] = data

    def given(arg: Any) -> Any:
        if isinstance(arg, dict):
            return values[arg["ref"]]
        if isinstance(arg, list):
            return [given(each) for each in arg]
        return DType(arg) if arg in TYPES else webnn_vectors.number(arg)

    for step in case["ops"]:
        row = OPS[step["op"]]
        required = [given(arg) for arg in step["args"].values()]
        options = {snake(n): given(arg) for n, arg in (step.get("options") or {}).items()}
        made = getattr(builder, row.method)(*required, **options)
        names = step.get("outputs") or [step["output"]]
        values.update(zip(names, made if isinstance(made, tuple) else (made,), strict=True))
    for each in case["expected"]:
        builder.output(each, values[each])
    return Vector(name, builder.build(), inputs, case)
