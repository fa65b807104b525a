"""A device for machines without a GPU: the NumPy reference behind the executor's protocol.

Slow and exact. Its plan is a graph in text form (`targets.reference_plan`); it has the same
programs as any plan: `prefill` reads the input `tokens`, `decode` the token made last.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..dims import bound, evaluate
from ..dtypes import DType
from ..errors import InputError
from ..formats.blocks import dequantise, split
from ..graph.graph import Constant
from ..targets.device import DeviceFacts
from ..targets.reference import Reference
from ..targets.reference_plan import Place, ReferencePlan
from .base import GenerateRequest, WeightFile
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


class ReferenceDevice:
    """The CPU, by NumPy. `read` gives the bytes of an object of the store by its hash."""

    facts = FACTS

    def __init__(self, read: Read) -> None:
        self._read = read

    async def load(
        self, plan: str, weights: WeightFile, on_progress: Callable[[int, int], None]
    ) -> ReferenceExecutable:
        """Read the plan's tensors into memory. Raises StoreError."""
        parsed = ReferencePlan.from_json(plan)
        reader = SegmentReader(self._read, weights)
        total = sum(place.nbytes for place in parsed.tensors.values())
        raw: dict[str, bytes] = {}
        done = 0
        for name, place in sorted(parsed.tensors.items(), key=lambda item: item[1].offset):
            pieces = [bytes(p) async for p in reader.range(place.offset, place.nbytes)]
            raw[name] = b"".join(pieces)
            done += place.nbytes
            on_progress(done, total)
        return ReferenceExecutable(parsed, raw)

    async def close(self) -> None:
        """Nothing is held."""


class ReferenceExecutable:
    """One graph with its weights, inputs and states in memory."""

    def __init__(self, plan: ReferencePlan, raw: Mapping[str, bytes]) -> None:
        import numpy as np

        self._graph = graph = plan.graph
        self._reference = Reference(graph, _Constants(plan.tensors, raw))
        self._states: dict[str, Array] = {
            name: np.zeros(self._bounds(name), self._dtype(name)) for name in graph.states
        }
        self._inputs = {name: self._zeros(name) for name in graph.inputs}
        self._outputs: dict[str, Array] = {}
        self._cancelled = False
        self.nbytes = sum(map(len, raw.values())) + sum(s.nbytes for s in self._states.values())

    async def write(self, name: str, data: bytes) -> None:
        """An input or a state by its public name; an input may be shorter than its bound."""
        import numpy as np

        if name in self._states:
            self._states[name] = np.frombuffer(data, self._dtype(name)).reshape(self._bounds(name))
        elif name in self._inputs:
            self._inputs[name] = data
        else:
            known = sorted({*self._states, *self._inputs})
            raise InputError("no such input or state", got=repr(name), need=str(known))

    async def read(self, name: str) -> bytes:
        """The bytes of an input, a state, or an output of the last run."""
        if name in self._inputs:
            return self._inputs[name]
        array = self._states.get(name, self._outputs.get(name))
        if array is None:
            raise InputError("nothing to read", got=repr(name), need="a state, input or output")
        return array.tobytes()

    async def clear(self, name: str) -> None:
        """Zero a state."""
        import numpy as np

        self._states[name] = np.zeros_like(self._states[name])

    async def run(self, program: str, bindings: Mapping[str, int]) -> None:
        """Run `prefill` on the input tokens, or `decode` on the token of the last run."""
        if program == "decode":
            self._inputs["tokens"] = self._outputs["token"].tobytes()
        values = {"seq": 1, **bindings}
        inputs = {name: self._array(name, values) for name in self._graph.inputs}
        outputs, self._states = await asyncio.to_thread(
            self._reference.run, inputs, self._states, values
        )
        self._outputs = outputs

    async def generate(self, request: GenerateRequest) -> AsyncIterator[list[int]]:
        """New tokens, one at a time: on this device nothing is gained by more in flight."""
        self._cancelled = False
        past, most = request.past, self._graph.symbols["seq"]
        for at in range(0, len(request.tokens), most):
            chunk = request.tokens[at : at + most]
            self._inputs["tokens"] = b"".join(t.to_bytes(4, "little") for t in chunk)
            await self._step("prefill", {"seq": len(chunk), "past": past}, request.uniforms[0])
            past += len(chunk)
            if self._cancelled:
                return
        for made in range(1, request.max_new_tokens + 1):
            token = int(self._outputs["token"][0])
            yield [token]
            if token in request.stop_ids or self._cancelled or made == request.max_new_tokens:
                return
            await self._step("decode", {"past": past}, request.uniforms[made])
            past += 1

    def cancel(self) -> None:
        """The running `generate` ends after its step."""
        self._cancelled = True

    async def close(self) -> None:
        """Let the memory go."""
        self._states.clear()
        self._inputs.clear()

    async def _step(self, program: str, bindings: Mapping[str, int], uniform: float) -> None:
        import numpy as np

        settings = np.frombuffer(self._inputs["settings"], np.float32).copy()
        settings[DRAW] = uniform
        self._inputs["settings"] = settings.tobytes()
        await self.run(program, bindings)

    def _array(self, name: str, bindings: Mapping[str, int]) -> Array:
        import numpy as np

        shape = tuple(evaluate(dim, bindings) for dim in self._graph.values[name].shape)
        count = int(np.prod(shape))
        return np.frombuffer(self._inputs[name], self._dtype(name), count).reshape(shape)

    def _zeros(self, name: str) -> bytes:
        dtype: DType = self._graph.values[name].dtype
        count = 1
        for size in self._bounds(name):
            count *= size
        return bytes(dtype.nbytes(count))

    def _bounds(self, name: str) -> tuple[int, ...]:
        return tuple(bound(dim) for dim in self._graph.values[name].shape)

    def _dtype(self, name: str) -> str:
        return self._graph.values[name].dtype.value


class _Constants:
    """Arrays of a graph's constants, from the tensors' bytes."""

    def __init__(self, tensors: Mapping[str, Place], raw: Mapping[str, bytes]) -> None:
        self._tensors, self._raw = tensors, raw
        self._split: tuple[str, Any] = ("", None)  # a tensor's parts are asked for in a row

    def __call__(self, constant: Constant) -> Array:
        source = constant.source
        assert source is not None, f"{constant.value.name!r} is inline"
        place, raw = self._tensors[source.tensor], self._raw[source.tensor]
        if source.part == "values":
            values: Array = dequantise(raw, place.type, place.shape)
            return values
        if self._split[0] != source.tensor:
            self._split = source.tensor, split(raw, place.type, place.shape)
        part: Array = self._split[1][("codes", "scale", "minimum").index(source.part)]
        return part
