"""The Plan: kernels, buffers, weights and programs, as data.

Executors (`shims/webgpu.js`, `host/native.py` and their siblings for Wasm) know no operator: they
make the buffers, run each weight's steps once as its bytes arrive, and run a program's steps in
order. A step's group
counts may depend on a few integers (the symbols), which an executor also hands to every kernel
in a *slot*: a small uniform block, one for each run in flight, at @group(1) @binding(0).
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..dims import Dim
from ..errors import FormatError

FORMAT = "edgewise-plan/2"
SLOTS = 64  # runs in flight
SLOT_STRIDE = 256  # minUniformBufferOffsetAlignment's default limit
SMALLEST_BUFFER = 4  # bytes: a buffer of none cannot be bound


@dataclass(frozen=True, slots=True)
class Kernel:
    """One compute shader: its source, pipeline constants, and how each binding is accessed.

    `bindings[i]` is "read" or "write" (read_write) for @group(0) @binding(i). On Wasm there is no
    source: `name` is what a module exports, and its first arguments are the bindings' addresses.
    """

    name: str
    code: str
    bindings: tuple[str, ...]
    constants: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Count:
    """A number of workgroups: ceil(Π (Σ terms·symbols + constant) / divisor), at least 0.

    `factors` are (terms, constant).
    """

    factors: tuple[tuple[Mapping[str, int], int], ...]
    divisor: int

    def of(self, bindings: Mapping[str, int]) -> int:
        """The number with these values for the symbols."""
        total = 1
        for terms, constant in self.factors:
            total *= constant + sum(factor * bindings[name] for name, factor in terms.items())
        return max(0, -(-total // self.divisor))


Size: TypeAlias = Dim | tuple[Dim, ...]  # a tuple is the product of its dimensions


def count(size: Size, divisor: int = 1) -> Count:
    """ceil(size / divisor) as a Count."""
    factors = tuple(
        ({}, dim) if isinstance(dim, int) else (dict(dim.terms), dim.constant)
        for dim in (size if isinstance(size, tuple) else (size,))
    )
    return Count(factors, divisor)


@dataclass(frozen=True, slots=True)
class Binding:
    """A range of a buffer, in bytes."""

    buffer: int
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Step:
    """One dispatch. `origin` names the node it came from, for timings and errors.

    groups   WebGPU: workgroups along x, y and z. Wasm: items, items in a chunk, 1
    numbers  Wasm: what the kernel gets besides its bindings, as 32-bit words; floats as their bits
    """

    kernel: int
    bindings: tuple[Binding, ...]
    groups: tuple[Count, Count, Count]
    origin: str
    numbers: tuple[int | Count, ...] = ()


@dataclass(frozen=True, slots=True)
class Buffer:
    """Device memory. `kind`: weights, constants, arena, state, input, output or staging.

    "weights" are what `Plan.weights` bring, from the model file alone. In plans of one file, equal
    names and sizes of such buffers mean equal bytes: an executor may keep one for all of them.
    """

    name: str
    kind: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class Weight:
    """A byte range of the model file that goes to the device in one upload.

    The executor writes bytes `start` to `start + nbytes` of the file to the staging buffer at
    offset 0 and runs `steps`, which repack them from there into the kernels' layout.
    """

    tensor: str
    start: int
    nbytes: int
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Slot:
    """The uniform block of one run: u32 symbols in order, then small inputs at byte offsets.

    `inputs`  name -> (offset, nbytes)
    `draw`    offset of the f32 that a decode loop replaces by a random number each step, or -1

    On Wasm one run is in flight: there is no block. `inputs` has the one input that `draw` is an
    offset in, which lies where `Plan.values` says.
    """

    symbols: tuple[str, ...]
    inputs: Mapping[str, tuple[int, int]]
    draw: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What one graph became on one kind of device."""

    target: str
    features: tuple[str, ...]
    symbols: Mapping[str, int]
    kernels: tuple[Kernel, ...]
    buffers: tuple[Buffer, ...]
    weights: tuple[Weight, ...]
    inline: tuple[tuple[Binding, bytes], ...]  # small constants of the graph itself
    programs: Mapping[str, tuple[Step, ...]]
    values: Mapping[str, Binding]  # inputs, outputs and states by public name
    slot: Slot
    peak_live: int  # bytes of intermediate tensors alive at once, at most

    @property
    def nbytes(self) -> int:
        """Device memory that the plan needs once it is loaded: all buffers but for staging.

        It holds less itself where it shares weights with a plan that was loaded before it.
        """
        return self.peak_nbytes - sum(
            max(b.nbytes, SMALLEST_BUFFER) for b in self.buffers if b.kind == "staging"
        )

    @property
    def peak_nbytes(self) -> int:
        """The most device memory that it holds at once: while its weights come, with staging."""
        buffers = sum(max(buffer.nbytes, SMALLEST_BUFFER) for buffer in self.buffers)
        return buffers + (self._records_nbytes if self.target == "wasm" else SLOTS * SLOT_STRIDE)

    @property
    def _records_nbytes(self) -> int:
        """What Wasm holds of the programs: a record of four words a step, and its arguments."""
        steps = [step for program in self.programs.values() for step in program]
        return sum(16 + 4 * (len(step.bindings) + len(step.numbers)) for step in steps)

    def filled(self, weight: Weight) -> set[int]:
        """The buffers that an upload fills."""
        return {
            binding.buffer
            for step in weight.steps
            for access, binding in zip(
                self.kernels[step.kernel].bindings, step.bindings, strict=True
            )
            if access == "write"
        }

    def to_json(self) -> str:
        """One line of JSON: what the executors read."""
        data = {
            "format": FORMAT,
            "target": self.target,
            "features": self.features,
            "symbols": self.symbols,
            "kernels": [[k.name, k.code, k.bindings, dict(k.constants)] for k in self.kernels],
            "buffers": [[b.name, b.kind, b.nbytes] for b in self.buffers],
            "weights": [
                [w.tensor, w.start, w.nbytes, list(map(_step_data, w.steps))] for w in self.weights
            ],
            "inline": [
                [[b.buffer, b.offset, b.nbytes], b64encode(data).decode()]
                for b, data in self.inline
            ],
            "programs": {
                name: list(map(_step_data, steps)) for name, steps in self.programs.items()
            },
            "values": {name: [b.buffer, b.offset, b.nbytes] for name, b in self.values.items()},
            "slot": [self.slot.symbols, self.slot.inputs, self.slot.draw, self.slot.nbytes],
            "peak_live": self.peak_live,
        }
        return json.dumps(data, separators=(",", ":"))


def _step_data(step: Step) -> list[Any]:
    return [
        step.kernel,
        [[b.buffer, b.offset, b.nbytes] for b in step.bindings],
        [_count_data(c) for c in step.groups],
        step.origin,
        [n if isinstance(n, int) else _count_data(n) for n in step.numbers],
    ]


def _count_data(count: Count) -> list[Any]:
    return [count.factors, count.divisor]


def from_json(text: str) -> Plan:
    """The inverse of `Plan.to_json`. Raises FormatError for anything else."""
    try:
        data = json.loads(text)
        if data["format"] != FORMAT:
            raise KeyError("format")
        return _plan(data)
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise FormatError("plan", got=repr(exc), need=FORMAT, fix="compile it again") from exc


def _step(data: list[Any]) -> Step:
    kernel, bindings, groups, origin, numbers = data
    x, y, z = map(_count, groups)
    given = tuple(n if isinstance(n, int) else _count(n) for n in numbers)
    return Step(kernel, tuple(Binding(*b) for b in bindings), (x, y, z), origin, given)


def _count(data: list[Any]) -> Count:
    factors, divisor = data
    return Count(tuple((terms, constant) for terms, constant in factors), divisor)


def _steps(data: list[Any]) -> tuple[Step, ...]:
    return tuple(map(_step, data))


def _plan(data: dict[str, Any]) -> Plan:
    symbols, inputs, draw, nbytes = data["slot"]
    return Plan(
        target=data["target"],
        features=tuple(data["features"]),
        symbols=data["symbols"],
        kernels=tuple(
            Kernel(n, code, tuple(b), tuple(c.items())) for n, code, b, c in data["kernels"]
        ),
        buffers=tuple(Buffer(*buffer) for buffer in data["buffers"]),
        weights=tuple(Weight(t, at, n, _steps(steps)) for t, at, n, steps in data["weights"]),
        inline=tuple((Binding(*to), b64decode(text)) for to, text in data["inline"]),
        programs={name: _steps(steps) for name, steps in data["programs"].items()},
        values={name: Binding(*binding) for name, binding in data["values"].items()},
        slot=Slot(tuple(symbols), {k: (at, n) for k, (at, n) in inputs.items()}, draw, nbytes),
        peak_live=data["peak_live"],
    )
