"""How long a variant of an index would take here: what `hub.resolve` is given to rank by. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..hub.index import Variant
from ..hub.machine import features_of
from .place import Found
from .predict import Work, predict


def seconds_of(devices: Sequence[Found]) -> Callable[[Variant], float | None]:
    """Seconds of a typical answer, on the fastest of the devices that have what the variant needs.

    None where no device's speed is known, or the index does not say what a token takes.
    """

    def seconds(variant: Variant) -> float | None:
        if not variant.nbytes_per_token or not variant.flops_per_token:
            return None
        work = Work(variant.nbytes_per_token, max(variant.flops_per_token // 2, 1), variant.nbytes)
        times = [
            predict(device.rates, work).answer_s
            for device in devices
            if device.facts and device.rates and variant.needs <= features_of([device.facts])
        ]
        return min(times, default=None)

    return seconds
