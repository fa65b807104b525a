"""ONNX as plain frozen data: what the importer sees, with no protobuf in it.

A weight is said by where it lies (`location`, `offset`, `nbytes`), so that a model of gigabytes is
small here; what is inline has `data`. Knows no graph of ours and no operator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

#: A size, the name of a size that only a run knows, or nothing known.
OnnxDim: TypeAlias = int | str | None


@dataclass(frozen=True, slots=True)
class OnnxTensor:
    """A constant. `dtype` is ONNX's name for the element type, such as `FLOAT` or `INT64`.

    Exactly one of `data` (little-endian, row-major; 4-bit elements two to a byte, low nibble
    first; a bool is a byte) and `location` is set. `location` is the file that holds the bytes,
    relative to the model's folder; `""` is the model's own file. `offset` and `nbytes` are in it.
    A tensor of STRING has its elements in `strings`.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: bytes | None = None
    location: str | None = None
    offset: int = 0
    nbytes: int = 0
    strings: tuple[bytes, ...] = ()

    @property
    def key(self) -> str:
        """A name for the bytes in a file: tensors of branches and attributes may share names."""
        return f"{self.name}@{self.location}:{self.offset}"


@dataclass(frozen=True, slots=True)
class OnnxValue:
    """What is known of a value: `dtype` as a tensor's, or SEQUENCE, OPTIONAL, MAP, SPARSE, or None.

    `shape` is None where not even the rank is known.
    """

    name: str
    dtype: str | None = None
    shape: tuple[OnnxDim, ...] | None = None


@dataclass(frozen=True, slots=True)
class OnnxReference:
    """In a function's body: the attribute of the call that stands here."""

    name: str


OnnxAttribute: TypeAlias = (
    "int | float | bytes | OnnxTensor | OnnxGraph | OnnxReference"
    " | tuple[int, ...] | tuple[float, ...] | tuple[bytes, ...]"
    " | tuple[OnnxTensor, ...] | tuple[OnnxGraph, ...]"
)


@dataclass(frozen=True, slots=True)
class OnnxNode:
    """One operator applied. An absent input or output is `""`; strings are bytes, as in a file."""

    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    domain: str = ""
    attributes: Mapping[str, OnnxAttribute] = field(default_factory=dict)
    name: str = ""


@dataclass(frozen=True, slots=True)
class OnnxGraph:
    """Nodes in an order in which they can run. A branch or body may name values from outside."""

    name: str
    inputs: tuple[OnnxValue, ...]
    outputs: tuple[OnnxValue, ...]
    nodes: tuple[OnnxNode, ...]
    initializers: tuple[OnnxTensor, ...] = ()
    value_info: tuple[OnnxValue, ...] = ()


@dataclass(frozen=True, slots=True)
class OnnxFunction:
    """An operator that the model itself defines. `attributes` has a default, or None for none."""

    domain: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, OnnxAttribute | None]
    nodes: tuple[OnnxNode, ...]
    opsets: Mapping[str, int]
    overload: str = ""


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """A model: `opsets` maps a domain to its version, with `""` for `ai.onnx`."""

    ir_version: int
    opsets: Mapping[str, int]
    graph: OnnxGraph
    functions: tuple[OnnxFunction, ...] = ()
