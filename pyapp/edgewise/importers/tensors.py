"""What every architecture asks of a model file's tensors: those it needs, in their shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ..errors import FormatError, ShapeError


class Tensor(Protocol):
    """A tensor of a model file: its type and its shape, outermost dimension first."""

    @property
    def type(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...]: ...


def check_shapes(
    model: str, tensors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], layers: int
) -> None:
    """Raise FormatError for tensors of `shapes` that are missing, ShapeError for others' shapes.

    model   the architecture, for the errors
    """
    missing = [name for name in shapes if name not in tensors]
    if missing:
        raise FormatError(f"tensors of a {model} model", got="no " + some(missing),
                          need=f"{len(shapes)} tensors for {layers} layers")  # fmt: skip
    odd = [name for name, shape in shapes.items() if tuple(tensors[name].shape) != shape]
    if odd:
        got = [f"{name} {list(tensors[name].shape)}" for name in odd]
        need = [f"{name} {list(shapes[name])}" for name in odd]
        raise ShapeError(f"tensors of a {model} model", got=some(got), need=some(need))


def some(names: list[str]) -> str:
    """The first few of many."""
    shown = 6
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
