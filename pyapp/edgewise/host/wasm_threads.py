"""Instances of one Wasm module over one memory: the first thread's, and those of its helpers.

Each thread has its instance in a store of its own. A helper runs the module's `help` until it is
told to leave; the module itself shares out the work (shims/wasm/run.c).
"""

from __future__ import annotations

import ctypes
import threading
from functools import cache
from importlib.resources import files

import wasmtime
from wasmtime import _ffi

from ..errors import NoDeviceError, QuotaError

PAGE = 1 << 16
MAX_PAGES = (1 << 16) - 1  # 4 GiB less a page
FIRST_PAGES = 64
STACK_BYTES = 1 << 20  # of each helper
OWN = frozenset({"run", "help", "leave", "fail"})  # exported functions that are no kernels


@cache
def _engine() -> wasmtime.Engine:
    config = wasmtime.Config()
    config.wasm_simd = True
    config.wasm_relaxed_simd = True
    config.wasm_threads = True
    config.shared_memory = True
    return wasmtime.Engine(config)


@cache
def load_module(name: str) -> wasmtime.Module:
    """One of "simd", "relaxed" and "threads". Raises NoDeviceError."""
    path = files(__package__).joinpath("modules", f"{name}.wasm")
    try:
        code = path.read_bytes()
    except FileNotFoundError as exc:
        raise NoDeviceError(
            "Wasm", got=f"no module '{name}'", need="the modules of the package",
            fix="run python tools/build_wasm.py",
        ) from exc  # fmt: skip
    return wasmtime.Module(_engine(), code)


class SharedMemory(wasmtime.SharedMemory):
    """A memory of several threads.

    wasmtime 50.0.1 wraps its pointer twice when an instance imports it, and then refuses it; this
    can go when `wasmtime.SharedMemory` itself can be imported.
    """

    def _as_extern(self) -> _ffi.wasmtime_extern_t:
        union = _ffi.wasmtime_extern_union(sharedmemory=self.ptr())
        return _ffi.wasmtime_extern_t(_ffi.WASMTIME_EXTERN_SHAREDMEMORY, union)


def kernel_names(module: wasmtime.Module) -> list[str]:
    """The exported kernels, in the order of the module: the same in every instance."""
    kinds = ((each.name, each.type) for each in module.exports)
    return [name for name, kind in kinds
            if isinstance(kind, wasmtime.FuncType) and name not in OWN]  # fmt: skip


class Instance:
    """One thread's instance. `memory` is another's, or None for the first."""

    def __init__(
        self, module: wasmtime.Module, memory: wasmtime.Memory | wasmtime.SharedMemory | None
    ) -> None:
        self.store = wasmtime.Store(_engine())
        shared = any(each.type.is_shared for each in module.imports
                     if isinstance(each.type, wasmtime.MemoryType))  # fmt: skip
        if memory is None:
            limits = wasmtime.Limits(FIRST_PAGES, MAX_PAGES)
            kind = wasmtime.MemoryType(limits, shared=shared)
            memory = (
                SharedMemory(_engine(), kind) if shared
                else wasmtime.Memory(self.store, kind)
            )  # fmt: skip
        self.memory = memory
        self._exports = wasmtime.Instance(self.store, module, [memory]).exports(self.store)
        names = kernel_names(module)
        table = self._exports["__indirect_function_table"]
        assert isinstance(table, wasmtime.Table)
        first = table.grow(self.store, len(names), None)
        for at, name in enumerate(names, first):
            table.set(self.store, at, self._exports[name])
        self.kernels = {name: at for at, name in enumerate(names, first)}

    def call(self, name: str, *arguments: int) -> int:
        """An exported function's result. Raises wasmtime's errors."""
        function = self._exports[name]
        assert isinstance(function, wasmtime.Func)
        made = function(self.store, *(n - (1 << 32) if n >> 31 else n for n in arguments))
        return int(made or 0)

    def number(self, name: str) -> int:
        """An exported global's value."""
        found = self._exports[name]
        assert isinstance(found, wasmtime.Global)
        return int(found.value(self.store))

    def set_stack(self, top: int) -> None:
        """Where the stack of this thread begins, to grow downwards."""
        found = self._exports["__stack_pointer"]
        assert isinstance(found, wasmtime.Global)
        found.set_value(self.store, top - (1 << 32) if top >> 31 else top)

    def bytes(self) -> ctypes.Array[ctypes.c_ubyte]:
        """All of the memory as it is now; not to be kept over `grow`."""
        if isinstance(self.memory, wasmtime.SharedMemory):
            pointer, n = self.memory.data_ptr(), self.memory.data_len()
        else:
            pointer, n = self.memory.data_ptr(self.store), self.memory.data_len(self.store)
        return ctypes.cast(pointer, ctypes.POINTER(ctypes.c_ubyte * n)).contents

    def clear(self, address: int, nbytes: int) -> None:
        """Zero bytes of the memory."""
        ctypes.memset(ctypes.addressof(self.bytes()) + address, 0, nbytes)

    def close(self) -> None:
        """Let the memory go now: gigabytes do not wait for a garbage collector."""
        self.store.close()
        if isinstance(self.memory, wasmtime.SharedMemory):
            self.memory.close()

    def grow(self, nbytes: int) -> int:
        """Make the memory longer by at least `nbytes`; by how much. Raises QuotaError."""
        pages = -(-nbytes // PAGE)
        try:
            if isinstance(self.memory, wasmtime.SharedMemory):
                self.memory.grow(pages)
            else:
                self.memory.grow(self.store, pages)
        except wasmtime.WasmtimeError as exc:
            raise QuotaError(
                "Wasm memory", got=f"{nbytes} bytes more: {exc}", need="at most 4 GiB in all",
                fix="choose a smaller context or a smaller model",
            ) from exc  # fmt: skip
        return pages * PAGE


class Helpers:
    """Threads that help the first one until `close`."""

    def __init__(self, module: wasmtime.Module, first: Instance, stacks: list[int]) -> None:
        self._first = first
        self._threads = [
            threading.Thread(target=self._help, args=(module, top), daemon=True) for top in stacks
        ]
        for thread in self._threads:
            thread.start()

    def _help(self, module: wasmtime.Module, top: int) -> None:
        instance = Instance(module, self._first.memory)
        instance.set_stack(top)
        try:
            instance.call("help")
        except (wasmtime.Trap, wasmtime.WasmtimeError):
            # the stack is what it was at the trap; `fail` needs little of it
            instance.set_stack(top)
            instance.call("fail")

    def close(self) -> None:
        """Let them end, and wait until they have."""
        if self._threads:
            self._first.call("leave")
        for thread in self._threads:
            thread.join()
        self._threads.clear()


def reason(error: Exception) -> str:
    """The last line of a trap's text: the others are a backtrace."""
    return str(error).strip().splitlines()[-1].strip()
