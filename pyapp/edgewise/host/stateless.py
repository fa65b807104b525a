"""What an executable says that keeps nothing between runs: no states, and no decode loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from ..errors import UnsupportedError
from .base import GenerateRequest


class Stateless:
    """The state's part of `base.Executable`. `kind`: what kind of plan has no states."""

    kind: str

    async def clear(self, name: str) -> None:
        """There are no states. Raises UnsupportedError."""
        raise self._refusal(f"state {name!r}")

    def generate(self, request: GenerateRequest) -> AsyncGenerator[list[int], None]:
        """There is no decode loop. Raises UnsupportedError."""
        raise self._refusal("generate")

    def cancel(self) -> None:
        """There is no decode loop."""

    def _refusal(self, what: str) -> UnsupportedError:
        return UnsupportedError(what, got=self.kind, need="a plan with states",
                                fix="choose the target webgpu")  # fmt: skip
