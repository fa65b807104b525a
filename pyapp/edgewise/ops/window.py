"""Sliding windows over the two spatial axes: what convolutions and poolings share.

Sizes follow the specification's "calculate conv output size". A spatial size may be symbolic as
long as the output's size is affine in it: with stride 1, or with a stride that divides every
factor, such as 32*h under stride 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

from ..dims import Dim, Expr
from ..errors import GraphError, ShapeError
from .base import Shape, Value
from .shape import need

LAYOUTS = ("nchw", "nhwc")


def check_choice(name: str, given: str, choices: Sequence[str]) -> None:
    """Raise GraphError unless the enumeration `name` is one of `choices`."""
    if given not in choices:
        raise GraphError(f"attribute {name!r}", got=repr(given), need=f"one of {list(choices)}")


def check_rank(name: str, value: Value, rank: int) -> None:
    """Raise ShapeError unless `value` has `rank` dimensions."""
    need(len(value.shape) == rank, f"input {name!r}", value, f"rank {rank}")


def check_ints(name: str, given: Sequence[Dim], count: int, least: int) -> None:
    """Raise ShapeError unless there are `count` numbers, all of them at least `least`."""
    good = all(isinstance(each, Expr) or each >= least for each in given)
    need(len(given) == count and good, name, list(map(str, given)),
         f"{count} integers of at least {least}")  # fmt: skip


def check_window(
    padding: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...]
) -> None:
    """The checks that every operator with a window makes of its options."""
    check_ints("padding", padding, 4, 0)
    check_ints("strides", strides, 2, 1)
    check_ints("dilations", dilations, 2, 1)


def canonical(shape: Shape, layout: str) -> Shape:
    """[N, C, H, W] of a shape in `layout`, a permutation of the letters nchw, oihw or iohw."""
    order = "nchw" if set(layout) == set("nchw") else "oihw"
    return tuple(shape[layout.index(letter)] for letter in order)


def arranged(shape: Shape, layout: str) -> Shape:
    """The inverse of `canonical` for `nchw` and `nhwc`."""
    return tuple(shape["nchw".index(letter)] for letter in layout)


def permutation(layout: str, order: str) -> tuple[int, ...]:
    """The transposition from `layout` to `order`, as `transpose` takes it."""
    return tuple(layout.index(letter) for letter in order)


@overload
def extent(size: int, dilation: int) -> int: ...


@overload
def extent(size: Dim, dilation: int) -> Dim: ...


def extent(size: Dim, dilation: int) -> Dim:
    """What a window of `size` covers (the specification's effective filter size)."""
    return (size - 1) * dilation + 1


def quotient(dim: Dim, divisor: int, up: bool, what: str) -> Dim:
    """`dim / divisor`, rounded down or up.

    Raises ShapeError where that is not affine in the symbols of `dim`.
    """
    shift = divisor - 1 if up else 0
    if isinstance(dim, int):
        return (dim + shift) // divisor
    if any(factor % divisor for _, factor in dim.terms):
        raise ShapeError(what, got=f"{dim} over a stride of {divisor}",
                         need="a size known in advance, or a stride that divides it")  # fmt: skip
    terms = tuple((name, factor // divisor) for name, factor in dim.terms)
    return Expr(terms, (dim.constant + shift) // divisor, dim.bounds)


def conv_size(
    size: Dim, window: Dim, padding: Sequence[int], stride: int, dilation: int,
    axis: str, up: bool = False,
) -> Dim:  # fmt: skip
    """The output's size along one axis. Raises ShapeError where no window fits."""
    left = size + sum(padding) - extent(window, dilation)
    out = quotient(left, stride, up, f"{axis} of the input") + 1
    if isinstance(out, int):
        got = f"{size} padded by {list(padding)} under {extent(window, dilation)}"
        need(out >= 1, f"{axis} of the output", f"{out} ({got})", "at least 1")
    return out


def conv_sizes(
    sizes: Sequence[Dim], window: Sequence[Dim], padding: Sequence[int], strides: Sequence[int],
    dilations: Sequence[int], up: bool = False,
) -> tuple[Dim, ...]:  # fmt: skip
    """The output's height and width. Raises ShapeError as `conv_size`."""
    return tuple(
        conv_size(sizes[i], window[i], padding[2 * i : 2 * i + 2], strides[i], dilations[i],
                  axis, up)
        for i, axis in enumerate(("height", "width"))
    )  # fmt: skip


def wide(xp: Any, x: Any) -> Any:
    """Half precision in single precision, as kernels compute it; anything else as it is."""
    return x.astype(xp.float32) if x.dtype == xp.float16 else x


def padded(xp: Any, x: Any, widths: Sequence[Sequence[int]], filler: Any) -> Any:
    """x [N, C, H, W] with rows and columns of `filler` before and after."""
    if not any(map(any, widths)):
        return x
    return xp.pad(x, [(0, 0), (0, 0), *widths], constant_values=filler)


def missing(
    size: int, padding: Sequence[int], window: int, stride: int, dilation: int, out: int
) -> tuple[int, int]:
    """Rows to add before and after so that `out` windows fit; a part of the last may be missing."""
    return padding[0], max(0, (out - 1) * stride + extent(window, dilation) - size - padding[0])
