"""A plan's buffers on a wgpu device: those that it has for itself, and weights that it shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import wgpu

from ..plan.plan import SLOT_STRIDE, SLOTS, SMALLEST_BUFFER, Buffer, Plan, Weight
from .held import Held


class Memory:
    """`make` makes the buffers, in the plan's order; `weights` are the ones that may be shared.

    uploads  what is to be brought: weights that no other plan has brought
    staging  where they are brought to, if there are any, until `finish`
    slots    the uniform blocks of the runs in flight
    """

    def __init__(self, device: Any, plan: Plan) -> None:
        self._device, self._plan = device, plan
        self._own: list[Any] = []
        self.weights: Held[Any] = Held()
        self.buffers: list[Any] = []
        self.uploads: list[Weight] = []
        self.staging: Any = None
        self.slots: Any = None
        self.peak_nbytes = 0

    @property
    def nbytes(self) -> int:
        """What is held now, less the weights that another plan holds longer."""
        own: int = sum(buffer.size for buffer in self._own)
        return own + self.weights.nbytes

    def make(self, others: Sequence[Held[Any]]) -> None:
        """All buffers but for weights that one of `others` has."""
        plan, usage = self._plan, wgpu.BufferUsage
        shared = {
            index
            for index, buffer in enumerate(plan.buffers)
            if buffer.kind == "weights" and self.weights.share(buffer.name, buffer.nbytes, others)
        }
        self.uploads = [each for each in plan.weights if not shared >= plan.filled(each)]
        storage = usage.STORAGE | usage.COPY_DST | usage.COPY_SRC
        self.buffers = [self._buffer(each, index in shared, storage)
                        for index, each in enumerate(plan.buffers)]  # fmt: skip
        self.slots = self._create(SLOTS * SLOT_STRIDE, usage.UNIFORM | usage.COPY_DST)
        self.peak_nbytes = self.nbytes

    def _buffer(self, buffer: Buffer, shared: bool, usage: int) -> Any:
        if shared:
            return self.weights[buffer.name]
        if buffer.kind == "weights":
            made = self._device.create_buffer(size=buffer.nbytes, usage=usage)
            self.weights.add(buffer.name, buffer.nbytes, made)
            return made
        if buffer.kind != "staging":
            return self._create(max(buffer.nbytes, SMALLEST_BUFFER), usage)
        if self.uploads:
            self.staging = self._create(buffer.nbytes, usage)
        return self.staging

    def _create(self, nbytes: int, usage: int) -> Any:
        self._own.append(self._device.create_buffer(size=nbytes, usage=usage))
        return self._own[-1]

    def finish(self) -> None:
        """Free what is needed while weights come."""
        if self.staging is not None:
            self._own.remove(self.staging)
            self.staging.destroy()
            self.staging = None

    def close(self) -> None:
        """Free all, but for the weights that other plans use."""
        for buffer in (*self._own, *self.weights.close()):
            buffer.destroy()
        self._own.clear()
