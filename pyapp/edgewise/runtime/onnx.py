"""An ONNX model, opened: it takes arrays of any shapes that its graph takes.

A graph is built, compiled and loaded for each set of input shapes, and kept for the next time; they
share the weights, in memory and, but for WebNN's, on the device. Where shapes inside depend on an
input's values (a mask, a target shape), the graph is built for these values too. NumPy is needed.
"""

from __future__ import annotations

import asyncio
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from ..arrays import numpy_name
from ..errors import FormatError, InputError, UnsupportedError
from ..formats.onnx import OnnxGraph, OnnxModel, OnnxTensor
from ..host.base import Device, Host, WeightBytes, Weights
from ..importers.onnx import (
    Imported,
    NeedsValues,
    Port,
    check_operators,
    import_onnx,
)
from ..importers.onnx.arrays import DTYPES, NUMPY, read
from ..targets.reference_plan import Place
from . import arrays
from .model import Model, Target

if TYPE_CHECKING:
    import numpy as np

    Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Shapes: TypeAlias = tuple[tuple[int, ...], ...]

# Loaded graphs: what is asked for in turn, such as the lengths of a few batches.
KEPT = 8
KEPT_NBYTES = 512 << 20


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a model one after the other: where each begins in `weights`.

    `data` has the bytes of a file, where the values of its tensors may be asked for.
    """

    weights: Weights
    starts: Mapping[str, int]
    data: Mapping[str, bytes | memoryview]

    @classmethod
    def joined(cls, files: Mapping[str, bytes | memoryview]) -> Self:
        """Files in memory; `""` is the model's own."""
        starts, end = {}, 0
        for location, data in files.items():
            starts[location] = end
            end += len(data)
        parts = list(files.values())
        whole = bytes(parts[0]) if len(parts) == 1 else b"".join(parts)
        return cls(WeightBytes(whole), starts, files)


@dataclass(frozen=True, slots=True)
class Specialised:
    """The model for one set of shapes, loaded."""

    imported: Imported
    model: Model


class OnnxSession:
    """An ONNX model on one device. Make one with `open`; `close` frees what it holds."""

    def __init__(self, host: Host, onnx: OnnxModel, files: Files, device: Device) -> None:
        self.onnx, self.files = onnx, files
        self._host, self._device = host, device
        self._loaded: OrderedDict[object, Specialised] = OrderedDict()
        self._needed: dict[Shapes, frozenset[str]] = {}
        self._inputs = _inputs(onnx.graph)
        self._stored = {tensor.key: tensor for tensor in _tensors(onnx.graph)}
        self._owned = False
        self.running = AsyncExitStack()  # ends with the session: what keeps its weights here
        self._one_at_a_time = asyncio.Lock()

    @classmethod
    async def open(
        cls,
        host: Host,
        onnx: OnnxModel,
        files: Files,
        *,
        target: Target = "auto",
        device: Device | None = None,
    ) -> Self:
        """Open `onnx` on a device; `close` leaves one open that is given.

        Raises UnsupportedError that names every operator that cannot be done, NoDeviceError.
        """
        check_operators(onnx)
        opened = device or await host.open_device(None if target == "auto" else target)
        session = cls(host, onnx, files, opened)
        session._owned = device is None
        return session

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the arrays that `run` takes, in the model's order."""
        return tuple(self._inputs)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the arrays that `run` gives, in the model's order."""
        return tuple(each.name for each in self.onnx.graph.outputs)

    @property
    def latest(self) -> Specialised | None:
        """The graph that ran last."""
        return next(reversed(self._loaded.values()), None)

    async def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Run once: arrays by name in ONNX's data types, as near as NumPy has them.

        Raises InputError, ShapeError, DTypeError for arrays that the model does not take,
        UnsupportedError and FormatError when the graph for their shapes cannot be built.
        """
        arrays.check_names(f"inputs of '{self.onnx.graph.name}'", inputs, self.inputs)
        given = {name: _array(name, inputs[name], type) for name, type in self._inputs.items()}
        async with self._one_at_a_time:
            ready = await self.specialise(given)
            fed = {port.name: given[port.name] for port in ready.imported.inputs}
            made = await ready.model.run(fed)
        return {port.name: _public(made[port.name], port) for port in ready.imported.outputs}

    async def specialise(self, given: Mapping[str, Array]) -> Specialised:
        """The loaded graph for the shapes of `given`, and for its values where shapes need them."""
        shapes = tuple(array.shape for array in given.values())
        key = self._key(shapes, given)
        if key not in self._loaded:
            imported = self._import(shapes, given)
            key = self._key(shapes, given)
            tensors = {
                name: Place(w.type, w.shape, w.offset + self.files.starts[w.location], w.nbytes)
                for name, w in imported.tensors.items()
            }
            model = await Model.load(self._host, imported.graph, tensors, self.files.weights,
                                     device=self._device, share=self._models())  # fmt: skip
            self._loaded[key] = Specialised(imported, model)
        self._loaded.move_to_end(key)
        while len(self._loaded) > 1 and self._over():
            _, oldest = self._loaded.popitem(last=False)
            await oldest.model.close()
        return self._loaded[key]

    def _over(self) -> bool:
        held = sum(model.nbytes for model in self._models())
        return len(self._loaded) > KEPT or held > KEPT_NBYTES

    def _models(self) -> list[Model]:
        return [each.model for each in self._loaded.values()]

    async def close(self) -> None:
        """Free the graphs and the device."""
        async with self.running:
            for each in self._loaded.values():
                await each.model.close()
            self._loaded.clear()
            if self._owned:
                await self._device.close()

    def _key(self, shapes: Shapes, given: Mapping[str, Array]) -> object:
        needed = sorted(self._needed.get(shapes, frozenset()) & given.keys())
        return shapes, tuple((name, given[name].tobytes()) for name in needed)

    def _import(self, shapes: Shapes, given: Mapping[str, Array]) -> Imported:
        by_name = dict(zip(given, shapes, strict=True))
        needed = self._needed.get(shapes, frozenset())
        while True:
            values = {name: given[name] if name in given else self._read(name) for name in needed}
            try:
                imported = import_onnx(self.onnx, by_name, values)
            except NeedsValues as missing:
                if missing.names <= needed:
                    raise FormatError(
                        f"graph {self.onnx.graph.name!r}", got="a shape that no input gives"
                    ) from None
                needed = needed | missing.names
            else:
                self._needed[shapes] = needed
                return imported

    def _read(self, key: str) -> Array:
        """The values of a stored tensor."""
        tensor = self._stored[key]
        data = self.files.data.get(tensor.location or "")
        if data is None:
            raise UnsupportedError(
                f"tensor {tensor.name!r} of a packed model", got="shapes that depend on its values",
                need="values that the manifest's structure holds", fix="open the ONNX file itself",
            )  # fmt: skip
        part = bytes(data[tensor.offset : tensor.offset + tensor.nbytes])
        return read(replace(tensor, data=part, location=None))


def _inputs(graph: OnnxGraph) -> dict[str, str]:
    """Types of what a caller gives: in old models, inputs may have an initializer."""
    constant = {tensor.name for tensor in graph.initializers}
    return {each.name: each.dtype or "" for each in graph.inputs if each.name not in constant}


def _tensors(graph: OnnxGraph) -> Iterator[OnnxTensor]:
    """Every tensor that lies in a file, those of branches and bodies included."""
    yield from (tensor for tensor in graph.initializers if tensor.location is not None)
    for node in graph.nodes:
        for attribute in node.attributes.values():
            for each in attribute if isinstance(attribute, tuple) else (attribute,):
                if isinstance(each, OnnxGraph):
                    yield from _tensors(each)
                elif isinstance(each, OnnxTensor) and each.location is not None:
                    yield each


def _array(name: str, given: Any, type: str) -> Array:
    """`given` as the graph takes it: WebNN has no booleans, float64 or 16-bit integers."""
    import numpy as np

    array = np.asarray(given)
    want = DTYPES.get(type)
    if want is None:
        raise InputError(f"input {name!r}", got=f"ONNX type {type}", need="a tensor of numbers")
    exact = NUMPY.get(type)
    if exact is not None and type != "BFLOAT16" and array.dtype != exact:
        raise InputError(f"input {name!r}", got=f"an array of {array.dtype}", need=exact,
                         fix=f"pass x.astype('{exact}')")  # fmt: skip
    return array.astype(numpy_name(want))


def _public(array: Array, port: Port) -> Array:
    """An output in ONNX's type, or in ours where only `ml_dtypes` has ONNX's."""
    if port.type in ("BFLOAT16", "INT4", "UINT4"):
        extra = sys.modules.get("ml_dtypes")
        if extra is None:
            return array
        made: Array = array.astype(getattr(extra, port.type.lower()))
        return made
    return array.astype(NUMPY[port.type], copy=False)
