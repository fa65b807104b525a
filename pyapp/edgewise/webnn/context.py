"""MLContext: a device with its tensors and graphs, and the order in which work reaches it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from ..dtypes import DType
from ..errors import HostError, InputError, ShapeError
from ..graph.graph import Graph
from ..graph.text import parse_graph
from ..graph.verify import verify
from ..host.base import Device, Host, WeightBytes
from ..runtime.arrays import check_names, from_bytes
from ..runtime.model import Model
from . import data
from .builder import MLGraphBuilder
from .graph import MLGraph
from .limits import support_limits
from .operand import Described, MLOperandDescriptor, MLTensor, described, descriptor

T = TypeVar("T")


class MLContext:
    """Made by `ML.create_context`. Work runs in the order in which it was asked for.

    `dispatch` and `write_tensor` wait where the caller may wait, and are queued where it may not
    (a running event loop); reading waits for what is queued. What fails in the queue is raised by
    the next call that waits.
    """

    def __init__(self, host: Host, device: Device, power_preference: str) -> None:
        self.power_preference = power_preference
        self._host, self._device = host, device
        self._queue: asyncio.Task[None] | None = None
        self._destroyed = False

    @property
    def target(self) -> str:
        """What it runs on: "reference", "webgpu", "wasm" or "webnn"."""
        return self._device.facts.target

    @property
    def accelerated(self) -> bool:
        """Whether the device is a GPU or NPU, and not software that stands in for one."""
        return self.target not in ("reference", "wasm") and not self._device.facts.fallback

    def create_graph_builder(self) -> MLGraphBuilder:
        """A new builder; each builds one graph."""
        return MLGraphBuilder(self)

    def op_support_limits(self) -> dict[str, Any]:
        """Data types and ranks that each operator takes, as `MLOpSupportLimits` has them."""
        return support_limits(self._device.facts)

    async def load_graph_async(self, graph: Graph | str) -> MLGraph:
        """A graph that was built elsewhere, as data or as `MLGraph.to_text()` gave it.

        Raises FormatError, GraphError, UnsupportedError, PlanError.
        """
        self._check()
        if isinstance(graph, str):
            graph = parse_graph(graph)
            verify(graph)
        model = await Model.load(self._host, graph, {}, WeightBytes(b""), device=self._device)
        return MLGraph(self, graph, model)

    def load_graph(self, graph: Graph | str) -> MLGraph:
        """As `load_graph_async`, where the caller may wait."""
        return self._wait(self.load_graph_async(graph), "load_graph_async(...)")

    async def compute_async(
        self, graph: MLGraph, inputs: Mapping[str, Any], outputs: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Run a graph on arrays (or bytes): its outputs by name, in their own data types.

        outputs  arrays that the results are also written into

        Raises InputError, ShapeError, DTypeError for inputs that the graph does not take.
        """
        self._check()
        model = self._own_graph(graph)
        await self._drained()
        made = await model.run(inputs)
        for name, array in (outputs or {}).items():
            if name not in made:
                raise InputError(f"output '{name}'", got="no such output", need=", ".join(made))
            array[...] = made[name]
        return made

    def compute(
        self, graph: MLGraph, inputs: Mapping[str, Any], outputs: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """As `compute_async`, where the caller may wait."""
        return self._wait(self.compute_async(graph, inputs, outputs), "compute_async(...)")

    def create_tensor(
        self,
        shape: Sequence[int] | Described,
        data_type: DType | str = DType.FLOAT32,
        readable: bool = True,
        writable: bool = True,
        exportable_to_gpu: bool = False,
    ) -> MLTensor:
        """A tensor of zeros; `shape` may be a descriptor, as in the specification.

        Readable and writable if not said otherwise, as in pywebnn; in the specification, neither.
        """
        self._check()
        if exportable_to_gpu:
            raise InputError("create_tensor", got="exportable_to_gpu", need="a tensor that is not")
        found = _described(shape, data_type, "create_tensor")
        return MLTensor(self, found, readable=readable, writable=writable)

    async def create_tensor_async(self, *args: Any, **kwargs: Any) -> MLTensor:
        """As `create_tensor`, which does not wait: a promise in the specification."""
        return self.create_tensor(*args, **kwargs)

    def create_constant_tensor(self, given: Described, value: Any) -> MLTensor:
        """A tensor that can be a constant of graphs, and nothing else."""
        self._check()
        found = described(given, "create_constant_tensor")
        tensor = MLTensor(self, found, readable=False, writable=False, constant=True)
        tensor._bytes = data.elements(found, value, "create_constant_tensor")
        return tensor

    def write_tensor(self, tensor: MLTensor, value: Any) -> None:
        """Set a tensor's elements from an array or bytes. Its data is taken at once."""
        self._own_tensor(tensor, "write_tensor")
        if not tensor.writable:
            raise InputError("write_tensor", got=repr(tensor), need="a tensor made writable")
        if getattr(value, "shape", tensor.descriptor.shape) != tensor.descriptor.shape:
            raise ShapeError("write_tensor", got=f"an array of shape {list(value.shape)}",
                             need=str(tensor.descriptor))  # fmt: skip
        raw = data.elements(tensor.descriptor, value, "write_tensor")
        self._later(self._write(tensor, raw))

    async def write_tensor_async(self, tensor: MLTensor, value: Any) -> None:
        """As `write_tensor`, done when it returns."""
        self.write_tensor(tensor, value)
        await self._drained()

    async def read_tensor_async(self, tensor: MLTensor) -> Any:
        """A tensor's elements as an array of its data type; as bytes where NumPy is not loaded."""
        self._own_tensor(tensor, "read_tensor")
        if not tensor.readable:
            raise InputError("read_tensor", got=repr(tensor), need="a tensor made readable")
        await self._drained()
        raw = self._own_tensor(tensor, "read_tensor")
        return from_bytes(tensor.descriptor.data_type, tensor.descriptor.shape, raw)

    def read_tensor(self, tensor: MLTensor) -> Any:
        """As `read_tensor_async`, where the caller may wait."""
        return self._wait(self.read_tensor_async(tensor), "read_tensor_async(...)")

    def dispatch(
        self, graph: MLGraph, inputs: Mapping[str, MLTensor], outputs: Mapping[str, MLTensor]
    ) -> None:
        """Run a graph from tensors into tensors.

        Raises InputError for names, tensors of another context and destroyed ones, and for an
        output tensor that is also an input or another output; ShapeError, DTypeError.
        """
        model = self._own_graph(graph)
        self._check_tensors(graph, inputs, outputs)
        self._later(self._dispatch(model, dict(inputs), dict(outputs)))

    async def dispatch_async(
        self, graph: MLGraph, inputs: Mapping[str, MLTensor], outputs: Mapping[str, MLTensor]
    ) -> None:
        """As `dispatch`, done when it returns."""
        model = self._own_graph(graph)
        self._check_tensors(graph, inputs, outputs)
        await self._drained()
        await self._dispatch(model, dict(inputs), dict(outputs))

    def destroy(self) -> None:
        """Give the device back; its graphs and tensors are gone with it."""
        if not self._destroyed:
            self._later(self._device.close())
            self._destroyed = True

    # how work reaches the device ---------------------------------------------------------------

    def _wait(self, work: Coroutine[Any, Any, T], instead: str) -> T:
        return self._host.wait(work, instead)

    def _later(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do `work` now where the caller may wait, else after what is queued."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self._host.wait(work, "the awaitable variant")
            return
        self._queue = asyncio.ensure_future(_after(self._queue, work))

    async def _drained(self) -> None:
        """Wait for what is queued. Raises what failed in it, once."""
        queue, self._queue = self._queue, None
        if queue is not None:
            await queue

    async def _write(self, tensor: MLTensor, raw: bytes) -> None:
        if tensor._bytes is not None:
            tensor._bytes = raw

    async def _dispatch(
        self, model: Model, inputs: Mapping[str, MLTensor], outputs: Mapping[str, MLTensor]
    ) -> None:
        given = {name: self._own_tensor(t, f"input '{name}'") for name, t in inputs.items()}
        made = await model.run_bytes(given)
        for name, tensor in outputs.items():
            if tensor._bytes is not None:
                tensor._bytes = made[name]

    # what is refused ---------------------------------------------------------------------------

    def _check(self) -> None:
        if self._destroyed:
            raise HostError("the context", got="a destroyed one", need="one that is not",
                            fix="make a new one with create_context")  # fmt: skip

    def _own_graph(self, graph: MLGraph) -> Model:
        self._check()
        if graph._context is not self:
            raise InputError(f"graph '{graph.graph.name}'", got="a graph of another context",
                             need="one of this", fix="load graph.to_text() here")  # fmt: skip
        return graph._loaded()

    def _own_tensor(self, tensor: MLTensor, where: str) -> bytes:
        self._check()
        if tensor._context is not self:
            raise InputError(where, got="a tensor of another context", need="one of this")
        if tensor._bytes is None:
            raise InputError(where, got="a destroyed tensor", need="one that is not")
        return tensor._bytes

    def _constant_bytes(self, tensor: MLTensor) -> bytes:
        raw = self._own_tensor(tensor, "constant")
        if not tensor.constant:
            raise InputError(
                "constant", got=repr(tensor), need="a tensor of create_constant_tensor"
            )
        return raw

    def _check_tensors(
        self, graph: MLGraph, inputs: Mapping[str, MLTensor], outputs: Mapping[str, MLTensor]
    ) -> None:
        data_graph = graph.graph
        check_names("dispatch inputs", inputs, data_graph.inputs)
        check_names("dispatch outputs", outputs, tuple(data_graph.outputs))
        wanted = [(f"input '{n}'", t, data_graph.values[n]) for n, t in inputs.items()]
        wanted += [
            (f"output '{n}'", t, data_graph.values[data_graph.outputs[n]])
            for n, t in outputs.items()
        ]
        for where, tensor, value in wanted:
            self._own_tensor(tensor, where)
            if tensor.constant:
                raise InputError(where, got="a constant tensor", need="one of create_tensor")
            if (value.dtype, value.shape) != (tensor.descriptor.data_type, tensor.descriptor.shape):
                raise ShapeError(where, got=f"a tensor of {tensor.descriptor}", need=str(value))
        places = [id(tensor) for tensor in outputs.values()]
        if len(set(places)) < len(places) or set(places) & {id(t) for t in inputs.values()}:
            raise InputError("dispatch outputs", got="a tensor twice, or one that is an input too",
                             need="a tensor for each output alone")  # fmt: skip


class AsyncMLContext:
    """pywebnn's name for a context whose `dispatch` is awaited; all else is the context's own."""

    def __init__(self, context: MLContext) -> None:
        self._context = context

    async def dispatch(
        self, graph: MLGraph, inputs: Mapping[str, MLTensor], outputs: Mapping[str, MLTensor]
    ) -> None:
        """As `MLContext.dispatch_async`."""
        await self._context.dispatch_async(graph, inputs, outputs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


async def _after(before: asyncio.Task[None] | None, work: Coroutine[Any, Any, Any]) -> None:
    try:
        if before is not None:
            await before
    except BaseException:
        work.close()
        raise
    await work


def _described(
    shape: Sequence[int] | Described, data_type: DType | str, where: str
) -> MLOperandDescriptor:
    if isinstance(shape, MLOperandDescriptor | Mapping):
        return described(shape, where)
    return descriptor(data_type, shape, where)
