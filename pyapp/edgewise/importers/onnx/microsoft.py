"""`com.microsoft`: what onnxruntime's optimiser and Hugging Face's exports make of several nodes.

Activations, norms with a residual, products with more around them. Attention is in
microsoft_attention.py, quantised weights are in block_quantized.py and quantized.py.

Source: onnxruntime/docs/ContribOperators.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ...dtypes import DType
from ...graph.graph import Value
from .fold import ints
from .registry import Call, onnx_op

MICROSOFT = "com.microsoft"
F32, I32 = DType.FLOAT32, DType.INT32


@onnx_op("Gelu", domain=MICROSOFT)
def Gelu(c: Call) -> Value:
    """Half x times 1 + erf(x / sqrt 2)."""
    return _gelu(c, c[0])


@onnx_op("BiasGelu", domain=MICROSOFT)
def BiasGelu(c: Call) -> Value:
    """Gelu of a sum."""
    return _gelu(c, c.b.add(c[0], c[1]))


@onnx_op("FastGelu", domain=MICROSOFT)
def FastGelu(c: Call) -> Value:
    """Gelu by tanh, of a sum where there is a bias."""
    bias = c.get(1)
    x = c[0] if bias is None else c.b.add(c[0], bias)
    made: Value = c.do("Gelu", x, opset=20, approximate=b"tanh")
    return made


@onnx_op("QuickGelu", domain=MICROSOFT)
def QuickGelu(c: Call) -> Value:
    """x sigmoid(alpha x)."""
    x = c[0]
    steep = c.b.mul(x, c.b.scalar(x.dtype, c.float("alpha", 1.702)))
    made: Value = c.b.mul(x, c.b.sigmoid(steep))
    return made


@onnx_op("BiasSplitGelu", domain=MICROSOFT)
def BiasSplitGelu(c: Call) -> Value:
    """The left half of x + bias times the gelu of the right half."""
    left, right = c.b.split(c.b.add(c[0], c[1]), 2, axis=c.rank(0) - 1)
    made: Value = c.b.mul(left, _gelu(c, right))
    return made


def _gelu(c: Call, x: Value) -> Value:
    made: Value = c.do("Gelu", x, opset=20)
    return made


@onnx_op("BiasAdd", domain=MICROSOFT)
def BiasAdd(c: Call) -> Value:
    """x + bias + skip."""
    made: Value = c.b.add(c.b.add(c[0], c[1]), c[2])
    return made


@onnx_op("SimplifiedLayerNormalization")
@onnx_op("SimplifiedLayerNormalization", domain=MICROSOFT)
def SimplifiedLayerNormalization(c: Call) -> Sequence[Value | None]:
    """x / rms(x) * scale over the axes from `axis` on, and 1 / rms(x) where it is asked for."""
    axes = tuple(range(c.axis("axis", -1), c.rank(0)))
    eps = c.float("epsilon", 1e-5)
    inverse = _inverse_rms(c, c[0], axes, eps) if c.wants(1) else None
    return _rms_norm(c, c[0], c[1], axes, eps), inverse


@onnx_op("SkipSimplifiedLayerNormalization", domain=MICROSOFT)
def SkipSimplifiedLayerNormalization(c: Call) -> Sequence[Value | None]:
    """RMS norm of input + skip + bias, and that sum as the last output."""
    total, axes = _sum(c, 0, 1, 3), (c.rank(0) - 1,)
    eps = c.float("epsilon", 1e-5)
    inverse = _inverse_rms(c, total, axes, eps) if c.wants(2) else None
    return _rms_norm(c, total, c[2], axes, eps), None, inverse, total


@onnx_op("SkipLayerNormalization", domain=MICROSOFT)
def SkipLayerNormalization(c: Call) -> Sequence[Value | None]:
    """Layer norm of input + skip + bias, and that sum as the last output."""
    total = _sum(c, 0, 1, 4)
    return _layer_norm(c, total, c[2], c.get(3), c.float("epsilon", 1e-12)), None, None, total


def _sum(c: Call, *places: int) -> Value:
    total = c[places[0]]
    for place in places[1:]:
        value = c.get(place)
        total = total if value is None else c.b.add(total, value)
    return total


def _layer_norm(c: Call, x: Value, scale: Value, bias: Value | None, eps: float) -> Value:
    made: Value = c.b.layer_normalization(
        x, scale=scale, bias=bias, axes=(len(x.shape) - 1,), epsilon=eps
    )
    return made


def _rms_norm(c: Call, x: Value, scale: Value, axes: tuple[int, ...], eps: float) -> Value:
    """By the composite, which has a kernel for rows and a stored scale; else step by step."""
    shape, wide = ints(x), _wide(c, scale)
    if axes != (len(shape) - 1,) or len(wide.shape) != 1 or not c.b.is_constant(wide):
        normed = c.b.mul(_wide(c, x), _inverse_rms(c, x, axes, eps))
        return _as(c, c.b.mul(normed, wide), x.dtype)
    rows = c.b.reshape(x, (prod(shape[:-1]), shape[-1]))
    return c.b.reshape(c.b.rms_norm(rows, wide, eps=eps), shape)


def _inverse_rms(c: Call, x: Value, axes: tuple[int, ...], eps: float) -> Value:
    wide = _wide(c, x)
    mean = c.b.reduce_mean(c.b.mul(wide, wide), axes=axes, keep_dimensions=True)
    made: Value = c.b.reciprocal(c.b.sqrt(c.b.add(mean, c.b.scalar(F32, eps))))
    return made


def _wide(c: Call, x: Value) -> Value:
    return _as(c, x, F32)


def _as(c: Call, x: Value, dtype: DType) -> Value:
    made: Value = x if x.dtype is dtype else c.b.cast(x, dtype)
    return made


@onnx_op("EmbedLayerNormalization", domain=MICROSOFT)
def EmbedLayerNormalization(c: Call) -> Sequence[Value | None]:
    """Layer norm of the sum of word, position and segment embeddings; how long each text is."""
    ids, places, mask = c[0], c.get(8), c.get(7)
    length = ints(ids)[1]
    if places is None:
        row = c.b.slice(c[3], (0, 0), (length, c.shape(3)[1]))
        position = c.b.reshape(row, (1, *ints(row)))
    else:
        position = c.b.gather(c[3], places, axis=0)
    total = c.b.add(c.b.gather(c[2], ids, axis=0), position)
    segments, table = c.get(1), c.get(4)
    if segments is not None and table is not None:
        total = c.b.add(total, c.b.gather(table, segments, axis=0))
    lengths = None
    if mask is not None:
        lengths = c.b.reduce_sum(mask, axes=(1,))
    elif c.wants(1):
        lengths = c.b.literal([0] * ints(ids)[0], I32)
    return _layer_norm(c, total, c[5], c[6], c.float("epsilon", 1e-12)), lengths, total


@onnx_op("FusedMatMul", "TransposeMatMul", domain=MICROSOFT)
def FusedMatMul(c: Call) -> Value:
    """alpha a b, with either turned in its last two axes or in its batch axes."""
    a = _turned(c, c[0], c.int("transA", 0), c.int("transBatchA", 0))
    b = _turned(c, c[1], c.int("transB", 0), c.int("transBatchB", 0))
    made: Value = c.do("MatMul", a, b)
    alpha = c.float("alpha", 1.0)
    return made if alpha == 1 else c.b.mul(made, c.b.scalar(made.dtype, alpha))


def _turned(c: Call, x: Value, matrix: int, batch: int) -> Value:
    order = list(range(len(x.shape)))
    if (
        batch and len(order) > 2
    ):  # the first batch axis goes next to the last: [B, S, H] -> [S, B, H]
        order = [*order[1:-1], 0, order[-1]]
    if matrix and len(order) > 1:
        order[-2:] = order[:-3:-1]
    made: Value = x if order == sorted(order) else c.b.transpose(x, tuple(order))
    return made


@onnx_op("FusedConv", domain=MICROSOFT)
def FusedConv(c: Call) -> Value:
    """A convolution, a sum with another tensor, an activation."""
    own = {"activation", "activation_params"}
    attrs = {name: each for name, each in c.node.attributes.items() if name not in own}
    made, added = c.do("Conv", c[0], c[1], c.get(2), **attrs), c.get(3)
    if added is not None:
        made = c.b.add(made, added)
    return _activated(c, made, c.floats("activation_params") or ())


@onnx_op("FusedGemm", domain=MICROSOFT)
def FusedGemm(c: Call) -> Value:
    """Gemm and an activation."""
    attrs = {name: each for name, each in c.node.attributes.items() if "activation" not in name}
    names = ("activation_alpha", "activation_beta", "activation_gamma")
    params = tuple(c.float(name) for name in names if c.attr(name) is not None)
    return _activated(c, c.do("Gemm", c[0], c[1], c.get(2), **attrs), params)


#: An activation's parameters by their places, as attributes of the operator.
ACTIVATIONS: dict[str, tuple[str, ...]] = {
    "": (), "Relu": (), "Tanh": (), "Sigmoid": (), "LeakyRelu": ("alpha",),
    "HardSigmoid": ("alpha", "beta"), "Elu": ("alpha",), "Softsign": (), "Softplus": (),
    "HardSwish": (),
}  # fmt: skip


def _activated(c: Call, x: Value, params: tuple[float, ...]) -> Value:
    name = c.str("activation", "")
    if name == "Clip":
        low, high = params
        made: Value = c.b.clamp(x, min_value=low, max_value=high)
        return made
    if name not in ACTIVATIONS:
        raise c.unsupported(f"activation {name!r}")
    if not name:
        return x
    made = c.do(name, x, **dict(zip(ACTIVATIONS[name], params, strict=False)))
    return made
