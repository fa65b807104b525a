"""Which values are computed where they are read, instead of in a kernel of their own.

A pointwise value (its elements depend on few elements of others, each at a computable index) is
*deferred* when its reader can compute it in passing: element-wise chains become one kernel,
slices and transposes cost nothing. What is read often, or costs much, is not worth doing twice.
"""

from __future__ import annotations

import struct
from collections.abc import Container

from ...dtypes import DType
from ...graph.graph import Constant, Node
from .emit import Program, n_elements

MAX_BUFFERS = 8  # maxStorageBuffersPerShaderStage's default limit
MAX_LEAVES = 5  # leaves room for a second operand and for what follows
MAX_COST = 64  # keeps a kernel's text short

#: Views move elements and compute nothing.
VIEWS = frozenset({"reshape", "transpose", "slice", "split", "expand", "reverse", "identity"})
CHEAP = frozenset({
    "add", "sub", "mul", "div", "max", "min", "neg", "abs", "relu", "clamp", "where", "cast",
    "equal", "notEqual", "greater", "greaterOrEqual", "lesser", "lesserOrEqual", "logicalNot",
    "logicalAnd", "logicalOr", "logicalXor", "sqrt", "reciprocal", "linear", "leakyRelu",
    "prelu", "hardSwish", "hardSigmoid", "sign", "floor", "ceil", "dequantizeLinear", "gather",
    "triangular", "pad", "concat", "tile",
})  # fmt: skip
DEAR = 4

#: Operators whose kernels read an element several times, and what is worth repeating there.
REREADS = {
    "matmul": 1, "gemm": 1, "scaledDotProductAttention": 1, "conv2d": 1, "convTranspose2d": 1,
    "softmax": 4, "layerNormalization": 4, "instanceNormalization": 4,
    "averagePool2d": 1, "maxPool2d": 1, "l2Pool2d": 1, "resample2d": 2,
    "expand": 4, "tile": 4, "gather": 4, "gatherElements": 4, "gatherND": 4, "cumulativeSum": 1,
    "scatterElements": 4, "scatterND": 4,
}  # fmt: skip

FORMATS = {
    DType.FLOAT32: "f", DType.FLOAT16: "e", DType.INT32: "i", DType.UINT32: "I",
    DType.INT64: "q", DType.UINT64: "Q", DType.INT8: "b", DType.UINT8: "B",
}  # fmt: skip


def is_scalar(constant: Constant) -> bool:
    """Whether a constant is one inline number, which a kernel's text can hold."""
    plain = constant.value.dtype in FORMATS
    return constant.data is not None and plain and n_elements(constant.value.shape) == 1


def scalar(constant: Constant) -> float:
    """The number of a scalar constant."""
    assert constant.data is not None, f"{constant.value.name!r} is not inline"
    number: float = struct.unpack(f"<{FORMATS[constant.value.dtype]}", constant.data)[0]
    return number


def leaves(p: Program, name: str) -> set[str]:
    """The values in memory that computing `name` reads."""
    root = p.root(name)
    if root in p.deferred:
        node, _ = p.deferred[root]
        return {leaf for each in node.inputs if each for leaf in leaves(p, each)}
    constant = p.graph.constants.get(root)
    return set() if constant is not None and is_scalar(constant) else {root}


def cost(p: Program, name: str) -> int:
    """Roughly how many simple operations computing an element of `name` takes."""
    root = p.root(name)
    if root not in p.deferred:
        return 0
    node, _ = p.deferred[root]
    return _own_cost(node) + sum(cost(p, each) for each in node.inputs if each)


def _own_cost(node: Node) -> int:
    return 0 if node.op in VIEWS else 1 if node.op in CHEAP else DEAR


def settled(p: Program, name: str) -> bool:
    """Whether a value is there already, or can be computed, where the program now stands."""
    root = p.root(name)
    return root in p.ready or root in p.graph.constants or root in p.graph.inputs


def why_not(p: Program, node: Node, k: int, readers: Container[str]) -> str:
    """Why output `k` of a pointwise node is not left to the kernels that read it; "" if it is.

    `readers` are the operators whose kernels read by functions (see access.py).
    """
    name = node.outputs[k]
    users = p.users.get(name, ())
    if name in p.results and (users or p.stored_as_seen(name)):
        return "it is a result"
    others = [user.op for user in users if user.op not in readers]
    if others:
        return f"{others[0]} reads it from memory"
    inputs = [each for each in node.inputs if each]
    total = _own_cost(node) + sum(cost(p, each) for each in inputs)
    read = {leaf for each in inputs for leaf in leaves(p, each)}
    if read & p.states:
        return "it reads a state"
    if len(read) > MAX_LEAVES:
        return f"it reads {len(read)} buffers"
    if len(users) > 1 and total > 0:
        return f"{len(users)} operators read it"
    dear = [user.op for user in users if total > REREADS.get(user.op, MAX_COST)]
    return f"{dear[0]} would compute it several times" if dear else ""
