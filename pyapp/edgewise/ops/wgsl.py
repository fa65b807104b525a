"""WGSL fragments for rows: f32 expressions over `x`, a name or an index, never a constant.

WGSL lets a compiler assume that there are no NaNs and infinities, so that `x != x` may be folded
to false and `max(x, 0)` may lose a NaN: what must be right for them looks at the bits. Its own
`log` and `tan` may be off by more than WebNN's tests allow, and `erf` is missing.
"""

from __future__ import annotations

from collections.abc import Sequence


def bits(x: str) -> str:
    """The bits of `x` as float32, whatever its type."""
    return f"bitcast<u32>(f32({x}))"


def is_nan(x: str) -> str:
    """Whether `x` is NaN; never for an integer."""
    return f"(({bits(x)} & 0x7fffffffu) > 0x7f800000u)"


def is_infinite(x: str) -> str:
    """Whether `x` is an infinity."""
    return f"(({bits(x)} & 0x7fffffffu) == 0x7f800000u)"


def is_negative(x: str) -> str:
    """Whether `x` is below zero: not for -0, not for NaN."""
    return f"(({bits(x)} - 0x80000001u) < 0x7f800000u)"


def unless_nan(made: str, *xs: str) -> str:
    """`made`, or the first of `xs` that is NaN."""
    for x in reversed(xs):
        made = f"select({made}, {x}, {is_nan(x)})"
    return made


def polynomial(x: str, coefficients: Sequence[float]) -> str:
    """c0 + x·(c1 + x·(c2 + …))."""
    out = repr(float(coefficients[-1]))
    for coefficient in reversed(coefficients[:-1]):
        out = f"({float(coefficient)!r} + {x} * {out})"
    return out


def _atanh(s: str) -> str:
    # 2·atanh(s) for |s| <= 1/3: the odd series to s^15, 6e-9 relative
    return f"(2.0 * {s} * {polynomial(f'({s} * {s})', [1 / k for k in range(1, 17, 2)])})"


def log(x: str) -> str:
    """ln(x), to a few ULP near 1 also, where WGSL's `log` has an absolute error only."""
    near = _atanh(f"(({x} - 1.0) / ({x} + 1.0))")
    return f"select(log({x}), {near}, {x} > 0.5 && {x} < 2.0)"


def log1p(x: str) -> str:
    """ln(1 + x) for x in [0, 1]."""
    return _atanh(f"({x} / (2.0 + {x}))")


def expm1(x: str) -> str:
    """exp(x) - 1 for x <= 0."""
    factorials = [1.0]
    for k in range(2, 10):
        factorials.append(factorials[-1] / k)
    series = f"{x} * {polynomial(x, factorials)}"  # to x^9/9!, for -0.5 <= x
    return f"select(exp({x}) - 1.0, {series}, {x} > -0.5)"


def erfc(x: str) -> str:
    """1 - erf(x), to 1.2e-7 relative for x >= 0 and absolute below.

    Source: Press et al., Numerical Recipes, 6.2, `erfcc` (a Chebyshev fit).
    """
    return f"(select(0.0, 2.0, {x} < 0.0) + select(1.0, -1.0, {x} < 0.0) * {_tail(x)})"


def erf(x: str) -> str:
    """The error function: its series near 0, where 1 - erfc(x) has no digits left."""
    # 2/sqrt(pi) · (-1)^k / (k! (2k+1)), to x^13, 1e-9 relative for |x| < 0.5
    series = polynomial(f"({x} * {x})", [
        1.1283791670955126, -0.37612638903183754, 0.11283791670955126, -0.026866170645131252,
        0.005223977625442188, -0.0008548327023450852, 0.00012055332981789664,
    ])  # fmt: skip
    return f"select(sign({x}) * (1.0 - {_tail(x)}), {x} * {series}, abs({x}) < 0.5)"


def _tail(x: str) -> str:
    z = f"min(abs({x}), 10.5)"  # where erfc is 0 in float32
    t = f"(1.0 / (1.0 + 0.5 * {z}))"
    fit = polynomial(t, [
        -1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398,
        1.48851587, -0.82215223, 0.17087277,
    ])  # fmt: skip
    return f"({t} * exp({fit} - {z} * {z}))"


def periodic(function: str, x: str) -> str:
    """`sin` or `cos` of `x`; WGSL promises precision in [-pi, pi] alone."""
    return f"{function}({_reduced(x, 2)})"


def tan(x: str) -> str:
    """tan(x), from t = tan(r/2) as 2t/(1 - t²), |r/2| <= pi/4.

    WGSL's own inherits the errors of sin and cos. Source of the fit: Cephes, tanf.
    """
    half = f"(0.5 * {_reduced(x, 1)})"
    t = f"({half} + {half} * ({half} * {half}) * " + polynomial(f"({half} * {half})", [
        3.33331568548e-1, 1.33387994085e-1, 5.34112807005e-2, 2.44301354525e-2,
        3.11992232697e-3, 9.38540185543e-3,
    ]) + ")"  # fmt: skip
    return f"(2.0 * {t} / (1.0 - {t} * {t}))"


def tanh(x: str) -> str:
    """tanh(x), to a few ULP; WGSL's own may be off by 1e-5 and may overflow.

    Source of the fit near 0: Cephes, tanhf.
    """
    e = f"exp(-2.0 * abs({x}))"
    near = polynomial(f"({x} * {x})", [
        1.0, -3.33332819422e-1, 1.33314422036e-1, -5.37397155531e-2, 2.06390887954e-2,
        -5.70498872745e-3,
    ])  # fmt: skip
    far = f"sign({x}) * (1.0 - {e}) / (1.0 + {e})"
    return f"select({far}, {x} * {near}, abs({x}) < 0.625)"


def _reduced(x: str, halves: int) -> str:
    """`x` less the nearest multiple of `halves` times pi.

    It is subtracted in three parts of few bits, two of them with exact multiples up to 2^16
    (Cody and Waite).
    """
    parts = [part * halves for part in (3.140625, 0.0009670257568359375, 6.278329577e-07)]
    n = f"round({x} * {1 / (3.141592653589793 * halves)!r})"
    reduced = x
    for part in parts:
        reduced = f"({reduced} - {n} * {part!r})"
    return reduced
