"""An ONNX model on the reference target and in onnxruntime, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgewise.arrays import decode, numpy_name
from edgewise.formats.onnx import OnnxModel
from edgewise.formats.onnx_check import tensors_of
from edgewise.formats.onnx_read import parse
from edgewise.graph.graph import Constant
from edgewise.importers.onnx import Imported, NeedsValues, import_onnx
from edgewise.importers.onnx.arrays import NUMPY
from edgewise.importers.onnx.fold import ints
from edgewise.targets.reference import run as run_reference

Array = NDArray[Any]
Arrays = Mapping[str, Array]


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Arrays,
    outputs: Sequence[str],
    constants: Arrays | None = None,
    *,
    opset: int = 21,
) -> onnx.ModelProto:
    """A model of `nodes` that takes arrays like `inputs`; the `constants` are its initializers."""
    given = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for name, array in inputs.items()
    ]
    made = [onnx.ValueInfoProto(name=name) for name in outputs]
    held = [onnx.numpy_helper.from_array(array, name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(nodes, "test", given, made, held)
    domains = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=domains, ir_version=10)


def imported(model: OnnxModel, inputs: Arrays, file: bytes) -> tuple[Imported, set[str]]:
    """The graph for these inputs, and the names of those whose values it holds."""
    shapes = {name: array.shape for name, array in inputs.items()}
    values: dict[str, Array] = {}
    while True:
        try:
            return import_onnx(model, shapes, values), {*values} & {*inputs}
        except NeedsValues as missing:
            names = missing.names
        assert not names <= values.keys(), f"{names=} asked for again"
        for tensor in tensors_of(model):
            if tensor.key in names:
                raw = file[tensor.offset : tensor.offset + tensor.nbytes]
                values[tensor.key] = np.frombuffer(raw, NUMPY[tensor.dtype]).reshape(tensor.shape)
        values |= {name: inputs[name] for name in names if name in inputs}


def ours(proto: onnx.ModelProto, inputs: Arrays) -> list[Array]:
    """The model's outputs from the reference target."""
    file = proto.SerializeToString()
    found, held = imported(parse(file), inputs, file)

    def stored(constant: Constant) -> Array:
        assert constant.source is not None
        weight = found.tensors[constant.source.tensor]
        assert weight.location == ""
        raw = file[weight.offset : weight.offset + weight.nbytes]
        value, shape = constant.value, ints(constant.value)
        return decode(raw, value.dtype, prod(shape)).reshape(shape)

    given = {
        port.name: inputs[port.name].astype(numpy_name(port.dtype))
        for port in found.inputs
        if port.name not in held
    }
    results, _ = run_reference(found.graph, given, {}, stored, {})
    return [results[port.name] for port in found.outputs]


def theirs(proto: onnx.ModelProto | Path, inputs: Arrays) -> list[Array]:
    """The model's outputs from onnxruntime's CPU provider."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    file = str(proto) if isinstance(proto, Path) else proto.SerializeToString()
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return list(session.run(None, dict(inputs)))


def check(proto: onnx.ModelProto, inputs: Arrays, *, atol: float) -> None:
    """Assert that both agree: within `atol` of the largest element, integers exactly."""
    for place, (mine, official) in enumerate(
        zip(ours(proto, inputs), theirs(proto, inputs), strict=True)
    ):
        assert mine.shape == official.shape, f"output {place}"
        if official.dtype.kind in "iub":
            np.testing.assert_array_equal(mine.astype(official.dtype), official, f"output {place}")
        else:
            scale = max(1.0, float(np.abs(official).max(initial=0)))
            np.testing.assert_allclose(
                mine.astype(np.float64), official, rtol=0, atol=atol * scale,
                err_msg=f"output {place}",
            )  # fmt: skip


def node(op_type: str, inputs: str, outputs: str, domain: str = "", **attrs: Any) -> onnx.NodeProto:
    """A node of names in one string each; `-` is an absent one."""
    given, made = (["" if name == "-" else name for name in text.split()]
                   for text in (inputs, outputs))  # fmt: skip
    return helper.make_node(op_type, given, made, domain=domain, **attrs)


__all__ = ["Array", "Arrays", "TensorProto", "check", "model", "node", "ours", "theirs"]
