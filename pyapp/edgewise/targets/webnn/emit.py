"""The calls that build a graph with the browser's builder.

A node's call follows from its row: what must be given stands in the order of the specification,
the rest goes into the options, under the name that this browser reads. The graph is static and
has been fitted to the browser (fit.py, divide.py); nothing is checked again here.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping

from ...dims import evaluate
from ...dtypes import PLAIN
from ...errors import UnsupportedError
from ...graph.graph import Attr, Graph, Node
from ...graph.graph import Constant as GraphConstant
from ...ops import OPS
from ...ops.base import Value
from ..reference_plan import Tensor
from .facts import WebnnFacts
from .limits import spelled
from .plan import Call, Constant, Shape, WebnnPlan

#: Integers up to here are the same as doubles.
EXACT = 2**53


def emit(graph: Graph, tensors: Mapping[str, Tensor], facts: WebnnFacts) -> WebnnPlan:
    """The plan of a static graph without states.

    tensors  where the sources of its constants lie in the model's file

    Raises UnsupportedError for constants in a form that WebNN has no type for, all at once.
    """
    read = {name for node in graph.nodes for name in node.inputs} | {*graph.outputs.values()}
    ids = {name: number for number, name in enumerate(graph.values)}
    used = [constant for name, constant in graph.constants.items() if name in read]
    _check_types(graph.name, used)
    calls = [_call(node, ids, facts) for node in graph.nodes]
    computed = _computed(graph)
    outputs: dict[str, int] = {}
    for public, name in graph.outputs.items():
        outputs[public] = ids[name]
        if name not in computed:
            # reshape takes every data type
            outputs[public] = len(graph.values) + len(calls)
            shape = _shape(graph.values[name])
            calls.append(("reshape", [{"operand": ids[name]}, shape], {}, [outputs[public]]))
    inputs = [graph.values[name] for name in graph.inputs if name in read]
    held = [*inputs, *(c.value for c in used), *(graph.values[n] for n in graph.outputs.values())]
    return WebnnPlan(
        name=graph.name,
        inputs=tuple((ids[v.name], v.name, v.dtype.value, _shape(v)) for v in inputs),
        constants=tuple(_constant(each, ids, tensors) for each in used),
        calls=tuple(calls),
        outputs=tuple(outputs.items()),
        nbytes=sum(value.dtype.nbytes(math.prod(_shape(value))) for value in held),
    )


def _computed(graph: Graph) -> set[str]:
    """Values that may be outputs as they are.

    WebNN takes no inputs and constants for it; and what comes of constants alone, such as the
    float32 cast of a float16 constant, is zeros in Chromium 147 unless something else reads it.
    """
    return {
        name
        for node in graph.nodes
        if not graph.constants.keys() >= {each for each in node.inputs if each is not None}
        for name in node.outputs
    }


def _call(node: Node, ids: Mapping[str, int], facts: WebnnFacts) -> Call:
    op = OPS[node.op]
    if op.inputs[0].variadic:
        given: dict[str, object] = {op.inputs[0].name: [_operand(n, ids) for n in node.inputs]}
    else:
        rows = zip(op.inputs, node.inputs, strict=True)
        given = {row.name: _operand(name, ids) for row, name in rows if name is not None}
    defaults = {param.name: param.default for param in op.attrs}
    given |= {n: literal(attr) for n, attr in node.attrs.items() if attr != defaults[n]}
    arguments = [given.pop(name) for name in op.required]
    options = {spelled(facts, op.name, name) or name: each for name, each in given.items()}
    if node.origin and spelled(facts, op.name, "label"):
        options["label"] = node.origin
    return op.name, arguments, options, [ids[name] for name in node.outputs]


def _operand(name: str | None, ids: Mapping[str, int]) -> object:
    assert name is not None, "a variadic input is never absent"
    return {"operand": ids[name]}


def literal(attr: Attr) -> object:
    """An attribute as JSON that the shim takes for the same number."""
    if isinstance(attr, tuple):
        return [literal(each) for each in attr]
    if isinstance(attr, float) and not math.isfinite(attr):
        return {"number": str(attr).replace("inf", "Infinity").replace("nan", "NaN")}
    if isinstance(attr, int) and abs(attr) > EXACT:
        return {"bigint": str(attr)}
    return attr if isinstance(attr, int | float | str) else evaluate(attr, {})


def _shape(value: Value) -> Shape:
    return tuple(evaluate(dim, {}) for dim in value.shape)


def _check_types(name: str, constants: list[GraphConstant]) -> None:
    sources = [c.source for c in constants if c.source is not None]
    bad = [s for s in sources if s.part != "values" or s.type not in {*PLAIN, "BF16"}]
    if bad:
        raise UnsupportedError(
            f"constants of {name!r} on WebNN",
            got=", ".join(f"{s.part} of {s.tensor!r} ({s.type})" for s in bad),
            need=f"plain tensors: {', '.join(sorted(PLAIN))} or BF16",
            fix="choose the target webgpu, which unpacks block formats on the device",
        )


def _constant(
    constant: GraphConstant, ids: Mapping[str, int], tensors: Mapping[str, Tensor]
) -> Constant:
    value, source = constant.value, constant.source
    number, shape = ids[value.name], _shape(value)
    if source is None:
        assert constant.data is not None, f"{value.name!r} has no data"
        data = base64.b64encode(constant.data).decode()
        return number, value.dtype.value, shape, data, "plain"
    place = tensors[source.tensor]
    form = "bf16" if source.type == "BF16" else "plain"
    return number, value.dtype.value, shape, (place.offset, place.nbytes), form
