"""The W3C WebNN API in Python, the same in a page and in CPython.

    from edgewise.webnn import ML

    context = ML().create_context()
    builder = context.create_graph_builder()
    x = builder.input("x", [2, 3], "float32")
    graph = builder.build({"y": builder.relu(x)})
    y = context.compute(graph, {"x": array})["y"]

Names are the specification's in snake_case, calls those of the PyPI package `pywebnn`. What waits
has a twin to await, `NAME_async`; the plain one works in CPython outside an event loop, and in a
page where the browser can suspend Python (JSPI). Results have the operand's own data type.
Source: https://www.w3.org/TR/webnn/
"""

from .builder import MLGraphBuilder
from .context import AsyncMLContext, MLContext
from .graph import MLGraph
from .ml import ML
from .operand import MLOperand, MLOperandDescriptor, MLTensor

__all__ = [
    "ML", "AsyncMLContext", "MLContext", "MLGraph", "MLGraphBuilder", "MLOperand",
    "MLOperandDescriptor", "MLTensor",
]  # fmt: skip
