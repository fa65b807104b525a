"""batchNormalization, instanceNormalization, layerNormalization, and their emulations."""

from __future__ import annotations

from typing import Any

from ..dims import Dim
from ..dtypes import FLOATS
from .base import In, Op, Param, Tolerance, Type, Value, register
from .shape import check_axes, check_axis, like, need
from .window import LAYOUTS, check_choice, check_rank, wide

SCALE_BIAS = (
    In("scale", FLOATS, optional=True, like="input"),
    In("bias", FLOATS, optional=True, like="input"),
)


def _check_features(size: Dim, **vectors: Value | None) -> None:
    for name, vector in vectors.items():
        if vector is not None:
            need(vector.shape == (size,), f"input {name!r}", vector, f"shape [{size}]")


def _batch(
    x: Value, mean: Value, variance: Value, scale: Value | None = None, bias: Value | None = None,
    *, axis: int, epsilon: float,
) -> list[Type]:  # fmt: skip
    check_axis(x, axis)
    _check_features(x.shape[axis], mean=mean, variance=variance, scale=scale, bias=bias)
    return like(x)


def _instance(
    x: Value, scale: Value | None = None, bias: Value | None = None, *, epsilon: float,
    layout: str,
) -> list[Type]:  # fmt: skip
    check_rank("input", x, 4)
    check_choice("layout", layout, LAYOUTS)
    _check_features(x.shape[layout.index("c")], scale=scale, bias=bias)
    return like(x)


def _layer_axes(rank: int, axes: tuple[int, ...] | None) -> tuple[int, ...]:
    return tuple(range(1, rank)) if axes is None else axes


def _layer(
    x: Value, scale: Value | None = None, bias: Value | None = None, *,
    axes: tuple[int, ...] | None = None, epsilon: float,
) -> list[Type]:  # fmt: skip
    over = _layer_axes(len(x.shape), axes)
    check_axes(x, over)
    shape = tuple(x.shape[axis] for axis in over)
    for name, value in (("scale", scale), ("bias", bias)):
        if value is not None:
            need(value.shape == shape, f"input {name!r}", value,
                 f"shape [{', '.join(map(str, shape))}]: axes {list(over)} of {x}")  # fmt: skip
    return like(x)


def _features(xp: Any, vector: Any, rank: int, axis: int) -> Any:
    return wide(xp, vector).reshape([-1 if at == axis else 1 for at in range(rank)])


def _epsilon(xp: Any, x: Any, epsilon: float) -> Any:
    """As the specification casts it: to the input's type, then widened with it."""
    return wide(xp, xp.asarray(epsilon, x.dtype))


def _batch_reference(
    xp: Any, x: Any, mean: Any, variance: Any, scale: Any = None, bias: Any = None, *,
    axis: int, epsilon: float,
) -> Any:  # fmt: skip
    mean, variance = (_features(xp, each, x.ndim, axis) for each in (mean, variance))
    out = (wide(xp, x) - mean) / xp.sqrt(variance + _epsilon(xp, x, epsilon))
    if scale is not None:
        out = out * _features(xp, scale, x.ndim, axis)
    if bias is not None:
        out = out + _features(xp, bias, x.ndim, axis)
    return out.astype(x.dtype, copy=False)


def _normal(xp: Any, x: Any, axes: tuple[int, ...], epsilon: float) -> Any:
    """`x` with mean 0 and variance 1 over `axes`."""
    wider = wide(xp, x)
    # not xp.mean, which warns of an empty axis, where there is no element to make either
    count = wider.dtype.type(max(1, xp.prod([x.shape[axis] for axis in axes], dtype=int)))
    centred = wider - wider.sum(axis=axes, keepdims=True) / count
    variance = (centred * centred).sum(axis=axes, keepdims=True) / count
    return centred / xp.sqrt(variance + _epsilon(xp, x, epsilon))


def _instance_reference(
    xp: Any, x: Any, scale: Any = None, bias: Any = None, *, epsilon: float, layout: str
) -> Any:
    axis = layout.index("c")
    out = _normal(xp, x, (layout.index("h"), layout.index("w")), epsilon)
    if scale is not None:
        out = out * _features(xp, scale, 4, axis)
    if bias is not None:
        out = out + _features(xp, bias, 4, axis)
    return out.astype(x.dtype, copy=False)


def _layer_reference(
    xp: Any, x: Any, scale: Any = None, bias: Any = None, *,
    axes: tuple[int, ...] | None = None, epsilon: float,
) -> Any:  # fmt: skip
    over = _layer_axes(x.ndim, axes)
    out = _normal(xp, x, over, epsilon)
    order = sorted(range(len(over)), key=over.__getitem__)
    shape = [size if axis in over else 1 for axis, size in enumerate(x.shape)]
    if scale is not None:
        out = out * wide(xp, scale).transpose(order).reshape(shape)
    if bias is not None:
        out = out + wide(xp, bias).transpose(order).reshape(shape)
    return out.astype(x.dtype, copy=False)


def _scaled(b: Any, x: Value, scale: Value | None, bias: Value | None) -> Value:
    if scale is not None:
        x = b.mul(x, scale)
    return x if bias is None else b.add(x, bias)


def _shaped(b: Any, vector: Value | None, rank: int, axis: int) -> Value | None:
    """A vector of features ready to be broadcast along `axis`."""
    if vector is None or axis == rank - 1:
        return vector
    shape: Value = b.reshape(vector, (*vector.shape, *(1,) * (rank - 1 - axis)))
    return shape


def _batch_decomposed(
    b: Any, x: Value, mean: Value, variance: Value, scale: Value | None = None,
    bias: Value | None = None, *, axis: int, epsilon: float,
) -> Value:  # fmt: skip
    rank = len(x.shape)
    deviation = b.sqrt(b.add(variance, b.scalar(x.dtype, epsilon)))
    centred = b.sub(x, _shaped(b, mean, rank, axis))
    normal = b.div(centred, _shaped(b, deviation, rank, axis))
    return _scaled(b, normal, _shaped(b, scale, rank, axis), _shaped(b, bias, rank, axis))


def _normalised(b: Any, x: Value, axes: tuple[int, ...], epsilon: float) -> Value:
    centred = b.sub(x, b.reduce_mean(x, axes=axes, keep_dimensions=True))
    variance = b.reduce_mean(b.mul(centred, centred), axes=axes, keep_dimensions=True)
    normal: Value = b.div(centred, b.sqrt(b.add(variance, b.scalar(x.dtype, epsilon))))
    return normal


def _instance_decomposed(
    b: Any, x: Value, scale: Value | None = None, bias: Value | None = None, *,
    epsilon: float, layout: str,
) -> Value:  # fmt: skip
    axis = layout.index("c")
    normal = _normalised(b, x, (layout.index("h"), layout.index("w")), epsilon)
    return _scaled(b, normal, _shaped(b, scale, 4, axis), _shaped(b, bias, 4, axis))


def _layer_decomposed(
    b: Any, x: Value, scale: Value | None = None, bias: Value | None = None, *,
    axes: tuple[int, ...] | None = None, epsilon: float,
) -> Value:  # fmt: skip
    over = _layer_axes(len(x.shape), axes)
    order = tuple(sorted(range(len(over)), key=over.__getitem__))

    def aligned(value: Value | None) -> Value | None:
        if value is None:
            return None
        if order != tuple(range(len(order))):
            value = b.transpose(value, permutation=order)
        first = min(over, default=0)
        shape = tuple(x.shape[axis] if axis in over else 1 for axis in range(first, len(x.shape)))
        return value if not over or value.shape == shape else b.reshape(value, shape)

    normal = _normalised(b, x, over, epsilon)
    return _scaled(b, normal, aligned(scale), aligned(bias))


register(Op(
    "batchNormalization",
    (In("input", FLOATS), In("mean", FLOATS, like="input"), In("variance", FLOATS, like="input"),
     *SCALE_BIAS),
    _batch, attrs=(Param("axis", "int", 1), Param("epsilon", "float", 1e-5)),
    reference=_batch_reference, decompose=_batch_decomposed, tolerance=Tolerance("ULP", 6, 6),
    spec="#api-mlgraphbuilder-batchnorm",
))  # fmt: skip

register(Op(
    "instanceNormalization", (In("input", FLOATS), *SCALE_BIAS), _instance,
    attrs=(Param("epsilon", "float", 1e-5), Param("layout", "str", "nchw")),
    reference=_instance_reference, decompose=_instance_decomposed,
    tolerance=Tolerance("ULP", 840, 8400), spec="#api-mlgraphbuilder-instancenorm",
))  # fmt: skip

register(Op(
    "layerNormalization", (In("input", FLOATS), *SCALE_BIAS), _layer,
    attrs=(Param("axes", "ints", None), Param("epsilon", "float", 1e-5)),
    reference=_layer_reference, decompose=_layer_decomposed, tolerance=Tolerance("ULP", 14, 14),
    spec="#api-mlgraphbuilder-layernorm",
))  # fmt: skip
