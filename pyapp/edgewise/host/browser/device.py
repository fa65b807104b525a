"""Devices and the plans loaded on them, behind shims with the functions of `shims/webgpu.js`."""

from __future__ import annotations

import asyncio
import json
from array import array
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

import js
from pyodide.ffi import create_proxy, to_js

from ...targets.device import DeviceFacts
from ..base import Executable, GenerateRequest, Weights
from .bridge import answer, plain


class BrowserDevice:
    """A device that `shim` opened. `file` is shims/file.js."""

    def __init__(self, shim: Any, file: Any, handle: Any, facts: DeviceFacts) -> None:
        self._shim, self._file, self._handle, self.facts = shim, file, handle, facts

    async def load(
        self,
        plan: str,
        weights: Weights,
        on_progress: Callable[[int, int], None],
        share: Sequence[Executable] = (),
    ) -> BrowserExecutable:
        """Make a plan runnable. Raises StoreError, HostError."""
        others = to_js([each.handle for each in share if isinstance(each, BrowserExecutable)])
        segments = json.dumps([[s.hash, s.nbytes] for s in weights.segments])
        progress = create_proxy(on_progress)
        try:
            handle = await answer(self._shim.load(
                self._handle, plan, self._file.reader(segments, to_js(weights.tail)), progress,
                others,
            ))  # fmt: skip
        finally:
            progress.destroy()
        return BrowserExecutable(self._shim, handle)

    async def close(self) -> None:
        """Give the device back."""
        await answer(self._shim.close(self._handle))


class BrowserExecutable:
    """A plan that `shim` loaded; `handle` is the shim's."""

    def __init__(self, shim: Any, handle: Any) -> None:
        self._shim, self.handle = shim, handle
        self.peak_nbytes = int(handle.peak)

    @property
    def nbytes(self) -> int:
        """Device memory that it holds now."""
        return int(self.handle.nbytes)

    async def write(self, name: str, data: bytes) -> None:
        """Set an input or a state."""
        await answer(self._shim.write(self.handle, name, to_js(data)))

    async def read(self, name: str, nbytes: int | None = None) -> bytes:
        """The bytes of an output or a state, or the first of them."""
        wanted = () if nbytes is None else (nbytes,)
        return bytes((await answer(self._shim.read(self.handle, name, *wanted))).to_bytes())

    async def clear(self, name: str) -> None:
        """Zero a state."""
        await answer(self._shim.clear(self.handle, name))

    async def run(self, program: str, bindings: Mapping[str, int]) -> None:
        """Run one program."""
        await answer(self._shim.run(self.handle, program, plain(bindings)))

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[list[int], None]:
        """Read and decode in the shim; yields batches of new ids."""
        batches: asyncio.Queue[list[int] | None] = asyncio.Queue()
        on_tokens = create_proxy(lambda ids: batches.put_nowait(ids.to_py().tolist()))
        options = plain({
            "tokens": to_js(array("i", request.tokens)),
            "past": request.past,
            "maxNewTokens": request.max_new_tokens,
            "stopIds": to_js(sorted(request.stop_ids)),
            "uniforms": to_js(array("f", request.uniforms)),
            "batch": request.batch,
            "inFlight": request.in_flight,
        })  # fmt: skip
        running = asyncio.ensure_future(
            answer(self._shim.generate(self.handle, options, on_tokens))
        )
        running.add_done_callback(lambda _: batches.put_nowait(None))
        try:
            while (batch := await batches.get()) is not None:
                yield batch
            await running
        finally:
            if not running.done():
                self.cancel()
                await asyncio.wait([running])
            on_tokens.destroy()

    def cancel(self) -> None:
        """The running `generate` ends after the steps in flight."""
        self._shim.cancel(self.handle)

    async def close(self) -> None:
        """Free the device memory."""
        await answer(self._shim.close(self.handle))


def facts_of(facts: Any) -> dict[str, Any]:
    """What a shim says of its device, as plain data."""
    return dict(json.loads(js.JSON.stringify(facts)))
