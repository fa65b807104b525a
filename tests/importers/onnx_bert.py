"""An encoder in ONNX that keeps its weights as PyTorch has them: the bytes of its safetensors file.

Matrices are [out, in] and read through a Transpose; one of each layer by a Gemm. What is stored in
float16 is cast where it is used. `of_tiny` builds the graph of a TinyBert, `of_minilm` takes the
exported one of all-MiniLM-L6-v2; `save` says where the bytes go.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.importers.tiny_bert import TinyBert

MINILM = Path(__file__).resolve().parents[1] / "data" / "minilm.onnx"


def save(model: onnx.ModelProto, path: Path, *, inside: bool) -> Path:
    """Writes the model, its weights in the file itself or beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path, save_as_external_data=not inside, location=f"{path.name}.data",
              size_threshold=0)  # fmt: skip
    return path


def of_minilm(folder: Path) -> onnx.ModelProto:
    """all-MiniLM-L6-v2 in float16, from the folder with its safetensors file."""
    model = onnx.load(MINILM, load_external_data=False)
    outside = [each for each in model.graph.initializer if each.external_data]
    with (folder / "model.safetensors").open("rb") as file:
        casts = [_halved(tensor, file) for tensor in outside]
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def _halved(tensor: TensorProto, file: BinaryIO) -> onnx.NodeProto:
    """Makes a tensor one of float16; the node that gives its values under its old name."""
    place = {each.key: each.value for each in tensor.external_data}
    file.seek(int(place["offset"]))
    whole = np.frombuffer(file.read(int(place["length"])), np.float32)
    name, half = tensor.name, whole.reshape(tuple(tensor.dims)).astype(np.float16)
    tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
    return helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT)


def of_tiny(tiny: TinyBert, dtype: str) -> onnx.ModelProto:
    """A TinyBert of mean pooling, its pooler as a second output."""
    return _Tiny(tiny, dtype).model()


class _Tiny:
    """Nodes as they are made, and where the file's weights go."""

    def __init__(self, tiny: TinyBert, dtype: str) -> None:
        self.tiny, self.count = tiny, 0
        self.nodes: list[onnx.NodeProto] = []
        self.held = {name: array.astype(dtype) for name, array in tiny.weights().items()}
        self.small: dict[str, Any] = {}

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        self.count += 1
        out = f"v{self.count}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    def literal(self, value: Any) -> str:
        name = f"c{len(self.small)}"
        self.small[name] = np.array(value)
        return name

    def weight(self, name: str) -> str:
        return self.op("Cast", name, to=TensorProto.FLOAT)

    def dense(self, name: str, x: str) -> str:
        turned = self.op("Transpose", self.weight(f"{name}.weight"), perm=[1, 0])
        return self.op("Add", self.op("MatMul", x, turned), self.weight(f"{name}.bias"))

    def norm(self, name: str, x: str) -> str:
        scale, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.op("LayerNormalization", x, scale, bias, epsilon=1e-12)

    def heads(self, name: str, x: str, order: list[int]) -> str:
        heads = self.tiny.heads
        shape = self.literal([0, 0, heads, self.tiny.hidden // heads])
        return self.op("Transpose", self.op("Reshape", self.dense(name, x), shape), perm=order)

    def layer(self, name: str, x: str, penalty: str) -> str:
        own = f"{name}.attention.self"
        q, v = (self.heads(f"{own}.{each}", x, [0, 2, 1, 3]) for each in ("query", "value"))
        k = self.heads(f"{own}.key", x, [0, 2, 3, 1])
        scale = self.literal(np.float32((self.tiny.hidden // self.tiny.heads) ** -0.5))
        scores = self.op("Add", self.op("Mul", self.op("MatMul", q, k), scale), penalty)
        mixed = self.op("MatMul", self.op("Softmax", scores, axis=-1), v)
        flat = self.op("Reshape", self.op("Transpose", mixed, perm=[0, 2, 1, 3]),
                       self.literal([0, 0, self.tiny.hidden]))  # fmt: skip
        out = self.dense(f"{name}.attention.output.dense", flat)
        x = self.norm(f"{name}.attention.output.LayerNorm", self.op("Add", out, x))
        wide = self.op("Gelu", self.dense(f"{name}.intermediate.dense", x))
        out = self.dense(f"{name}.output.dense", wide)
        return self.norm(f"{name}.output.LayerNorm", self.op("Add", out, x))

    def model(self) -> onnx.ModelProto:
        kept = self.op("Cast", "attention_mask", to=TensorProto.FLOAT)
        gone = self.op("Sub", self.literal(np.float32(1)), kept)
        penalty = self.op("Unsqueeze", self.op("Mul", gone, self.literal(np.float32(-1e9))),
                          self.literal([1, 2]))  # fmt: skip
        table = "embeddings.{}_embeddings.weight".format
        words = self.op("Gather", self.weight(table("word")), "input_ids")
        kinds = self.op("Gather", self.weight(table("token_type")), "token_type_ids")
        length = self.op("Shape", "input_ids", start=1, end=2)
        zero, one = self.literal([0]), self.literal([1])
        places = self.op("Slice", self.weight(table("position")), zero, length, zero)
        x = self.norm("embeddings.LayerNorm",
                      self.op("Add", self.op("Add", words, kinds), places))  # fmt: skip
        for index in range(self.tiny.layers):
            x = self.layer(f"encoder.layer.{index}", x, penalty)
        column = self.op("Unsqueeze", kept, self.literal([2]))
        total = self.op("ReduceSum", self.op("Mul", x, column), one, keepdims=0)
        mean = self.op("Div", total, self.op("ReduceSum", column, one, keepdims=0))
        size = self.op("ReduceL2", mean, one)
        first = self.op("Gather", x, self.literal(0), axis=1)
        pooled = self.op("Gemm", first, self.weight("pooler.dense.weight"),
                         self.weight("pooler.dense.bias"), transB=1)  # fmt: skip
        outputs = {self.op("Div", mean, size): "sentence_embedding",
                   self.op("Tanh", pooled): "pooler_output"}  # fmt: skip
        for made, name in outputs.items():
            self.nodes.append(helper.make_node("Identity", [made], [name]))
        return self.proto(list(outputs.values()))

    def proto(self, outputs: list[str]) -> onnx.ModelProto:
        shape = ["batch", "seq"]
        inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, shape)
                  for name in ("input_ids", "attention_mask", "token_type_ids")]  # fmt: skip
        made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", self.tiny.hidden])
                for name in outputs]  # fmt: skip
        held = [numpy_helper.from_array(array, name)
                for name, array in (self.held | self.small).items()]  # fmt: skip
        graph = helper.make_graph(self.nodes, "bert", inputs, made, held)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
