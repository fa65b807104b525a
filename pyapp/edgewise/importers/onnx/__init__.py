"""ONNX models as graphs: see importer.py. One file a family of operators, one function each."""

from . import (
    activation,
    control,
    convolution,
    elementwise,
    indexing,
    linear,
    loss,
    normalization,
    pooling,
    quantized,
    reduction,
    shape,
    trigonometry,
)
from .fold import NeedsValues
from .importer import Imported, Port, Weight, import_onnx

__all__ = [
    "Imported", "NeedsValues", "Port", "Weight", "activation", "control", "convolution",
    "elementwise", "import_onnx", "indexing", "linear", "loss", "normalization", "pooling",
    "quantized", "reduction", "shape", "trigonometry",
]  # fmt: skip
