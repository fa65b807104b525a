"""Reductions along axes: sums, products, norms, extremes, and running sums."""

from __future__ import annotations

from typing import Any

from ...dtypes import DType
from ...graph.graph import Value
from .fold import ints
from .registry import Call, onnx_op

F32, I32, I64 = DType.FLOAT32, DType.INT32, DType.INT64
#: ONNX operator -> WebNN method, the opset that moved `axes` to an input
REDUCE = {
    "ReduceSum": "reduce_sum", "ReduceMean": "reduce_mean", "ReduceMax": "reduce_max",
    "ReduceMin": "reduce_min", "ReduceProd": "reduce_product", "ReduceL1": "reduce_l1",
    "ReduceL2": "reduce_l2", "ReduceLogSum": "reduce_log_sum",
    "ReduceLogSumExp": "reduce_log_sum_exp", "ReduceSumSquare": "reduce_sum_square",
}  # fmt: skip
WIDE = frozenset({F32, DType.FLOAT16, I32, I64, DType.UINT32, DType.UINT64})
FLOAT_ONLY = frozenset({"reduce_mean", "reduce_l2", "reduce_log_sum", "reduce_log_sum_exp"})


def axes_of(c: Call) -> list[int] | None:
    """The axes that are reduced; none at all is all of them, unless the model says otherwise."""
    axes = c.list_or(1, "axes")
    if not axes:
        return [] if c.int("noop_with_empty_axes", 0) else list(range(c.rank(0)))
    return [c.positive(axis, c.rank(0)) for axis in axes]


def _reduce(c: Call, method: str) -> Value:
    x, axes = c[0], axes_of(c)
    assert axes is not None, "axes_of gives a list"
    how = {"axes": axes, "keep_dimensions": bool(c.int("keepdims", 1))}
    extreme = method in ("reduce_max", "reduce_min")
    if any(c.shape(0)[axis] == 0 for axis in axes):
        return _empty(c, method, axes, bool(c.int("keepdims", 1)))
    if method == "reduce_log_sum_exp":
        return _log_sum_exp(c, x, how)
    work = x
    if method in FLOAT_ONLY and not x.dtype.is_float:
        work = c.b.cast(x, F32)
    elif not extreme and x.dtype not in WIDE:
        work = c.b.cast(x, I32)
    made = getattr(c.b, method)(work, **how)
    return made if made.dtype is x.dtype else c.b.cast(made, x.dtype)


def _log_sum_exp(c: Call, x: Value, how: dict[str, Any]) -> Value:
    """log(sum(exp(x))), which WebNN's own lets overflow."""
    work = x if x.dtype.is_float else c.b.cast(x, F32)
    top = c.b.reduce_max(work, axes=how["axes"], keep_dimensions=True)
    zero = c.b.scalar(work.dtype, 0)
    top = c.b.where(c.b.is_infinite(top), zero, top)
    total = c.b.reduce_sum(c.b.exp(c.b.sub(work, top)), axes=how["axes"], keep_dimensions=True)
    made = c.b.add(c.b.log(total), top)
    if not how["keep_dimensions"]:
        kept = [n for axis, n in enumerate(ints(made)) if axis not in how["axes"]]
        made = c.b.reshape(made, kept)
    return made if made.dtype is x.dtype else c.b.cast(made, x.dtype)


def _empty(c: Call, method: str, axes: list[int], keep: bool) -> Value:
    """A reduction of nothing: what the operation adds nothing to."""
    import numpy as np

    x, inf = c[0], float("inf")
    number: float = {"reduce_product": 1, "reduce_log_sum": -inf, "reduce_log_sum_exp": -inf,
                     "reduce_max": -inf, "reduce_min": inf}.get(method, 0)  # fmt: skip
    if number in (inf, -inf) and not x.dtype.is_float:
        limits = np.iinfo(x.dtype.value)
        number = limits.max if number > 0 else limits.min
        if c.type_of(0) == "BOOL":
            number = int(number > 0)
    shape = [1 if axis in axes else size for axis, size in enumerate(c.shape(0))]
    if not keep:
        shape = [size for axis, size in enumerate(c.shape(0)) if axis not in axes]
    return c.b.expand(c.b.scalar(x.dtype, number), shape)


def _reduction(method: str) -> Any:
    return lambda c: _reduce(c, method)


for _name, _method in REDUCE.items():
    onnx_op(_name)(_reduction(_method))


def _arg(c: Call, method: str) -> Value:
    """The place of the first extreme, or of the last: then of the reversed input."""
    axis, keep, x = c.axis("axis", 0), bool(c.int("keepdims", 1)), c[0]
    last = bool(c.int("select_last_index", 0))
    if last:
        x = c.b.reverse(x, axes=[axis])
    made = getattr(c.b, method)(x, axis, keep_dimensions=keep, output_data_type=I64)
    return c.b.sub(c.b.scalar(I64, c.shape(0)[axis] - 1), made) if last else made


@onnx_op("ArgMax")
def ArgMax(c: Call) -> Value:
    """The place of the largest element."""
    return _arg(c, "arg_max")


@onnx_op("ArgMin")
def ArgMin(c: Call) -> Value:
    """The place of the smallest element."""
    return _arg(c, "arg_min")


@onnx_op("CumSum", since=11)
def CumSum(c: Call) -> Value:
    """Running sums along an axis."""
    axis = c.positive(int(c.array(1).reshape(-1)[0]), c.rank(0))
    return c.b.cumulative_sum(c[0], axis, exclusive=bool(c.int("exclusive", 0)),
                              reversed=bool(c.int("reverse", 0)))  # fmt: skip


@onnx_op("CumProd", since=26)
def CumProd(c: Call) -> Value:
    """Running products: log2(n) products with the tensor shifted by 1, 2, 4 …"""
    axis = c.positive(int(c.array(1).reshape(-1)[0]), c.rank(0))
    x, shape = c[0], c.shape(0)
    back = bool(c.int("reverse", 0))
    one = c.b.scalar(x.dtype, 1)

    def shifted(value: Value, by: int) -> Value:
        starts, sizes = [0] * len(shape), list(shape)
        sizes[axis] -= by
        starts[axis] = by if back else 0
        filler = list(shape)
        filler[axis] = by
        parts = [c.b.slice(value, starts, sizes)] if sizes[axis] else []
        ones = c.b.expand(one, filler)
        return c.b.concat([*parts, ones] if back else [ones, *parts], axis)

    if c.int("exclusive", 0):
        x = shifted(x, 1)
    by = 1
    while by < shape[axis]:
        x = c.b.mul(x, shifted(x, by))
        by *= 2
    return x
