"""The table of ONNX operators, and what a function in it is given.

    @onnx_op("Softmax", since=13)
    def Softmax_13(c: Call) -> Value:
        return c.b.softmax(c[0], c.axis("axis", -1))

A function stands for its operator from opset `since` until the next one in the table. It gets the
call, builds WebNN operators with `c.b`, and returns the output or a tuple of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from ...dtypes import DType
from ...errors import FormatError, UnsupportedError
from ...formats.onnx import OnnxNode, OnnxTensor
from ...graph.graph import Value
from .arrays import DTYPES, NAMES
from .fold import FoldingBuilder, ints

if TYPE_CHECKING:
    from .arrays import Array
    from .importer import Importer, Scope

# `Call` has methods of these names
Int: TypeAlias = int
Float: TypeAlias = float
Str: TypeAlias = str
Made: TypeAlias = "Value | Sequence[Value | None] | None"
Function: TypeAlias = "Callable[[Call], Made]"
#: (domain, operator) -> functions with the opset that each begins at, oldest first
TABLE: dict[tuple[str, str], list[tuple[int, Function]]] = {}


def onnx_op(*names: str, since: int = 1, domain: str = "") -> Callable[[Function], Function]:
    """Put a function in the table for the operators `names`."""

    def put(function: Function) -> Function:
        for name in names:
            rows = TABLE.setdefault((domain, name), [])
            assert all(row[0] != since for row in rows), f"two functions for {name} {since}"
            rows.append((since, function))
            rows.sort(key=lambda row: row[0])
        return function

    return put


def find(domain: str, name: str, opset: int) -> Function | None:
    """The function of an operator in a version of its domain."""
    found = None
    for since, function in TABLE.get((domain, name), ()):
        found = function if since <= opset else found
    return found


@dataclass(slots=True)
class Call:
    """A node with the values of its inputs; an absent one, and one past the end, is None."""

    node: OnnxNode
    inputs: tuple[Value | None, ...]
    b: FoldingBuilder
    opset: int
    scope: Scope
    importer: Importer
    #: ONNX's own types of outputs where ours does not say them, by place
    types: dict[Int, Str] = field(default_factory=dict)

    def __getitem__(self, place: Int) -> Value:
        """The input at `place`, which must be there."""
        value = self.get(place)
        if value is None:
            raise FormatError(f"{self.node.op_type} input {place}", got="nothing", need="a value")
        return value

    def get(self, place: Int) -> Value | None:
        """The input at `place`, or None."""
        return self.inputs[place] if place < len(self.inputs) else None

    def shape(self, place: Int) -> tuple[Int, ...]:
        """The shape of the input at `place`."""
        return ints(self[place])

    def rank(self, place: Int) -> Int:
        return len(self[place].shape)

    def type_of(self, place: Int) -> Str:
        """ONNX's name for the type of the input at `place`."""
        return self.scope.type_of(self.node.inputs[place]) or NAMES[self[place].dtype]

    def array(self, place: Int) -> Array:
        """The array of the input at `place`. Raises NeedsValues if it is not known."""
        return self.b.array(self[place])

    def list(self, place: Int) -> tuple[Int, ...] | None:
        """The integers of the input at `place`, or None if it is absent."""
        value = self.get(place)
        return None if value is None else tuple(map(int, self.b.array(value).reshape(-1)))

    def attr(self, name: Str, default: Any = None) -> Any:
        """An attribute as the file has it."""
        return self.node.attributes.get(name, default)

    def int(self, name: Str, default: Int | None = None) -> Int:
        """An integer attribute. Without a default it must be there."""
        found = self.attr(name, default)
        if not isinstance(found, int):
            raise self._wrong(name, found, "an integer")
        return found

    def float(self, name: Str, default: Float | None = None) -> Float:
        """A float attribute. Without a default it must be there."""
        found = self.attr(name, default)
        if not isinstance(found, int | float):
            raise self._wrong(name, found, "a number")
        return float(found)

    def str(self, name: Str, default: Str | None = None) -> Str:
        """A string attribute. Without a default it must be there."""
        found = self.attr(name, default)
        if isinstance(found, bytes):
            return found.decode("utf-8", "replace")
        if not isinstance(found, str):
            raise self._wrong(name, found, "a string")
        return found

    def ints(self, name: Str, default: tuple[Int, ...] | None = None) -> tuple[Int, ...] | None:
        """A list of integers, or the default."""
        found = self.attr(name, default)
        if found is None:
            return None
        if not isinstance(found, tuple) or not all(isinstance(each, int) for each in found):
            raise self._wrong(name, found, "integers")
        return found

    def floats(self, name: Str) -> tuple[Float, ...] | None:
        """A list of floats, or None."""
        found = self.attr(name)
        if found is None:
            return None
        if not isinstance(found, tuple):
            raise self._wrong(name, found, "numbers")
        return tuple(map(float, found))

    def strs(self, name: Str) -> tuple[Str, ...] | None:
        """A list of strings, or None."""
        found = self.attr(name)
        if found is None:
            return None
        if not isinstance(found, tuple):
            raise self._wrong(name, found, "strings")
        return tuple(each.decode("utf-8", "replace") for each in found)

    def tensor(self, name: Str) -> OnnxTensor | None:
        """A tensor attribute, or None."""
        found = self.attr(name)
        if found is not None and not isinstance(found, OnnxTensor):
            raise self._wrong(name, found, "a tensor")
        return found

    def list_or(self, place: Int, name: Str) -> tuple[Int, ...] | None:
        """What newer opsets give as an input and older ones as an attribute."""
        found = self.list(place)
        return self.ints(name) if found is None else found

    def axis(self, name: Str, default: Int | None = None, place: Int = 0) -> Int:
        """An attribute that is an axis of the input at `place`, as 0 or more."""
        return self.positive(self.int(name, default), self.rank(place))

    def positive(self, axis: Int, rank: Int) -> Int:
        """`axis` of a tensor of `rank`, counted from the front."""
        if not -rank <= axis < max(rank, 1):
            raise FormatError(f"{self.node.op_type} axis", got=repr(axis), need=f"rank {rank}")
        return axis + rank if axis < 0 else axis

    def dtype(self, name: Str, default: Int) -> tuple[DType, Str]:
        """A data type attribute: ours and ONNX's name."""
        from .arrays import CODES

        code = self.int(name, default)
        onnx = CODES[code] if 0 <= code < len(CODES) else f"type {code}"
        if onnx not in DTYPES:
            raise self.unsupported(f"{name} {onnx}")
        return DTYPES[onnx], onnx

    def wants(self, place: Int) -> bool:
        """Whether the model uses the output at `place`."""
        return place < len(self.node.outputs) and bool(self.node.outputs[place])

    def do(self, name: Str, *inputs: Value | None, opset: Any = None, **attrs: Any) -> Any:
        """Another operator of the table, as if it stood here."""
        if opset is None:
            opset = self.scope.opsets.get("", 13) if self.node.domain else self.opset
        function = find("", name, opset)
        assert function is not None, f"{name=} is not in the table"
        words = tuple(f"#{place}" if value else "" for place, value in enumerate(inputs))
        node = OnnxNode(name, words, ("#out",), "", attrs, self.node.name)
        return function(Call(node, inputs, self.b, opset, self.scope, self.importer))

    def unsupported(self, what: Str) -> UnsupportedError:
        """The error for a use of the operator that is not there."""
        return UnsupportedError(f"ONNX {self.node.op_type}", got=what, need="another form of it",
                                where=self.importer.place(self.node))  # fmt: skip

    def _wrong(self, name: Str, got: object, need: Str) -> FormatError:
        return FormatError(f"{self.node.op_type} attribute {name!r}", got=repr(got)[:80], need=need)
