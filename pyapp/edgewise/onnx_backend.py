"""ONNX's backend interface (onnx.backend.base): `prepare(model, device).run(inputs)`.

    import edgewise.onnx_backend as backend
    outputs = backend.prepare(onnx.load("model.onnx"), "WEBGPU").run([x])

The device names a target: CPU and REFERENCE are NumPy, WEBGPU and GPU the best WebGPU adapter, WASM
the CPU by kernels in Wasm. So `onnx.backend.test`, or anyone's tests, can drive every target that
CPython has. A device is opened once in a process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx
from onnx.backend.base import Backend, BackendRep, namedtupledict

from .errors import InputError, NoDeviceError
from .formats.onnx_read import parse
from .host import current
from .host.base import Device, Host
from .runtime.model import Target
from .runtime.onnx import Files, OnnxSession

TARGETS: dict[str, Target] = {
    "CPU": "reference", "REFERENCE": "reference", "GPU": "webgpu", "WEBGPU": "webgpu",
    "WASM": "wasm", "AUTO": "auto",
}  # fmt: skip
_devices: dict[Target, Device] = {}


class EdgewiseRep(BackendRep):
    """A model on a device."""

    def __init__(self, host: Host, session: OnnxSession) -> None:
        self.session = session
        self._host = host

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Outputs in the model's order. `inputs`: arrays in that order, or by name."""
        names = self.session.inputs
        if isinstance(inputs, Mapping):
            given = dict(inputs)
        else:
            every = inputs if isinstance(inputs, Sequence) else [inputs]
            if len(every) != len(names):
                raise InputError("inputs", got=str(len(every)), need=f"{len(names)}: {names}")
            given = dict(zip(names, every, strict=True))
        made = self._host.wait(self.session.run(given), "await session.run(...)")
        outputs = self.session.outputs
        return namedtupledict("Outputs", outputs)(*(made[name] for name in outputs))


class EdgewiseBackend(Backend):
    """See the module."""

    @classmethod
    def prepare(
        cls,
        model: onnx.ModelProto,
        device: str = "CPU",
        *,
        external: Mapping[str, bytes | memoryview] | None = None,
        **kwargs: Any,
    ) -> EdgewiseRep:
        """Open `model` on `device`.

        external  the files that hold the model's external data, by the names that it has for them

        Raises UnsupportedError that names every operator that cannot be done, InputError for
        another device, NoDeviceError, FormatError.
        """
        host = current.current()
        data = model.SerializeToString()
        files = Files.joined({"": data, **(external or {})})
        opened = OnnxSession.open(host, parse(data), files, device=_device(host, device))
        return EdgewiseRep(host, host.wait(opened, "await OnnxSession.open(...)"))

    @classmethod
    def run_model(
        cls, model: onnx.ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any
    ) -> tuple[Any, ...]:
        """`prepare` and `run` once."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: onnx.NodeProto,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Any = None,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """Run one node on arrays, in the newest version of its domain or `opset_version`."""
        given = list(inputs.values()) if isinstance(inputs, Mapping) else list(inputs)
        names = [name for name in node.input if name]
        values = [
            onnx.helper.make_tensor_value_info(
                name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in zip(names, given, strict=True)
        ]  # fmt: skip
        made = [onnx.ValueInfoProto(name=name) for name in node.output if name]
        graph = onnx.helper.make_graph([node], "node", values, made)
        version = kwargs.pop("opset_version", onnx.defs.onnx_opset_version())
        opsets = [onnx.helper.make_opsetid(node.domain, version)]
        model = onnx.helper.make_model(graph, opset_imports=opsets)
        return cls.run_model(model, given, device, **kwargs)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether the device's target can be opened here."""
        try:
            _device(current.current(), device)
        except (InputError, NoDeviceError):
            return False
        return True


def _device(host: Host, device: str) -> Device:
    name = device.partition(":")[0].upper()
    target = TARGETS.get(name)
    if target is None:
        raise InputError("device", got=device, need=f"one of {', '.join(TARGETS)}")
    if target not in _devices:
        opening = host.open_device(None if target == "auto" else target)
        _devices[target] = host.wait(opening, "await host.open_device(...)")
    return _devices[target]


prepare = EdgewiseBackend.prepare
run_model = EdgewiseBackend.run_model
run_node = EdgewiseBackend.run_node
supports_device = EdgewiseBackend.supports_device
