"""What else the machine was doing while an engine had its turn."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil


def _own() -> dict[int, float]:
    """CPU seconds of this process and all that it started."""
    found = {}
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            times = process.cpu_times()
            found[process.pid] = times.user + times.system
        except psutil.Error:
            continue
    return found


def _busy() -> float:
    """CPU seconds of the whole machine that were not idle, those taken by its host among them."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.steal)


class Load:
    """`foreign`: CPUs that others used while the block ran."""

    foreign = 0.0

    def __enter__(self) -> Self:
        self._own, self._busy, self._at = _own(), _busy(), time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        after = _own()
        mine = sum(seconds - self._own.get(pid, 0.0) for pid, seconds in after.items())
        taken = time.monotonic() - self._at
        self.foreign = round(max(0.0, _busy() - self._busy - mine) / taken, 2)

    @staticmethod
    def machine() -> dict[str, Any]:
        """The processor, how many there are, and how busy it is."""
        info = Path("/proc/cpuinfo")
        models = [
            line.split(":")[1].strip()
            for line in (info.read_text().splitlines() if info.exists() else [])
            if line.startswith("model name")
        ]
        return {
            "cpu": (models or [platform.processor()])[0],
            "cpus": os.cpu_count(),
            "load_average": os.getloadavg()[0],
        }
