"""The operator table: W3C WebNN operators and our composites, one row each."""

from . import (
    activation,
    elementwise,
    indexing,
    linear,
    llm,
    matrix,
    movement,
    quantized,
    reduction,
    sampling,
)  # fmt: skip
from .base import OPS, Op

__all__ = [
    "OPS", "Op", "activation", "elementwise", "indexing", "linear", "llm", "matrix", "movement",
    "quantized", "reduction", "sampling",
]  # fmt: skip
