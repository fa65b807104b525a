"""Inverse and hyperbolic functions, which WebNN lacks: by logarithms, and one series for atan."""

from __future__ import annotations

from math import pi

from ...graph.graph import Value
from .fold import FoldingBuilder
from .registry import Call, onnx_op


def _series(b: FoldingBuilder, x: Value, terms: list[float]) -> Value:
    """x * (terms[0] + terms[1] x² + terms[2] x⁴ + …), by Horner's rule."""
    square = b.mul(x, x)
    total: Value = b.scalar(x.dtype, terms[-1])
    for term in terms[-2::-1]:
        total = b.add(b.mul(total, square), b.scalar(x.dtype, term))
    return b.mul(x, total)


def _atan(b: FoldingBuilder, x: Value) -> Value:
    """By 1/x above 1 and by half the angle, so that the series is cut at 1e-7."""
    one = b.scalar(x.dtype, 1)
    size = b.abs(x)
    steep = b.greater(size, one)
    tangent = b.where(steep, b.reciprocal(size), size)
    half = b.div(tangent, b.add(one, b.sqrt(b.add(one, b.mul(tangent, tangent)))))
    angle = _series(b, half, [2 * (-1) ** n / (2 * n + 1) for n in range(8)])
    angle = b.where(steep, b.sub(b.scalar(x.dtype, pi / 2), angle), angle)
    return b.mul(b.sign(x), angle)


@onnx_op("Atan", since=7)
def Atan(c: Call) -> Value:
    """Arc tangent."""
    return _atan(c.b, c[0])


@onnx_op("Asin", since=7)
def Asin(c: Call) -> Value:
    """2 atan(x / (1 + sqrt(1 - x²)))."""
    b, x = c.b, c[0]
    one, two = b.scalar(x.dtype, 1), b.scalar(x.dtype, 2)
    root = b.sqrt(b.sub(one, b.mul(x, x)))
    return b.mul(two, _atan(b, b.div(x, b.add(one, root))))


@onnx_op("Acos", since=7)
def Acos(c: Call) -> Value:
    """2 atan(sqrt((1 - x) / (1 + x)))."""
    b, x = c.b, c[0]
    one, two = b.scalar(x.dtype, 1), b.scalar(x.dtype, 2)
    return b.mul(two, _atan(b, b.sqrt(b.div(b.sub(one, x), b.add(one, x)))))


def _hyperbolic(b: FoldingBuilder, x: Value, sign: int) -> Value:
    up, down = b.exp(x), b.exp(b.neg(x))
    both = b.add(up, down) if sign > 0 else b.sub(up, down)
    return b.mul(both, b.scalar(x.dtype, 0.5))


def _small(b: FoldingBuilder, x: Value, limit: float, series: Value, other: Value) -> Value:
    """`series` where |x| is below `limit`, for its relative precision there."""
    return b.where(b.lesser(b.abs(x), b.scalar(x.dtype, limit)), series, other)


@onnx_op("Sinh", since=9)
def Sinh(c: Call) -> Value:
    """Hyperbolic sine."""
    b, x = c.b, c[0]
    return _small(b, x, 0.5, _series(b, x, [1, 1 / 6, 1 / 120, 1 / 5040]), _hyperbolic(b, x, -1))


@onnx_op("Cosh", since=9)
def Cosh(c: Call) -> Value:
    """Hyperbolic cosine."""
    return _hyperbolic(c.b, c[0], 1)


@onnx_op("Asinh", since=9)
def Asinh(c: Call) -> Value:
    """sign(x) log(|x| + sqrt(x² + 1))."""
    b, x = c.b, c[0]
    size = b.abs(x)
    root = b.sqrt(b.add(b.mul(x, x), b.scalar(x.dtype, 1)))
    large = b.mul(b.sign(x), b.log(b.add(size, root)))
    return _small(b, x, 0.2, _series(b, x, [1, -1 / 6, 3 / 40, -15 / 336]), large)


@onnx_op("Acosh", since=9)
def Acosh(c: Call) -> Value:
    """log(x + sqrt(x² - 1))."""
    b, x = c.b, c[0]
    return b.log(b.add(x, b.sqrt(b.sub(b.mul(x, x), b.scalar(x.dtype, 1)))))


@onnx_op("Atanh", since=9)
def Atanh(c: Call) -> Value:
    """log((1 + x) / (1 - x)) / 2."""
    b, x = c.b, c[0]
    one = b.scalar(x.dtype, 1)
    large = b.mul(b.log(b.div(b.add(one, x), b.sub(one, x))), b.scalar(x.dtype, 0.5))
    return _small(b, x, 0.2, _series(b, x, [1, 1 / 3, 1 / 5, 1 / 7, 1 / 9]), large)
