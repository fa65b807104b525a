"""One ONNX node in `onnx.reference`, NumPy code of ONNX's own: an oracle for any data type."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from onnx import helper
from onnx.reference import ReferenceEvaluator

Array = np.ndarray[Any, np.dtype[Any]]


def run(op: str, arrays: list[Array | None], outputs: int = 1, **attrs: Any) -> list[Array]:
    """What ONNX's reference computes for one node."""
    present = tuple(array is not None for array in arrays)
    types = tuple(None if array is None else array.dtype.name for array in arrays)
    frozen = tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in sorted(attrs.items()))
    evaluator = _evaluator(op, present, types, outputs, frozen)
    given = {f"x{i}": array for i, array in enumerate(arrays) if array is not None}
    with np.errstate(all="ignore"):
        made = evaluator.run(None, given)
    return list(made)


@functools.cache
def _evaluator(
    op: str, present: tuple[bool, ...], types: tuple[str | None, ...], outputs: int,
    attrs: tuple[tuple[str, Any], ...],
) -> ReferenceEvaluator:  # fmt: skip
    names = [f"x{index}" if there else "" for index, there in enumerate(present)]
    results = [f"y{index}" for index in range(outputs)]
    node = helper.make_node(op, names, results, **dict(attrs))
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(type)), None)
        for name, type in zip(names, types, strict=True) if type is not None
    ]  # fmt: skip
    made = [helper.make_tensor_value_info(name, 1, None) for name in results]
    graph = helper.make_graph([node], "one", inputs, made)
    return ReferenceEvaluator(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)]))
