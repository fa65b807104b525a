"""Choosing boxes, and the few operators of ai.onnx.ml that are tensors' business."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from ...dtypes import DType
from ...graph.graph import Value
from .registry import Call, onnx_op

if TYPE_CHECKING:
    from .arrays import Array

I64 = DType.INT64


@onnx_op("NonMaxSuppression", since=10)
def NonMaxSuppression(c: Call) -> Value:
    """The best boxes of each class that overlap no better one: known, their number is a shape."""
    import numpy as np

    boxes, scores = c.array(0), c.array(1)
    most = 0 if c.get(2) is None else int(c.array(2).reshape(-1)[0])
    overlap = 0.0 if c.get(3) is None else float(c.array(3).reshape(-1)[0])
    least = None if c.get(4) is None else float(c.array(4).reshape(-1)[0])
    corners = _corners(boxes, bool(c.int("center_point_box", 0)))
    rows = []
    for batch in range(scores.shape[0]):
        for kind in range(scores.shape[1]):
            points = scores[batch, kind]
            order = np.argsort(-points, kind="stable")
            if least is not None:
                order = order[points[order] > least]
            kept: list[int] = []
            for box in order:
                if len(kept) >= most:
                    break
                if all(_overlap(corners[batch, box], corners[batch, k]) <= overlap for k in kept):
                    kept.append(int(box))
            rows += [(batch, kind, box) for box in kept]
    return c.b.literal(np.array(rows, np.int64).reshape(-1, 3), I64)


def _corners(boxes: Array, centres: bool) -> Array:
    """Boxes as low y, low x, high y, high x."""
    import numpy as np

    if centres:
        x, y, width, height = np.moveaxis(boxes, -1, 0) / np.array([1, 1, 2, 2]).reshape(4, 1, 1)
        return np.stack([y - height, x - width, y + height, x + width], -1)
    pairs = boxes.reshape(*boxes.shape[:-1], 2, 2)
    return np.concatenate([pairs.min(-2), pairs.max(-2)], -1)


def _overlap(a: Array, b: Array) -> float:
    """Intersection over union."""
    import numpy as np

    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    if (sides <= 0).any():
        return 0.0
    common = float(sides.prod())
    return common / float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - common)


@onnx_op("ArrayFeatureExtractor", domain="ai.onnx.ml")
def ArrayFeatureExtractor(c: Call) -> Value:
    """Columns by number."""
    return c.b.gather(c[0], c.b.reshape(c[1], (prod(c.shape(1)),)), axis=c.rank(0) - 1)


@onnx_op("Binarizer", domain="ai.onnx.ml")
def Binarizer(c: Call) -> Value:
    """1 above the threshold, else 0."""
    x = c[0]
    above = c.b.greater(x, c.b.scalar(x.dtype, c.float("threshold", 0)))
    return c.b.cast(above, x.dtype)
