"""The door to WebNN: contexts on devices."""

from __future__ import annotations

from ..errors import InputError
from ..host.base import Host, Target
from ..host.current import current
from .context import MLContext

TARGETS = ("reference", "webgpu", "wasm", "webnn")
DEVICE_TYPES = ("auto", "cpu", "gpu", "npu")
POWER_PREFERENCES = ("default", "high-performance", "low-power")


class ML:
    """`navigator.ml`. `host` is the machine; the one of this process where none is given."""

    def __init__(self, host: Host | None = None) -> None:
        self._host = host

    async def create_context_async(
        self,
        device_type: str = "auto",
        power_preference: str = "default",
        accelerated: bool = True,
        target: str | None = None,
    ) -> MLContext:
        """A context on a device.

        target            "reference" (NumPy, the definition), "webgpu", "wasm" (the CPU), or
                          "webnn" (the browser's own); None chooses by the hints below
        device_type       "cpu": the reference; "auto", "gpu", "npu": the best device there is
        power_preference  kept for `MLContext.power_preference`, without effect
        accelerated       False is as device_type "cpu"

        Raises NoDeviceError where the device is not there, InputError for other words.
        """
        _known("target", target, (None, *TARGETS))
        _known("device_type", device_type, DEVICE_TYPES)
        _known("power_preference", power_preference, POWER_PREFERENCES)
        chosen: Target | None = target  # type: ignore[assignment]  # one of TARGETS
        if target is None and (device_type == "cpu" or not accelerated):
            chosen = "reference"
        host = self._host or current()
        return MLContext(host, await host.open_device(chosen), power_preference)

    def create_context(
        self,
        device_type: str = "auto",
        power_preference: str = "default",
        accelerated: bool = True,
        target: str | None = None,
    ) -> MLContext:
        """As `create_context_async`, where the caller may wait."""
        made = self.create_context_async(device_type, power_preference, accelerated, target)
        host = self._host or current()
        return host.wait(made, "create_context_async(...)")


def _known(name: str, given: object, words: tuple[object, ...]) -> None:
    if given not in words:
        raise InputError(name, got=repr(given), need=f"one of {words}")
