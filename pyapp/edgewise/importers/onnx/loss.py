"""Losses, as in inference graphs that end in one."""

from __future__ import annotations

from ...dtypes import DType
from ...graph.graph import Value
from .fold import ints
from .registry import Call, onnx_op

I64 = DType.INT64


def _loss(c: Call, logs: Value, target: Value, weight: Value | None) -> Value:
    """-weight[t] log[t], as it is or reduced; targets of `ignore_index` weigh nothing."""
    n, _classes, *rest = ints(logs)
    where = c.b.cast(target, I64)
    keep: Value | None = None
    if "ignore_index" in c.node.attributes:
        ignored = c.b.equal(where, c.b.scalar(I64, c.int("ignore_index")))
        keep = c.b.cast(c.b.logical_not(ignored), logs.dtype)
        where = c.b.where(ignored, c.b.scalar(I64, 0), where)
    table = c.b.reshape(where, (n, 1, *rest))
    chosen = c.b.reshape(c.b.gather_elements(logs, table, axis=1), (n, *rest))
    weights = None if weight is None else c.b.gather(weight, where)
    if keep is not None:
        weights = keep if weights is None else c.b.mul(weights, keep)
    lost = c.b.neg(chosen) if weights is None else c.b.mul(c.b.neg(chosen), weights)
    mode = c.str("reduction", "mean")
    if mode == "none":
        return lost
    if mode == "mean" and weights is None:
        return c.b.reduce_mean(lost)
    total = c.b.reduce_sum(lost)
    return total if mode == "sum" else c.b.div(total, c.b.reduce_sum(weights))


@onnx_op("NegativeLogLikelihoodLoss", since=12)
def NegativeLogLikelihoodLoss(c: Call) -> Value:
    """Of logarithms of probabilities [n, classes, ...]."""
    return _loss(c, c[0], c[1], c.get(2))


@onnx_op("SoftmaxCrossEntropyLoss", since=12)
def SoftmaxCrossEntropyLoss(c: Call) -> tuple[Value, Value]:
    """Of scores [n, classes, ...]; also the logarithms."""
    logs = c.do("LogSoftmax", c[0], opset=13, axis=1)
    return _loss(c, logs, c[1], c.get(2)), logs
