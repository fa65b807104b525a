"""Calls as `pywebnn` 0.5 spells them, turned into the specification's.

Its methods that the specification has not (squeeze, unsqueeze, the global pools) are compositions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .builder import MLGraphBuilder
    from .operand import MLOperand

#: method -> pywebnn's positional order, and its words for the specification's.
SPELLINGS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "conv2d": (
        ("input", "filter", "strides", "dilations", "padding", "groups", "input_layout",
         "filter_layout", "bias"),
        {"pads": "padding"},
    ),
    "conv_transpose2d": (
        ("input", "filter", "strides", "dilations", "padding", "output_padding", "output_sizes",
         "groups", "input_layout", "filter_layout", "bias"),
        {"pads": "padding"},
    ),
    **{
        pool: (
            ("input", "window_dimensions", "strides", "dilations", "padding", "layout"),
            {"pads": "padding"},
        )
        for pool in ("average_pool2d", "l2_pool2d", "max_pool2d")
    },
    "batch_normalization": (
        ("input", "mean", "variance", "scale", "bias", "epsilon", "axis"), {},
    ),
    "layer_normalization": (("input", "scale", "bias", "epsilon", "axes"), {}),
}  # fmt: skip


def respelled(
    method: str, args: Sequence[Any], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call in the specification's words; None is an option not given."""
    if method == "pad" and ("padding" in kwargs or len(args) == 2):
        return _pad(args, dict(kwargs))
    given = {name: each for name, each in kwargs.items() if each is not None}
    if method not in SPELLINGS:
        return tuple(args), given
    order, words = SPELLINGS[method]
    given = {words.get(name, name): each for name, each in given.items()}
    if len(args) > len(order):
        return tuple(args), given  # the builder's own error names them all
    options = dict(zip(order, args, strict=False))
    return (), {**{name: each for name, each in options.items() if each is not None}, **given}


def _pad(args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """pad(input, [begins…, ends…]) -> pad(input, begins, ends)."""
    padding = list(kwargs.pop("padding", None) or args[1])
    rank = len(padding) // 2
    given = {name: each for name, each in kwargs.items() if each is not None}
    return (args[0], padding[:rank], padding[rank:]), given


def squeeze(
    builder: MLGraphBuilder, input: MLOperand, axes: Sequence[int] | None = None
) -> MLOperand:
    """`input` without its dimensions of size 1, or without those of `axes`."""
    shape = input.shape
    gone = {axis % len(shape) for axis in axes} if axes is not None else {
        axis for axis, size in enumerate(shape) if size == 1
    }  # fmt: skip
    made: MLOperand = builder.reshape(
        input, [s for axis, s in enumerate(shape) if axis not in gone]
    )
    return made


def unsqueeze(builder: MLGraphBuilder, input: MLOperand, axes: Sequence[int]) -> MLOperand:
    """`input` with dimensions of size 1 at `axes` of the result."""
    rank = input.rank + len(axes)
    new, old = {axis % rank for axis in axes}, iter(input.shape)
    made: MLOperand = builder.reshape(
        input, [1 if axis in new else next(old) for axis in range(rank)]
    )
    return made


def global_average_pool(
    builder: MLGraphBuilder, input: MLOperand, layout: str | None = None
) -> MLOperand:
    """The mean of each channel."""
    made: MLOperand = builder.average_pool2d(input, layout=layout or "nchw")
    return made


def global_max_pool(
    builder: MLGraphBuilder, input: MLOperand, layout: str | None = None
) -> MLOperand:
    """The largest element of each channel."""
    made: MLOperand = builder.max_pool2d(input, layout=layout or "nchw")
    return made


def where_(
    builder: MLGraphBuilder, condition: MLOperand, true_value: MLOperand, false_value: MLOperand
) -> MLOperand:
    """`where`."""
    made: MLOperand = builder.where(condition, true_value, false_value)
    return made


METHODS: dict[str, Callable[..., MLOperand]] = {
    "squeeze": squeeze,
    "unsqueeze": unsqueeze,
    "global_average_pool": global_average_pool,
    "global_max_pool": global_max_pool,
    "where_": where_,
}
