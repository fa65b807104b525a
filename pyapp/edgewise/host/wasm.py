"""Runs plans on the CPU in Wasm, through wasmtime: the twin of shims/wasm.js.

It knows no operator: it makes a plan's buffers in one linear memory, repacks weights as their bytes
arrive, writes the steps of each program as records that `run` (shims/wasm/run.c) reads, and loops
over decode steps. Waiting is async: steps run in a thread.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import wasmtime

from ..errors import DeviceLostError, HostError, InputError
from ..plan.plan import Binding, Count, Plan, Step, from_json
from ..targets.device import DeviceFacts
from .arena import Arena
from .base import Executable, GenerateRequest, Weights, reading
from .blocking import in_thread
from .held import Held
from .segments import Read, SegmentReader
from .wasm_threads import (
    MAX_PAGES,
    PAGE,
    STACK_BYTES,
    Helpers,
    Instance,
    load_module,
    reason,
)

STATUS = {1: "a helper thread stopped answering", 2: "a helper thread trapped"}
MAX_THREADS = 16


def wasm_facts(module: str, threads: int) -> DeviceFacts:
    """What a Wasm device says of itself."""
    most = (MAX_PAGES - 1) * PAGE
    return DeviceFacts(
        target="wasm",
        name=f"Wasm, {threads} thread{'s' if threads > 1 else ''}",
        features=frozenset({"simd"} if module == "simd" else {"simd", "relaxed-simd"}),
        limits={"maxBufferSize": most, "maxStorageBufferBindingSize": most, "threads": threads},
        subgroup_min=0,
        subgroup_max=0,
        fallback=False,
    )


class WasmDevice:
    """One memory and the threads on it. `read` gives the bytes of an object by its hash.

    module  "simd", "relaxed" or "threads"; the last alone takes more than one thread
    """

    def __init__(self, read: Read, *, module: str = "threads", threads: int | None = None) -> None:
        if threads is None:
            threads = min(os.cpu_count() or 1, MAX_THREADS) if module == "threads" else 1
        self.facts = wasm_facts(module, threads)
        self.read = read
        code = load_module(module)
        self.instance = Instance(code, None)
        self.lock = threading.Lock()  # one program runs at a time, on all threads
        self._lost: str | None = None
        self._arena = Arena(self.instance.number("__heap_base"), len(self.instance.bytes()))
        stacks = [self.take(STACK_BYTES) + STACK_BYTES for _ in range(threads - 1)]
        self._helpers = Helpers(code, self.instance, stacks)

    def take(self, nbytes: int) -> int:
        """The address of so many bytes. Raises QuotaError."""
        address = self._arena.take(nbytes)
        while address is None:
            self._arena.grow(self.instance.grow(self._arena.lacking(nbytes)))
            address = self._arena.take(nbytes)
        return address

    def give(self, address: int, nbytes: int) -> None:
        """Free them."""
        self._arena.give(address, nbytes)

    def write(self, address: int, data: bytes | memoryview) -> None:
        """Put bytes into the memory."""
        memoryview(self.instance.bytes()).cast("B")[address : address + len(data)] = data

    def bytes(self, address: int, nbytes: int) -> bytes:
        """A copy of bytes of the memory."""
        return bytes(memoryview(self.instance.bytes()).cast("B")[address : address + nbytes])

    def clear(self, address: int, nbytes: int) -> None:
        """Zero bytes of the memory."""
        self.instance.clear(address, nbytes)

    def run(self, steps: int, n: int) -> None:
        """Run records in the memory.

        Raises DeviceLostError when a thread trapped or stopped, and from then on: a step of which
        somebody did a part can't be done again.
        """
        if self._lost is None:
            try:
                status = self.instance.call("run", steps, n)
                found = STATUS[status] if status else None
            except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
                found = f"the first thread trapped: {reason(error)}"
            self._lost = found
        if self._lost is not None:
            raise DeviceLostError(self.facts.name, got=self._lost, need="all threads alive",
                                  fix="open the device again")  # fmt: skip

    async def load(
        self,
        plan: str,
        weights: Weights,
        on_progress: Callable[[int, int], None],
        share: Sequence[Executable] = (),
    ) -> WasmExecutable:
        """Make the plan's buffers and bring the weights that `share` lacks, in order."""
        executable = WasmExecutable(self, from_json(plan))
        try:
            executable.prepare([each for each in share if isinstance(each, WasmExecutable)])
            await executable.upload(weights, on_progress)
        except BaseException:
            await executable.close()
            raise
        return executable

    async def close(self) -> None:
        """Let the threads and the memory go."""
        self._lost = "a device that was closed"
        await in_thread(self._helpers.close)
        self.instance.close()


class _Program(NamedTuple):
    """Records in the memory, and where numbers go that are known when a run begins."""

    address: int
    n: int
    nbytes: int
    patches: list[tuple[int, Count]]


class _Range(NamedTuple):
    address: int
    nbytes: int


class WasmExecutable:
    """One plan, ready to run after `prepare` and `upload`."""

    def __init__(self, device: WasmDevice, plan: Plan) -> None:
        self.plan = plan
        self._device = device
        self._own: list[_Range] = []
        self._held: Held[_Range] = Held()
        self._buffers: list[_Range] = []
        self._brought: set[int] = set()  # buffers of weights that no other plan has
        self._programs: dict[str, _Program] = {}
        self._cancelled = False
        self.peak_nbytes = 0

    @property
    def nbytes(self) -> int:
        """Memory that it holds now, less the weights that another plan holds longer."""
        return sum(each.nbytes for each in self._own) + self._held.nbytes

    def prepare(self, share: Sequence[WasmExecutable]) -> None:
        """Make the buffers and write the programs' records."""
        others = [each._held for each in share]
        for index, buffer in enumerate(self.plan.buffers):
            size = max(buffer.nbytes, 4)
            if buffer.kind == "weights":
                if not self._held.share(buffer.name, size, others):
                    self._held.add(buffer.name, size, self._range(size))
                    self._brought.add(index)
                self._buffers.append(self._held[buffer.name])
            else:
                self._own.append(self._range(size))
                self._buffers.append(self._own[-1])
                if buffer.kind != "staging":
                    self._device.clear(*self._own[-1])
        for name, steps in self.plan.programs.items():
            self._programs[name] = self._record(steps)
        self.peak_nbytes = self.nbytes

    def _range(self, nbytes: int) -> _Range:
        return _Range(self._device.take(nbytes), nbytes)

    def _record(self, steps: Sequence[Step]) -> _Program:
        """Steps as `run` reads them: a record each, then the arguments of all."""
        records, arguments = bytearray(), bytearray()
        patches: list[tuple[int, Count]] = []
        nbytes = sum(16 + 4 * (len(s.bindings) + len(s.numbers)) for s in steps)
        address = self._device.take(nbytes)
        self._own.append(_Range(address, nbytes))
        first = address + 16 * len(steps)
        for step in steps:
            name = self.plan.kernels[step.kernel].name
            try:
                kernel = self._device.instance.kernels[name]
            except KeyError:
                raise HostError(
                    f"kernel '{name}'", got="no such export", need="a kernel of the module",
                    fix="build the modules again, or compile the plan again",
                ) from None  # fmt: skip
            items, grain, _ = step.groups
            at = address + len(records)
            if any(terms for terms, _ in items.factors):
                patches.append((at + 8, items))
            records += struct.pack(
                "<4I", kernel, first + len(arguments), items.of(self.plan.symbols), grain.of({})
            )
            for binding in step.bindings:
                arguments += struct.pack("<I", self._address(binding))
            for number in step.numbers:
                if isinstance(number, Count):
                    patches.append((first + len(arguments), number))
                    number = 0
                arguments += struct.pack("<I", number)
        self._device.write(address, bytes(records + arguments))
        return _Program(address, len(steps), nbytes, patches)

    def _address(self, binding: Binding) -> int:
        return self._buffers[binding.buffer].address + binding.offset

    async def upload(self, weights: Weights, on_progress: Callable[[int, int], None]) -> None:
        """Write each weight's bytes to the staging buffer and run its steps."""
        for to, data in self.plan.inline:
            self._device.write(self._address(to), data)
        staging = next((i for i, b in enumerate(self.plan.buffers) if b.kind == "staging"), None)
        uploads = [w for w in self.plan.weights if self.plan.filled(w) & self._brought]
        total = sum(each.nbytes for each in uploads)
        done = 0
        source = SegmentReader(self._device.read, weights)
        for weight in uploads:
            assert staging is not None, "uploads without a staging buffer"
            at = self._buffers[staging].address
            async for piece in source.range(weight.start, weight.nbytes):
                self._device.write(at, piece)
                at += len(piece)
            program = self._record(weight.steps)
            await in_thread(partial(self._run, program, {}))
            self._free(self._own[-1])
            done += weight.nbytes
            on_progress(done, total)
        if staging is not None:
            self._free(self._buffers[staging])

    def _free(self, each: _Range) -> None:
        self._own.remove(each)
        self._device.give(*each)

    async def write(self, name: str, data: bytes) -> None:
        """An input or a state, by its public name."""
        to = self.plan.values[name]
        if len(data) > to.nbytes:
            raise InputError(
                f"input '{name}'", got=f"{len(data)} bytes", need=f"at most {to.nbytes}"
            )
        self._device.write(self._address(to), data)

    async def read(self, name: str, nbytes: int | None = None) -> bytes:
        """The bytes of an input, output or state, or the first of them."""
        at = self.plan.values[name]
        size = at.nbytes if nbytes is None else min(nbytes, at.nbytes)
        return self._device.bytes(self._address(at), size)

    async def clear(self, name: str) -> None:
        """Zero a state."""
        at = self.plan.values[name]
        self._device.clear(self._address(at), at.nbytes)

    async def run(self, program: str, bindings: Mapping[str, int]) -> None:
        """Run one program once."""
        await in_thread(partial(self._run, self._programs[program], bindings))

    def _run(self, program: _Program, bindings: Mapping[str, int]) -> None:
        with self._device.lock:
            known = {name: bindings.get(name, 1) for name in self.plan.symbols}
            for address, number in program.patches:
                self._device.write(address, struct.pack("<I", number.of(known) & 0xFFFFFFFF))
            self._device.run(program.address, program.n)

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[list[int], None]:
        """New tokens in batches; ends with a stop token, the count asked for, or `cancel`."""
        self._cancelled = False
        past, chunk = request.past, self.plan.symbols["seq"]
        made: list[int] = []
        for at in range(0, len(request.tokens), chunk):
            tokens = request.tokens[at : at + chunk]
            await self.write("tokens", struct.pack(f"<{len(tokens)}i", *tokens))
            bindings = {"seq": len(tokens), "past": past}
            made = [await self._token(reading(len(tokens)), bindings, request, 0)]
            past += len(tokens)
            if self._cancelled:
                return
        for index in range(1, request.max_new_tokens + 1):
            ended = made[-1] in request.stop_ids or index == request.max_new_tokens
            if ended or len(made) == request.batch:
                yield made
                made = [] if not ended else made
            if ended or self._cancelled:
                return
            made.append(await self._token("decode", {"past": past}, request, index))
            past += 1

    async def _token(
        self, program: str, bindings: Mapping[str, int], request: GenerateRequest, index: int
    ) -> int:
        """Run a program whose result is a token, with the random number of that index."""
        for name in self.plan.slot.inputs:
            uniform = struct.pack("<f", request.uniforms[index])
            self._device.write(self._address(self.plan.values[name]) + self.plan.slot.draw, uniform)
        await self.run(program, bindings)
        return int(struct.unpack("<i", await self.read("token", 4))[0])

    def cancel(self) -> None:
        """The running `generate` ends after the step in flight."""
        self._cancelled = True

    async def close(self) -> None:
        """Free the memory that no other plan uses."""
        for each in (*self._own, *self._held.close()):
            self._device.give(*each)
        self._own.clear()
