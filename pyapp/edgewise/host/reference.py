"""A device for machines without a GPU: the NumPy reference behind the executor's protocol.

Slow and exact. Its plan is a graph in text form (`targets.reference_plan`), run as it is; a program
of it fixes some of the graph's symbols. Inputs and outputs are bytes, as on any device.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from importlib.util import find_spec
from math import prod
from typing import TYPE_CHECKING, Any

from ..dims import bound, evaluate
from ..dtypes import PLAIN
from ..errors import FormatError, InputError, NoDeviceError
from ..formats.blocks import dequantise, split
from ..graph.graph import Constant, Value
from ..targets.device import DeviceFacts
from ..targets.reference_plan import Place, ReferencePlan
from .base import Executable, GenerateRequest, Weights, reading
from .held import Held
from .segments import Read, SegmentReader

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

FACTS = DeviceFacts(
    target="reference",
    name="NumPy reference",
    features=frozenset(),
    limits={},
    subgroup_min=0,
    subgroup_max=0,
    fallback=True,
)
DRAW = 4  # where a random number goes in `settings`; see the operator `sample`


def reference_device(read: Read) -> ReferenceDevice:
    """The reference. Raises NoDeviceError where NumPy is not loaded."""
    if find_spec("numpy") is None:
        raise NoDeviceError("the reference", got="no NumPy", need="NumPy",
                            fix="load the package numpy first")  # fmt: skip
    return ReferenceDevice(read)


class ReferenceDevice:
    """The CPU, by NumPy. `read` gives the bytes of an object of the store by its hash."""

    facts = FACTS

    def __init__(self, read: Read) -> None:
        self._read = read

    async def load(
        self,
        plan: str,
        weights: Weights,
        on_progress: Callable[[int, int], None],
        share: Sequence[Executable] = (),
    ) -> ReferenceExecutable:
        """Read the plan's tensors that `share` lacks into memory. Raises StoreError."""
        parsed = ReferencePlan.from_json(plan)
        reader = SegmentReader(self._read, weights)
        raw: Held[bytes] = Held()
        others = [each.raw for each in share if isinstance(each, ReferenceExecutable)]
        missing = sorted(
            (place.offset, name, place)
            for name, place in parsed.tensors.items()
            if not raw.share(name, place.nbytes, others)
        )
        total = sum(place.nbytes for _, _, place in missing)
        done = 0
        try:
            for _, name, place in missing:
                pieces = [bytes(p) async for p in reader.range(place.offset, place.nbytes)]
                raw.add(name, place.nbytes, b"".join(pieces))
                done += place.nbytes
                on_progress(done, total)
            return ReferenceExecutable(parsed, raw)
        except BaseException:
            raw.close()
            raise

    async def close(self) -> None:
        """Nothing is held."""


class ReferenceExecutable:
    """One graph with its weights, inputs and states in memory. `raw`: the weights as stored."""

    def __init__(self, plan: ReferencePlan, raw: Held[bytes]) -> None:
        from ..targets.reference import Reference

        self._plan = plan
        self._graph = graph = plan.graph
        self._reference = Reference(graph, _Constants(plan.tensors, raw))
        self._states = {name: bytes(self._most(name)) for name in graph.states}
        self._inputs = {name: bytes(self._most(name)) for name in graph.inputs}
        self._outputs: dict[str, bytes] = {}
        self._cancelled = False
        self.raw = raw
        self.peak_nbytes = self.nbytes

    @property
    def nbytes(self) -> int:
        """What the graph itself takes: how much NumPy takes while it runs is NumPy's affair."""
        values = (*self._states, *self._inputs)
        return self.raw.nbytes + sum(map(self._most, values))

    async def write(self, name: str, data: bytes) -> None:
        """An input or a state by its public name; an input may be shorter than its bound."""
        places = self._inputs if name in self._inputs else self._states
        if name not in places:
            known = sorted({*self._states, *self._inputs})
            raise InputError("no such input or state", got=repr(name), need=str(known))
        if len(data) > self._most(name):
            raise InputError(f"input '{name}'", got=f"{len(data)} bytes",
                             need=f"at most {self._most(name)}")  # fmt: skip
        places[name] = bytes(data)

    async def read(self, name: str, nbytes: int | None = None) -> bytes:
        """The bytes of an input, a state, or an output of the last run; always all."""
        for places in (self._inputs, self._states, self._outputs):
            if name in places:
                return places[name]
        raise InputError("nothing to read", got=repr(name), need="a state, input or output")

    async def clear(self, name: str) -> None:
        """Zero a state."""
        self._states[name] = bytes(self._most(name))

    async def run(self, program: str, bindings: Mapping[str, int]) -> None:
        """Run a program of the plan on the inputs and states as they are."""
        values = {**bindings, **self._plan.programs[program]}
        inputs = {name: self._array(name, self._inputs[name], values) for name in self._inputs}
        states = {name: self._array(name, self._states[name], values) for name in self._states}
        if sys.platform == "emscripten":  # no threads there
            outputs, after = self._reference.run(inputs, states, values)
        else:
            outputs, after = await asyncio.to_thread(self._reference.run, inputs, states, values)
        named = self._graph.outputs
        self._outputs = {name: self._bytes(named[name], array) for name, array in outputs.items()}
        self._states = {name: self._bytes(name, array) for name, array in after.items()}
        for output, name in self._plan.feedback.items():
            made = self._outputs[output]
            self._inputs[name] = made + self._inputs[name][len(made) :]

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[list[int], None]:
        """New tokens, one at a time: on this device nothing is gained by more in flight."""
        self._cancelled = False
        past, most = request.past, self._graph.symbols["seq"]
        for at in range(0, len(request.tokens), most):
            chunk = request.tokens[at : at + most]
            self._inputs["tokens"] = b"".join(t.to_bytes(4, "little") for t in chunk)
            bindings = {"seq": len(chunk), "past": past}
            await self._step(reading(len(chunk)), bindings, request.uniforms[0])
            past += len(chunk)
            if self._cancelled:
                return
        for made in range(1, request.max_new_tokens + 1):
            token = int.from_bytes(self._outputs["token"], "little")
            yield [token]
            if token in request.stop_ids or self._cancelled or made == request.max_new_tokens:
                return
            await self._step("decode", {"past": past}, request.uniforms[made])
            past += 1

    def cancel(self) -> None:
        """The running `generate` ends after its step."""
        self._cancelled = True

    async def close(self) -> None:
        """Let the memory go that no other plan uses."""
        self.raw.close()
        self._states.clear()
        self._inputs.clear()
        self._outputs.clear()

    async def _step(self, program: str, bindings: Mapping[str, int], uniform: float) -> None:
        import numpy as np

        settings = np.frombuffer(self._inputs["settings"], np.float32).copy()
        settings[DRAW] = uniform
        self._inputs["settings"] = settings.tobytes()
        await self.run(program, bindings)

    def _array(self, name: str, data: bytes, bindings: Mapping[str, int]) -> Array:
        """The first elements of `data`, as many as the value's shape asks for."""
        from ..arrays import decode

        value = self._graph.values[name]
        shape = tuple(evaluate(dim, bindings) for dim in value.shape)
        nbytes = value.dtype.nbytes(prod(shape))
        if len(data) < nbytes:
            raise InputError(f"input '{name}'", got=f"{len(data)} bytes",
                             need=f"{nbytes} for the shape {shape}")  # fmt: skip
        return decode(data[:nbytes], value.dtype, prod(shape)).reshape(shape)

    def _bytes(self, name: str, array: Array) -> bytes:
        from ..arrays import encode

        return encode(array, self._graph.values[name].dtype)

    def _most(self, name: str) -> int:
        value: Value = self._graph.values[name]
        return value.dtype.nbytes(prod(bound(dim) for dim in value.shape))


class _Constants:
    """Arrays of a graph's constants, from the tensors' bytes."""

    def __init__(self, tensors: Mapping[str, Place], raw: Held[bytes]) -> None:
        self._tensors, self._raw = tensors, raw
        self._split: tuple[str, Any] = ("", None)  # a tensor's parts are asked for in a row

    def __call__(self, constant: Constant) -> Array:
        source = constant.source
        assert source is not None, f"{constant.value.name!r} is inline"
        place, raw = self._tensors[source.tensor], self._raw[source.tensor]
        if source.part == "values":
            return _values(place, raw)
        if self._split[0] != source.tensor:
            self._split = source.tensor, split(raw, place.type, place.shape)
        part: Array = self._split[1][("codes", "scale", "minimum").index(source.part)]
        return part


def _values(place: Place, raw: bytes) -> Array:
    from ..arrays import decode

    dtype = PLAIN.get(place.type)
    if dtype is None:
        values: Array = dequantise(raw, place.type, place.shape)
        return values
    need = dtype.nbytes(prod(place.shape))
    if len(raw) != need:
        raise FormatError(f"{place.type} tensor of shape {list(place.shape)}",
                          got=f"{len(raw)} bytes", need=f"{need} bytes")  # fmt: skip
    return decode(raw, dtype, prod(place.shape)).reshape(place.shape)
