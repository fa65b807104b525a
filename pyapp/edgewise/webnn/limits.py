"""What each operator takes: data types from the operator table, ranks from the specification.

Source: the tables of constraints in https://www.w3.org/TR/webnn/, one for each operator.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..dtypes import DType
from ..ops import OPS
from ..ops.base import Op
from ..runtime.compiling import supports
from ..targets.device import DeviceFacts
from ..targets.webnn.facts import WebnnFacts

MAX_RANK = 8
ANY = (0, MAX_RANK)
SOME = (1, MAX_RANK)  # there is an axis to name
Ranks = Mapping[str, tuple[int, int]]


def _all(rank: int, *names: str) -> Ranks:
    return dict.fromkeys(names, (rank, rank))


_POOL = _all(4, "input", "output")
_CONV = {**_all(4, "input", "filter", "output"), **_all(1, "bias")}
_CELL = {
    **_all(2, "input", "weight", "recurrentWeight", "hiddenState", "cellState"),
    **_all(1, "bias", "recurrentBias", "peepholeWeight"),
    **_all(2, "output", "output0", "output1"),
}
_RECURRENT = {
    **_all(3, "input", "weight", "recurrentWeight", "initialHiddenState", "initialCellState"),
    **_all(2, "bias", "recurrentBias", "peepholeWeight"),
    **_all(3, "output0", "output1"),
}
_AXIS = {"input": SOME, "inputs": SOME, "indices": SOME, "updates": SOME, "output": SOME,
         "outputs": SOME}  # fmt: skip

#: operator -> operand -> (least, greatest) rank; any rank where nothing is said.
RANKS: dict[str, Ranks] = {
    "argMax": {"input": SOME},
    "argMin": {"input": SOME},
    "averagePool2d": _POOL,
    "batchNormalization": {
        **_all(1, "mean", "variance", "scale", "bias"), "input": SOME, "output": SOME,
    },
    "concat": _AXIS,
    "conv2d": _CONV,
    "convTranspose2d": _CONV,
    "cumulativeSum": _AXIS,
    "gather": {"input": SOME},
    "gatherElements": _AXIS,
    "gatherND": {"input": SOME, "indices": SOME},
    "gemm": {**_all(2, "a", "b", "output"), "c": (0, 2)},
    "gru": {**_RECURRENT, "output1": (4, 4)},
    "gruCell": _CELL,
    "instanceNormalization": {**_all(4, "input", "output"), **_all(1, "scale", "bias")},
    "l2Pool2d": _POOL,
    "lstm": {**_RECURRENT, "output2": (4, 4)},
    "lstmCell": _CELL,
    "matmul": dict.fromkeys(("a", "b", "output"), (2, MAX_RANK)),
    "maxPool2d": _POOL,
    "resample2d": _POOL,
    "scatterElements": _AXIS,
    "scatterND": {"input": SOME, "indices": SOME, "output": SOME},
    "softmax": _AXIS,
    "split": _AXIS,
    "triangular": dict.fromkeys(("input", "output"), (2, MAX_RANK)),
}  # fmt: skip

BOOLEAN = frozenset({DType.UINT8})
#: Operators whose result has other types than their first input.
RESULTS: dict[str, frozenset[DType]] = {
    **dict.fromkeys(("equal", "notEqual", "greater", "greaterOrEqual", "lesser", "lesserOrEqual",
                     "isNaN", "isInfinite", "logicalAnd", "logicalOr", "logicalXor", "logicalNot"),
                    BOOLEAN),
    **dict.fromkeys(("argMin", "argMax"), frozenset({DType.INT32, DType.INT64})),
    "cast": frozenset(DType),
}  # fmt: skip
#: Operators whose result has the types of another operand than the first.
RESULT_LIKE = {"where": "trueValue", "dequantizeLinear": "scale", "quantizeLinear": "zeroPoint"}
OUTPUTS = {"split": ("outputs",), "lstm": ("output0", "output1", "output2"),
           "lstmCell": ("output0", "output1"), "gru": ("output0", "output1")}  # fmt: skip


def support_limits(facts: DeviceFacts) -> dict[str, Any]:
    """The limits of a device's target: the browser's own for WebNN, else the table's."""
    if isinstance(facts, WebnnFacts):
        return dict(facts.operators)
    anything = _limits(frozenset(DType), ANY)
    sizes = [facts.limits[name] for name in ("maxBufferSize", "maxStorageBufferBindingSize")
             if name in facts.limits]  # fmt: skip
    return {
        "preferredInputLayout": "nchw",
        "maxTensorByteLength": min(sizes, default=2**53 - 1),  # what a JavaScript number can count
        **dict.fromkeys(("input", "constant", "output"), anything),
        **{op.name: _operator(op) for op in OPS.values() if op.spec and supports(facts.target, op)},
    }


def _operator(op: Op) -> dict[str, Any]:
    ranks = RANKS.get(op.name, {})
    types = {row.name: row.dtypes for row in op.inputs}
    like = RESULT_LIKE.get(op.name, op.inputs[0].name)
    results = RESULTS.get(op.name, types[like])
    types |= dict.fromkeys(OUTPUTS.get(op.name, ("output",)), results)
    return {name: _limits(each, ranks.get(name, ANY)) for name, each in types.items()}


def _limits(dtypes: frozenset[DType], ranks: tuple[int, int]) -> dict[str, Any]:
    names = [dtype.value for dtype in DType if dtype in dtypes]
    return {"dataTypes": names, "rankRange": {"min": ranks[0], "max": ranks[1]}}
