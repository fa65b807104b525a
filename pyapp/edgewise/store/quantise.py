"""Variants of models in 8 bits: large matrices as int8 codes with a scale for each output.

A folder's variant is the folder with another weight file: `NAME` has type I8, `NAME_scale` [N, 1]
its rows' scales (as compressed-tensors has it). An ONNX file's is a file in ONNX's own operators:
DequantizeLinear of an int8 initializer in front of each product. What else is there stays as it is.
Codes are symmetric, from -127 to 127. Of each eight in a row, what is positive in columns 0, 1, 4
and 5 is at most 258 together, and what is negative, and so in the other four: then a kernel may add
their products with 7-bit activations in 16 bits (shims/wasm/gemm8.c). A row's scale is the least
that gives both, and every weight is within half a step of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import UnsupportedError
from ..formats.blocks import dequantise
from ..formats.safetensors import BITS
from ..importers.bert_config import SCALE
from .described import safe
from .manifest import Quantised
from .onnx_files import open_onnx
from .pack_folder import open_folder, small_files
from .safetensors_files import WEIGHTS

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]
_Tensor: TypeAlias = tuple[str, tuple[int, ...], bytes]  # type, shape, data

LEVELS = 127
TOGETHER = 256  # of four codes of one sign, before they are rounded
SMALLEST = 32  # rows and columns of a matrix of an ONNX file: smaller ones are left
OPSET = 13  # DequantizeLinear with a scale for each row
ALIGNMENT = 8  # of a safetensors file's header, and the size of its length
MOST_NBYTES = 2**31 - 1  # of an ONNX file
FLOATS = ("F32", "F16", "BF16")


@dataclass(frozen=True, slots=True)
class Variant:
    """A model that was written, and what it lost."""

    path: Path
    quantised: Quantised


def write_int8(path: Path, work: Path) -> Variant:
    """Writes the variant of a Hugging Face folder or an ONNX file into the folder `work`.

    Its name is the model's with `-int8`. Raises as `pack`; UnsupportedError for a GGUF, which is
    quantised when it is made, and for a model in which nothing is large enough.
    """
    name = safe(path.resolve().name.removesuffix(".onnx")).lower() or "model"
    if path.is_dir():
        return _folder(path, work / f"{name}-int8")
    if path.suffix.lower() == ".onnx":
        return _onnx(path, work / f"{name}-int8.onnx")
    raise UnsupportedError("a model to quantise", got=path.name,
                           need="a Hugging Face folder or an ONNX file",
                           fix="choose a GGUF of the type that is wanted")  # fmt: skip


class _Loss:
    """What rounding did to the matrices so far."""

    def __init__(self) -> None:
        self.errors: list[float] = []

    def rounded(self, matrix: Array) -> tuple[Array, Array]:
        """Codes [N, K] and scales [N, 1] of a float matrix."""
        import numpy as np

        wide = matrix.astype(np.float32)
        scale = np.maximum(np.abs(wide).max(axis=1, keepdims=True) / np.float32(LEVELS),
                           _together(wide) / np.float32(TOGETHER))  # fmt: skip
        codes = np.rint(wide / np.where(scale > 0, scale, 1)).astype(np.int8)
        power = float(np.square(wide).mean())
        left = float(np.square(wide - codes * scale).mean())
        self.errors.append((left / power) ** 0.5 if power else 0.0)
        return codes, scale

    def total(self, what: str) -> Quantised:
        if not self.errors:
            raise UnsupportedError("a model to quantise", got=f"no matrix in {what}",
                                   need="large matrices of float32")  # fmt: skip
        return Quantised("int8", len(self.errors), round(max(self.errors) * 1e6))


def _together(matrix: Array) -> Array:
    """The largest sum of one sign of four weights that meet in 16 bits, for each row: [N, 1]."""
    import numpy as np

    eights = np.pad(matrix, ((0, 0), (0, -matrix.shape[1] % 8))).reshape(len(matrix), -1, 2, 2, 2)
    signs = [np.maximum(sign * eights, 0).sum(axis=(2, 4)).max(axis=(1, 2)) for sign in (1, -1)]
    largest: Array = np.maximum(*signs)[:, None]
    return largest


def _folder(folder: Path, to: Path) -> Variant:
    """The same documents, and weights of which the architecture's matrices have 8 bits."""
    weights, matrices = open_folder(folder)
    loss = _Loss()
    made: dict[str, _Tensor] = {}
    for name, info in weights.tensors.items():
        raw = weights.read(name)
        if name not in matrices or info.type not in FLOATS:
            made[name] = info.type, info.shape, raw
            continue
        codes, scale = loss.rounded(dequantise(raw, info.type, info.shape))
        made[name] = "I8", codes.shape, codes.tobytes()
        made[name + SCALE] = "F32", scale.shape, scale.tobytes()
    total = loss.total(folder.name)
    for name, text in small_files(folder).items():
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        (to / name).write_bytes(text.encode())
    _write(to / WEIGHTS, made, weights.metadata)
    return Variant(to, total)


def _write(path: Path, tensors: Mapping[str, _Tensor], metadata: Mapping[str, str]) -> None:
    """A safetensors file, the widest types first: then all are aligned."""
    entries: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    order = sorted(tensors, key=lambda name: (-BITS[tensors[name][0]], name))
    end = 0
    for name in order:
        dtype, shape, data = tensors[name]
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": (end, end + len(data))}
        end += len(data)
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(ALIGNMENT, "little") + text)
        for name in order:
            file.write(tensors[name][2])


def _onnx(path: Path, to: Path) -> Variant:
    """A file of the same graph, each large constant of a product behind a DequantizeLinear."""
    import onnx

    open_onnx(path)  # says what is wrong with it in our terms
    model = onnx.load(path)
    opset = max((each.version for each in model.opset_import if not each.domain), default=1)
    if opset < OPSET:
        raise UnsupportedError("a model to quantise", got=f"opset {opset}", need=str(OPSET),
                               fix="convert it with onnx.version_converter")  # fmt: skip
    loss, graph = _Loss(), model.graph
    nodes: list[Any] = []
    wanted = _matrices(graph)
    for tensor in [each for each in graph.initializer if each.name in wanted]:
        made, initializers = _dequantised(tensor, wanted[tensor.name], loss)
        nodes += made
        graph.initializer.remove(tensor)
        graph.initializer.extend(initializers)
    total = loss.total(path.name)
    nodes += graph.node
    del graph.node[:]
    graph.node.extend(nodes)
    if model.ByteSize() > MOST_NBYTES:
        raise UnsupportedError("a model to quantise", got=f"{model.ByteSize()} bytes in 8 bits",
                               need=f"at most {MOST_NBYTES}")  # fmt: skip
    onnx.save(model, to)
    return Variant(to, total)


def _matrices(graph: Any) -> dict[str, bool]:
    """The initializers that are nothing but right sides of products, and whether as [N, K]."""
    from onnx import TensorProto

    uses: dict[str, list[bool | None]] = {each.name: [None] for each in graph.output}
    for node in _all_nodes(graph):
        product = node.op_type in ("MatMul", "Gemm") and not node.domain
        turned = any(each.name == "transB" and each.i for each in node.attribute)
        for place, name in enumerate(node.input):
            uses.setdefault(name, []).append(turned if product and place == 1 else None)
    given = {each.name for each in graph.input}
    return {
        tensor.name: bool(uses[tensor.name][0])
        for tensor in graph.initializer
        if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) == 2
        and min(tensor.dims) >= SMALLEST and tensor.name not in given
        and set(uses.get(tensor.name, [None])) in ({True}, {False})
    }  # fmt: skip


def _all_nodes(graph: Any) -> Iterator[Any]:
    """The nodes of a graph and of the graphs inside of it."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _all_nodes(inner)


def _dequantised(tensor: Any, by_row: bool, loss: _Loss) -> tuple[list[Any], list[Any]]:
    """Nodes that make a matrix of its codes [N, K] and scales [N], and these."""
    from onnx import helper, numpy_helper

    name, matrix = tensor.name, numpy_helper.to_array(tensor)
    codes, scale = loss.rounded(matrix if by_row else matrix.T)
    rows = name if by_row else f"{name}_rows"
    inputs = [f"{name}_quantized", f"{name}{SCALE}"]
    nodes = [helper.make_node("DequantizeLinear", inputs, [rows], axis=0)]
    if not by_row:
        nodes.append(helper.make_node("Transpose", [rows], [name], perm=(1, 0)))
    arrays = (codes, scale.reshape(-1))
    return nodes, [
        numpy_helper.from_array(each, key) for key, each in zip(inputs, arrays, strict=True)
    ]
