"""The plan executor over `wgpu`, in CPython: the twin of shims/webgpu.js.

It knows no operator: it makes a plan's buffers and pipelines, repacks weights as their bytes
arrive, and runs steps. Several decode steps are submitted before the first token is read.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import wgpu

from ..errors import DeviceLostError, HostError, InputError, NoDeviceError
from ..plan.plan import SLOT_STRIDE, SLOTS, Plan, Step, from_json
from ..targets.device import DeviceFacts
from .base import Executable, GenerateRequest, Weights, reading
from .blocking import in_thread
from .native_memory import Memory
from .segments import Read, SegmentReader

FEATURES = {"shader-f16": "shader-f16", "subgroups": "subgroup"}  # WebGPU name -> wgpu's


def adapter_facts(adapter: Any) -> DeviceFacts:
    """What a wgpu adapter says of itself, in WebGPU's names."""
    info = adapter.info
    names = frozenset(web for web, native in FEATURES.items() if native in adapter.features)
    limits = {_camel(name): int(value) for name, value in adapter.limits.items()}
    return DeviceFacts(
        target="webgpu",
        name=str(info["device"] or info["description"]),
        features=names,
        limits=limits,
        subgroup_min=int(info.get("stackgroup_min_size", 0)),
        subgroup_max=int(info.get("stackgroup_max_size", 0)),
        fallback=str(info["adapter_type"]).upper() == "CPU",
    )


def _camel(name: str) -> str:
    first, *rest = name.split("-")
    return first + "".join("1D" if word == "1d" else word.capitalize() for word in rest)


class NativeDevice:
    """A wgpu device. `read` gives the bytes of an object of the store by its hash."""

    def __init__(self, read: Read) -> None:
        try:
            adapter = wgpu.gpu.request_adapter_sync(power_preference="high-performance")
        except RuntimeError as exc:
            raise NoDeviceError(
                "WebGPU adapter",
                got=str(exc),
                need="a Vulkan, Metal or D3D12 one",
                fix="install a driver (Mesa's lavapipe counts)",
            ) from exc
        self.facts = adapter_facts(adapter)
        self._read = read
        limits = {
            name: adapter.limits[name]
            for name in (
                "max-buffer-size",
                "max-storage-buffer-binding-size",
                "max-compute-workgroup-storage-size",
                "max-compute-invocations-per-workgroup",
                "max-compute-workgroup-size-x",
            )
        }
        self._device = adapter.request_device_sync(
            required_features=[FEATURES[name] for name in self.facts.features],
            required_limits=limits,
        )

    async def load(
        self,
        plan: str,
        weights: Weights,
        on_progress: Callable[[int, int], None],
        share: Sequence[Executable] = (),
    ) -> NativeExecutable:
        """Make the plan's buffers and bring the weights that `share` lacks, in order."""
        executable = NativeExecutable(self._device, from_json(plan))
        try:
            executable.prepare([each for each in share if isinstance(each, NativeExecutable)])
            await executable.upload(self._read, weights, on_progress)
        except BaseException:
            await executable.close()
            raise
        return executable

    async def close(self) -> None:
        """Let the device go."""
        self._device.destroy()


class NativeExecutable:
    """One plan, ready to run after `prepare` and `upload`."""

    def __init__(self, device: Any, plan: Plan) -> None:
        self._device = device
        self.plan = plan
        self._memory = Memory(device, plan)
        self._small = {name: bytes(nbytes) for name, (_, nbytes) in plan.slot.inputs.items()}
        self._layouts: dict[tuple[str, ...], Any] = {}
        self._cancelled = False

    @property
    def nbytes(self) -> int:
        """Device memory that it holds now."""
        return self._memory.nbytes

    @property
    def peak_nbytes(self) -> int:
        """Device memory that it held while its weights came."""
        return self._memory.peak_nbytes

    def prepare(self, share: Sequence[NativeExecutable]) -> None:
        """Make the buffers, compile the kernels. Raises HostError."""
        device, plan = self._device, self.plan
        self._memory.make([each._memory.weights for each in share])
        self._buffers, self._slots = self._memory.buffers, self._memory.slots
        self._slot_layout = device.create_bind_group_layout(
            entries=[
                {
                    "binding": 0,
                    "visibility": wgpu.ShaderStage.COMPUTE,
                    "buffer": {"type": wgpu.BufferBindingType.uniform, "has_dynamic_offset": True},
                }
            ]
        )
        self._slot_group = device.create_bind_group(
            layout=self._slot_layout,
            entries=[
                {
                    "binding": 0,
                    "resource": {"buffer": self._slots, "offset": 0, "size": plan.slot.nbytes},
                }
            ],
        )
        self._pipelines = [self._pipeline(index) for index in range(len(plan.kernels))]
        self._programs = {
            name: [(step, self._group(step)) for step in steps]
            for name, steps in plan.programs.items()
        }

    def _layout(self, access: tuple[str, ...]) -> Any:
        if access not in self._layouts:
            kinds = wgpu.BufferBindingType
            self._layouts[access] = self._device.create_bind_group_layout(
                entries=[
                    {
                        "binding": i,
                        "visibility": wgpu.ShaderStage.COMPUTE,
                        "buffer": {
                            "type": kinds.read_only_storage if a == "read" else kinds.storage
                        },
                    }
                    for i, a in enumerate(access)
                ]
            )
        return self._layouts[access]

    def _pipeline(self, index: int) -> Any:
        kernel = self.plan.kernels[index]
        layout = self._device.create_pipeline_layout(
            bind_group_layouts=[self._layout(kernel.bindings), self._slot_layout]
        )
        try:
            # wgpu 29 (naga) knows subgroups and refuses the line that enables them.
            code = kernel.code.replace("enable subgroups;\n", "")
            module = self._device.create_shader_module(code=code)
            return self._device.create_compute_pipeline(
                layout=layout,
                compute={
                    "module": module,
                    "entry_point": "main",
                    "constants": dict(kernel.constants),
                },
            )
        except wgpu.GPUError as exc:
            raise HostError(
                f"kernel '{kernel.name}'",
                got=str(exc),
                need="WGSL that compiles",
                where=_numbered(kernel.code),
            ) from exc

    def _group(self, step: Step) -> Any:
        access = self.plan.kernels[step.kernel].bindings
        return self._device.create_bind_group(
            layout=self._layout(access),
            entries=[
                {
                    "binding": i,
                    "resource": {
                        "buffer": self._buffers[b.buffer],
                        "offset": b.offset,
                        "size": b.nbytes,
                    },
                }
                for i, b in enumerate(step.bindings)
            ],
        )

    async def upload(
        self, read: Read, weights: Weights, on_progress: Callable[[int, int], None]
    ) -> None:
        """Write each weight's bytes to the staging buffer and run its steps."""
        for to, data in self.plan.inline:
            self._put(self._buffers[to.buffer], to.offset, data)
        total = sum(weight.nbytes for weight in self._memory.uploads)
        done = 0
        source = SegmentReader(read, weights)
        for weight in self._memory.uploads:
            at = 0
            async for piece in source.range(weight.start, weight.nbytes):
                self._put(self._memory.staging, at, piece)
                at += len(piece)
            encoder = self._device.create_command_encoder()
            self._encode(encoder, [(step, self._group(step)) for step in weight.steps], {}, 0)
            self._device.queue.submit([encoder.finish()])
            done += weight.nbytes
            on_progress(done, total)
        self._memory.finish()

    async def write(self, name: str, data: bytes) -> None:
        """An input or a state, by its public name; small inputs travel with each run."""
        if name in self._small:
            self._small[name] = data + bytes(len(self._small[name]) - len(data))
            return
        to = self.plan.values[name]
        if len(data) > to.nbytes:
            raise InputError(
                f"input '{name}'", got=f"{len(data)} bytes", need=f"at most {to.nbytes}"
            )
        self._put(self._buffers[to.buffer], to.offset, data)

    async def read(self, name: str, nbytes: int | None = None) -> bytes:
        """The bytes of an input, output or state, or the first of them, in whole words."""
        at = self.plan.values[name]
        size = at.nbytes if nbytes is None else min(-(-nbytes // 4) * 4, at.nbytes)
        buffer = self._buffers[at.buffer]
        # in a thread: waiting for the GPU holds no event loop, and wgpu looks for none
        data = await in_thread(lambda: self._device.queue.read_buffer(buffer, at.offset, size))
        return bytes(data)

    async def clear(self, name: str) -> None:
        """Zero a state."""
        at = self.plan.values[name]
        encoder = self._device.create_command_encoder()
        encoder.clear_buffer(self._buffers[at.buffer], at.offset, at.nbytes)
        self._device.queue.submit([encoder.finish()])

    async def run(self, program: str, bindings: Mapping[str, int]) -> None:
        """Run one program once."""
        with _live():
            self._write_slot(0, bindings, None)
            encoder = self._device.create_command_encoder()
            self._encode(encoder, self._programs[program], bindings, 0)
            self._device.queue.submit([encoder.finish()])

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[list[int], None]:
        """New tokens in batches; ends with a stop token, the count asked for, or `cancel`."""
        self._cancelled = False
        past, pending = request.past, deque[tuple[Any, int]]()
        submitted = taken = 0
        chunk = self.plan.symbols["seq"]
        for at in range(0, len(request.tokens), chunk):
            tokens = request.tokens[at : at + chunk]
            await self.write("tokens", struct.pack(f"<{len(tokens)}i", *tokens))
            last = at + chunk >= len(request.tokens)
            bindings = {"seq": len(tokens), "past": past}
            program = reading(len(tokens))
            read = self._submit(program, [(bindings, request.uniforms[0])])
            past += len(tokens)
            if last:
                pending.append((read, 1))
                submitted = 1
            if self._cancelled:
                return
        while pending or submitted < request.max_new_tokens:
            while submitted < request.max_new_tokens and submitted - taken <= request.in_flight:
                n = min(request.batch, request.max_new_tokens - submitted, SLOTS)
                runs = [({"past": past + i}, request.uniforms[submitted + i]) for i in range(n)]
                pending.append((self._submit("decode", runs), n))
                past += n
                submitted += n
            read = pending.popleft()
            tokens_out = await in_thread(partial(_take, read))
            taken += len(tokens_out)
            stop = next((i for i, t in enumerate(tokens_out) if t in request.stop_ids), None)
            yield tokens_out if stop is None else tokens_out[: stop + 1]
            if stop is not None or self._cancelled:
                return

    def cancel(self) -> None:
        """The running `generate` ends after what is in flight."""
        self._cancelled = True

    async def close(self) -> None:
        """Free the device memory that no other plan uses."""
        self._memory.close()

    def _put(self, buffer: Any, at: int, data: bytes | memoryview) -> None:
        """Write whole words; the queue takes no other sizes, and not none."""
        if not len(data):
            return
        whole = data if len(data) % 4 == 0 else bytes(data) + bytes(-len(data) % 4)
        with _live():
            self._device.queue.write_buffer(buffer, at, whole)

    def _submit(self, program: str, runs: list[tuple[dict[str, int], float]]) -> Any:
        """Queue runs of a program; the buffer that gets the token of each."""
        with _live():
            return self._queue(program, runs)

    def _queue(self, program: str, runs: list[tuple[dict[str, int], float]]) -> Any:
        usage = wgpu.BufferUsage
        read = self._device.create_buffer(size=4 * len(runs), usage=usage.MAP_READ | usage.COPY_DST)
        token = self.plan.values["token"]
        for slot, (bindings, uniform) in enumerate(runs):
            self._write_slot(slot, bindings, uniform)
        encoder = self._device.create_command_encoder()
        for slot, (bindings, _) in enumerate(runs):
            self._encode(encoder, self._programs[program], bindings, slot)
            encoder.copy_buffer_to_buffer(
                self._buffers[token.buffer], token.offset, read, 4 * slot, 4
            )
        self._device.queue.submit([encoder.finish()])
        return read

    def _write_slot(self, slot: int, bindings: Mapping[str, int], uniform: float | None) -> None:
        layout = self.plan.slot
        data = bytearray(layout.nbytes)
        for i, name in enumerate(layout.symbols):
            struct.pack_into("<I", data, 4 * i, bindings.get(name, 1))
        for name, (offset, nbytes) in layout.inputs.items():
            data[offset : offset + nbytes] = self._small[name]
        if uniform is not None and layout.draw >= 0:
            struct.pack_into("<f", data, layout.draw, uniform)
        self._device.queue.write_buffer(self._slots, slot * SLOT_STRIDE, data)

    def _encode(
        self, encoder: Any, steps: list[tuple[Step, Any]], bindings: Mapping[str, int], slot: int
    ) -> None:
        run = encoder.begin_compute_pass()
        run.set_bind_group(1, self._slot_group, [slot * SLOT_STRIDE])
        for step, group in steps:
            run.set_pipeline(self._pipelines[step.kernel])
            run.set_bind_group(0, group)
            run.dispatch_workgroups(*(c.of(bindings) for c in step.groups))
        run.end()


@contextmanager
def _live() -> Iterator[None]:
    """DeviceLostError for whatever wgpu says once its device is gone, HostError for the rest."""
    try:
        yield
    except wgpu.GPUError as exc:
        kind = DeviceLostError if "lost" in str(exc) else HostError
        raise kind("the GPU device", got=str(exc), need="a live device") from exc


def _take(pending: tuple[Any, int]) -> list[int]:
    """Tokens of a finished submission. Raises DeviceLostError when the device is gone."""
    buffer, n = pending
    with _live():
        buffer.map_sync(wgpu.MapMode.READ)
    tokens = struct.unpack(f"<{n}i", bytes(buffer.read_mapped()))
    buffer.destroy()
    return list(tokens)


def _numbered(code: str) -> str:
    return "\n".join(f"{i:4} {line}" for i, line in enumerate(code.splitlines(), 1))
