"""Resize: along each axis a gather, or a product with a matrix of weights made on import.

Coordinates, rounding and weights follow ONNX's reference implementation (onnx/reference/ops/
op_resize.py). Linear resizing of two axes the usual way is WebNN's own `resample2d`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, floor, prod
from typing import TYPE_CHECKING

from ...dtypes import DType
from ...errors import FormatError
from ...graph.graph import Value
from .fold import ints, need_room
from .registry import Call, onnx_op

if TYPE_CHECKING:
    from .arrays import Array

F32, I32 = DType.FLOAT32, DType.INT32


@onnx_op("Upsample", since=7)
def Upsample(c: Call) -> Value:
    """Resize's beginning: scales, and coordinates by division alone."""
    value = c.get(1)
    scales = c.floats("scales") if value is None else tuple(map(float, c.b.array(value)))
    plan = _Plan(c, "asymmetric", c.str("mode", "nearest"), "floor")
    return plan.run(list(range(c.rank(0))), list(scales or ()), None, None)


@onnx_op("Resize", since=10)
def Resize(c: Call) -> Value:
    """Opset 10: scales alone."""
    scales = [float(each) for each in c.array(1).reshape(-1)]
    plan = _Plan(c, "asymmetric", c.str("mode", "nearest"), "floor")
    return plan.run(list(range(c.rank(0))), scales, None, None)


@onnx_op("Resize", since=11)
def Resize_11(c: Call) -> Value:
    """To sizes, or by scales."""
    given = c.ints("axes")
    axes = [c.positive(axis, c.rank(0)) for axis in given or range(c.rank(0))]
    scales = [] if c.get(2) is None else [float(each) for each in c.array(2).reshape(-1)]
    sizes = list(c.list(3) or ()) or None
    plan = _Plan(c, c.str("coordinate_transformation_mode", "half_pixel"),
                 c.str("mode", "nearest"), c.str("nearest_mode", "round_prefer_floor"))  # fmt: skip
    roi = None
    if plan.where == "tf_crop_and_resize":
        roi = [float(each) for each in c.array(1).reshape(-1)]
    if sizes is not None:
        scales, sizes = _fitted(c, axes, sizes)
    elif len(scales) != len(axes):
        raise FormatError("Resize scales", got=str(scales), need=f"{len(axes)} numbers")
    return plan.run(axes, scales, sizes, roi)


def _fitted(c: Call, axes: list[int], sizes: list[int]) -> tuple[list[float], list[int]]:
    """Scales of given sizes, and the sizes where the model keeps the input's proportions."""
    shape, policy = c.shape(0), c.str("keep_aspect_ratio_policy", "stretch")
    scales = [size / shape[axis] for size, axis in zip(sizes, axes, strict=True)]
    if policy != "stretch":
        scale = min(scales) if policy == "not_larger" else max(scales)
        scales = [scale] * len(axes)
        sizes = [floor(scale * shape[axis] + 0.5) for axis in axes]
    return scales, sizes


class _Plan:
    """How coordinates and elements are chosen: the attributes of a Resize."""

    def __init__(self, c: Call, where: str, mode: str, rounding: str) -> None:
        self.c, self.where, self.mode, self.rounding = c, where, mode, rounding
        self.antialias = bool(c.int("antialias", 0))
        self.outside = bool(c.int("exclude_outside", 0))
        self.cubic = c.float("cubic_coeff_a", -0.75)
        self.filler = c.float("extrapolation_value", 0)

    def run(
        self, axes: list[int], scales: list[float], sizes: list[int] | None,
        roi: list[float] | None,
    ) -> Value:  # fmt: skip
        c, x = self.c, self.c[0]
        shape = ints(x)
        want = sizes or [floor(s * shape[a] + 1e-6) for s, a in zip(scales, axes, strict=True)]
        if self._webnn(axes, scales, want, shape):
            return self._resample(x, axes, scales, want)
        work = x if x.dtype.is_float or self.mode == "nearest" else c.b.cast(x, F32)
        beyond: list[tuple[int, Array]] = []
        for place, axis in enumerate(axes):
            n, out, scale = shape[axis], want[place], scales[place]
            if scale == 1 and n == out and roi is None:
                continue
            ends = (0.0, 1.0) if roi is None else (roi[place], roi[place + len(axes)])
            at = self._coordinates(n, out, scale, ends)
            if roi is not None:
                beyond.append((axis, (at < 0) | (at > n - 1)))
            if self.mode == "nearest":
                work = c.b.gather(work, c.b.literal(self._rounded(at, n), I32), axis=axis)
            else:
                work = self._along(work, self._weights(at, n, scale), axis)
        for axis, mask in beyond:
            wide = [mask.size if each == axis else 1 for each in range(len(shape))]
            lost = c.b.literal(mask.reshape(wide), DType.UINT8)
            work = c.b.where(lost, c.b.scalar(work.dtype, self.filler), work)
        if work.dtype is x.dtype:
            return work
        return c.b.cast(c.b.round_even(work), x.dtype)

    def _webnn(
        self, axes: list[int], scales: list[float], want: list[int], shape: tuple[int, ...]
    ) -> bool:
        """Whether WebNN's resample2d says the same: linear, half pixels, the last two of four."""
        changed = [axis for axis, size in zip(axes, want, strict=True) if shape[axis] != size]
        exact = all(abs(s * shape[a] - w) < 1e-6
                    for s, a, w in zip(scales, axes, want, strict=True))  # fmt: skip
        return (self.mode == "linear" and self.where == "half_pixel" and not self.antialias
                and len(shape) == 4 and bool(changed) and set(changed) <= {2, 3} and exact
                and self.c[0].dtype.is_float)  # fmt: skip

    def _resample(self, x: Value, axes: list[int], scales: list[float], want: list[int]) -> Value:
        sizes = dict(zip(axes, want, strict=True))
        full = [sizes.get(axis, ints(x)[axis]) for axis in (2, 3)]
        return self.c.b.resample2d(x, mode="linear", sizes=full, axes=[2, 3])

    def _along(self, x: Value, matrix: Array, axis: int) -> Value:
        """`matrix` [out, in] applied to an axis of `x`."""
        c, shape = self.c, ints(x)
        before, after = prod(shape[:axis]), prod(shape[axis + 1 :])
        flat = c.b.reshape(x, (before, shape[axis], after))
        made = c.b.matmul(c.b.literal(matrix[None], x.dtype), flat)
        return c.b.reshape(made, (*shape[:axis], matrix.shape[0], *shape[axis + 1 :]))

    def _coordinates(self, n: int, out: int, scale: float, ends: tuple[float, float]) -> Array:
        """Where in the input each output element lies."""
        import numpy as np

        need_room(out)
        x = np.arange(out, dtype=np.float64)
        length = scale * n  # of the output before rounding
        if self.where == "align_corners":
            return x * (n - 1) / (length - 1) if length != 1 else np.zeros(out)
        if self.where == "asymmetric":
            return x / scale
        if self.where == "tf_crop_and_resize":
            start, end = ends
            if length == 1:
                return np.full(out, (start + end) * (n - 1) / 2)
            return start * (n - 1) + x * (end - start) * (n - 1) / (length - 1)
        if self.where == "pytorch_half_pixel":
            return (x + 0.5) / scale - 0.5 if length > 1 else np.full(out, -0.5)
        if self.where == "half_pixel":
            return (x + 0.5) / scale - 0.5
        if self.where == "half_pixel_symmetric":
            centre = n / 2 * (1 - out / length)
            return centre + (x + 0.5) / scale - 0.5
        if self.where == "tf_half_pixel_for_nn":
            return (x + 0.5) / scale
        raise self.c.unsupported(f"coordinates {self.where}")

    def _rounded(self, at: Array, n: int) -> Array:
        import numpy as np

        modes: dict[str, Callable[[Array], Array]] = {
            "floor": np.floor, "ceil": np.ceil,
            "round_prefer_floor": lambda x: np.ceil(x - 0.5),
            "round_prefer_ceil": lambda x: np.floor(x + 0.5),
        }  # fmt: skip
        places: Array = np.clip(modes[self.rounding](at), 0, n - 1).astype(np.int32)
        return places

    def _weights(self, at: Array, n: int, scale: float) -> Array:
        """The matrix [out, in] of what each input element adds."""
        import numpy as np

        stretch = min(1.0, scale) if self.antialias else 1.0
        half = (1 if self.mode == "linear" else 2) / stretch
        need_room(at.size, max(n, ceil(2 * half), 256))
        matrix = np.zeros((at.size, n))
        for row, x in enumerate(at):
            low, high = ceil(x - half), floor(x + half)
            near = np.arange(low, high + 1)
            weights = self._kernel((near - x) * stretch)
            if self.outside:
                weights = np.where((near < 0) | (near >= n), 0, weights)
            if self.outside or self.antialias:
                weights = weights / weights.sum()
            np.add.at(matrix[row], np.clip(near, 0, n - 1), weights)
        return matrix

    def _kernel(self, distance: Array) -> Array:
        import numpy as np

        x = np.abs(distance)
        if self.mode == "linear":
            triangle: Array = np.maximum(0, 1 - x)
            return triangle
        a = self.cubic
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = ((x - 5) * x + 8) * x * a - 4 * a
        curve: Array = np.where(x <= 1, near, np.where(x < 2, far, 0))
        return curve
