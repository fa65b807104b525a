"""The operator table: W3C WebNN operators and our composites, one row each."""

from . import (
    activation,
    adapter,
    attention,
    convolution,
    elementwise,
    indexing,
    linear,
    llm,
    matrix,
    movement,
    normalization,
    pooling,
    quantized,
    recurrent,
    reduction,
    resample,
    sampling,
)
from .base import OPS, Op

__all__ = [
    "OPS", "Op", "activation", "adapter", "attention", "convolution", "elementwise", "indexing",
    "linear", "llm", "matrix", "movement", "normalization", "pooling", "quantized", "recurrent",
    "reduction", "resample", "sampling",
]  # fmt: skip
