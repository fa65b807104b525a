"""The operator table: W3C WebNN operators and our composites, one row each."""

from . import elementwise, llm, matrix, movement, quantized, reduction, sampling
from .base import OPS, Op

__all__ = [
    "OPS", "Op", "elementwise", "llm", "matrix", "movement", "quantized", "reduction", "sampling",
]  # fmt: skip
