"""ONNX models as graphs: see importer.py. One file a family of operators, one function each."""

from . import (
    activation,
    attention,
    block_quantized,
    control,
    convolution,
    detection,
    elementwise,
    group_query,
    indexing,
    linear,
    loss,
    microsoft,
    microsoft_attention,
    normalization,
    pooling,
    quantized,
    recurrent,
    reduction,
    resize,
    sampling,
    shape,
    signal,
    trigonometry,
)
from .fold import NeedsValues
from .importer import Imported, Port, Weight, check_operators, import_onnx

__all__ = [
    "Imported", "NeedsValues", "Port", "Weight", "activation", "attention", "block_quantized",
    "check_operators", "control", "convolution", "detection", "elementwise", "group_query",
    "import_onnx", "indexing", "linear", "loss", "microsoft", "microsoft_attention",
    "normalization", "pooling", "quantized", "recurrent", "reduction", "resize", "sampling",
    "shape", "signal", "trigonometry",
]  # fmt: skip
