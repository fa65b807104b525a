"""What an operator is: one row, from which everything else about it is derived.

A row (`Op`) gives an operator's inputs, attributes, shape rule and its meaning: a NumPy function
for the operators of the W3C WebNN specification, a decomposition into those for our composites.
Where the specification gives one of its operators in terms of others, the row has both, and a
target without a kernel for it runs the decomposition.
`shape`, `reference` and `decompose` share one calling convention: inputs by position, attributes
by keyword. The builder's method, the verifier's check, the reference target and the conformance
tests come from the row. Imports no NumPy: `reference` is handed the module.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from ..dims import Dim, Expr, bound
from ..dtypes import DType
from ..errors import DTypeError, EdgewiseError, GraphError, ShapeError

Shape: TypeAlias = tuple[Dim, ...]
Type: TypeAlias = tuple[DType, Shape]
Attr: TypeAlias = int | float | bool | str | DType | Dim | tuple["Attr", ...]
Kind = Literal[
    "int", "float", "number", "bool", "str", "dtype", "dim", "ints", "floats", "strs", "dims",
    "int|ints",
]  # fmt: skip

REQUIRED = "required"
LARGEST = 2**31 - 1  # of a "valid dimension", which the specification holds in a long


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor of a graph: its name, element type and shape, outermost dimension first."""

    name: str
    dtype: DType
    shape: Shape

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True, slots=True)
class In:
    """An input of a row. `like` names an earlier input whose data type it shares."""

    name: str
    dtypes: frozenset[DType]
    optional: bool = False
    like: str | None = None
    variadic: bool = False


@dataclass(frozen=True, slots=True)
class Param:
    """An attribute of a row. A default of None means that it may be absent."""

    name: str
    kind: Kind
    default: Attr | None = REQUIRED


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a target may be from the reference, by WPT's rules (webnn/resources/utils.js).

    The limit is `float32` or `float16` times `terms(*shapes, **attrs)`, the number of terms that
    an output element sums, or 1. Integers are always exact.
    """

    metric: Literal["ULP", "ATOL"]
    float32: float
    float16: float
    terms: Callable[..., int] | None = None


EXACT = Tolerance("ULP", 0, 0)


class Builder(Protocol):
    """What a decomposition builds with: graph/builder.py, or anything with its methods."""

    def scalar(self, dtype: DType, number: float) -> Value: ...

    def arange(self, dtype: DType, stop: int) -> Value: ...

    def vector(self, dtype: DType, numbers: Sequence[float]) -> Value: ...

    def __getattr__(self, name: str) -> Callable[..., Any]: ...


@dataclass(frozen=True, slots=True)
class Op:
    """A row of the operator table.

    name       the WebNN method, verbatim; the builder's method is the same in snake_case
    shape      (*values, **attrs) -> the data type and shape of each output
    reference  (xp, *arrays, **attrs) -> array or tuple of arrays; data types come as NumPy names
    decompose  (builder, *values, **attrs) -> value or tuple of values
    wgsl       an expression over inputs and attributes, such as {input}, all f32 for floats; {T} is
               the output's type. It may call the functions of targets/webgpu/kernels/math.wgsl
    in_place   output index -> index of the input, a state, that it is the next version of
    several    whether the builder's method returns a tuple
    typed      whether `reference` is also given `dtype`, the DType of its output
    """

    name: str
    inputs: tuple[In, ...]
    shape: Callable[..., Sequence[Type]]
    attrs: tuple[Param, ...] = ()
    reference: Callable[..., Any] | None = None
    decompose: Callable[..., Any] | None = None
    wgsl: str | None = None
    tolerance: Tolerance | None = None
    spec: str = ""
    in_place: Mapping[int, int] = field(default_factory=dict)
    several: bool = False
    typed: bool = False

    @property
    def method(self) -> str:
        """The builder's method: `reduceSum` -> `reduce_sum`."""
        return snake(self.name)

    @property
    def order(self) -> tuple[str, ...]:
        """The positional order of the method's arguments.

        As the specification has it for its own operators (what must be given, then the options);
        the table's for composites, which have no `spec`.
        """
        every = (*(row.name for row in self.inputs), *(param.name for param in self.attrs))
        if not self.spec:
            return every
        return (*self.required, *(name for name in every if name not in self.required))

    @property
    def required(self) -> tuple[str, ...]:
        """The arguments that must be given, inputs first."""
        inputs = (row.name for row in self.inputs if not row.optional)
        return (*inputs, *(param.name for param in self.attrs if param.default == REQUIRED))


OPS: dict[str, Op] = {}


def register(op: Op) -> None:
    """Add a row to the table. A name is taken once, and a row has a meaning."""
    assert op.name not in OPS, f"two rows for {op.name=}"
    assert op.reference is not None or op.decompose is not None, f"a meaning for {op.name=}"
    OPS[op.name] = op


def snake(name: str) -> str:
    """`keepDimensions` -> `keep_dimensions`, `gatherND` -> `gather_nd`, `isNaN` -> `is_nan`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z][A-Za-z0-9])", "_", name).lower()


def coerce(param: Param, given: object) -> Attr:
    """`given` in the one form that nodes hold: tuples for lists, floats where a float is meant.

    Raises GraphError for what is not of the attribute's kind.
    """
    kind = param.kind
    if kind == "dtype" and isinstance(given, DType):
        return given
    if kind == "bool" and isinstance(given, bool):
        return given
    if kind == "str" and isinstance(given, str) and not isinstance(given, DType):
        return given
    if kind == "float" and _is_number(given):
        return float(given)  # type: ignore[arg-type]
    if kind == "number" and _is_number(given):
        return given  # type: ignore[return-value]
    if kind == "floats" and isinstance(given, list | tuple) and all(map(_is_number, given)):
        return tuple(map(float, given))
    words = kind == "strs" and isinstance(given, list | tuple)
    if words and all(isinstance(each, str) for each in given):  # type: ignore[attr-defined]
        return tuple(given)  # type: ignore[arg-type]
    if kind in ("int", "dim", "int|ints") and _is_dim(given, kind == "dim"):
        return given  # type: ignore[return-value]
    listed = kind in ("ints", "dims", "int|ints") and isinstance(given, list | tuple)
    if listed and all(_is_dim(each, kind == "dims") for each in given):  # type: ignore[attr-defined]
        return tuple(given)  # type: ignore[arg-type]
    raise GraphError(f"attribute {param.name!r}", got=repr(given), need=f"kind {kind}")


def _is_number(given: object) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool)


def _is_dim(given: object, symbolic: bool) -> bool:
    if isinstance(given, int):
        return not isinstance(given, bool)
    return symbolic and isinstance(given, Expr)


def infer(
    op: Op, values: Sequence[Value | None], attrs: Mapping[str, Attr], where: str
) -> Sequence[Type]:
    """The types of the outputs of `op`, after checking inputs and attributes against its row.

    Raises DTypeError, ShapeError or GraphError, which name `where`.
    """
    try:
        _check_inputs(op, values)
        _check_attrs(op, attrs)
        types = op.shape(*values, **attrs)
        _check_types(types)
        return types
    except (DTypeError, ShapeError, GraphError) as error:
        raise located(error, op.name, where) from None


def located(error: EdgewiseError, op: str, where: str) -> EdgewiseError:
    """The same error with the operator before its subject and the place that it lacked."""
    return type(error)(f"{op} {error.what}", got=error.got, need=error.need,
                       where=error.where or where, fix=error.fix)  # fmt: skip


def _check_inputs(op: Op, values: Sequence[Value | None]) -> None:
    variadic = op.inputs[0].variadic
    if len(values) != len(op.inputs) and not (variadic and values):
        raise GraphError("inputs", got=str(len(values)), need=str(len(op.inputs)))
    seen: dict[str, DType] = {}
    for index, value in enumerate(values):
        row = op.inputs[0 if variadic else index]
        if value is None:
            if not row.optional:
                raise GraphError(f"input {row.name!r}", got="nothing", need="a value")
            continue
        if value.dtype not in row.dtypes:
            need = ", ".join(sorted(row.dtypes))
            raise DTypeError(f"input {row.name!r}", got=str(value), need=f"one of {need}")
        same = seen.get(row.name if variadic else row.like or "")
        if same is not None and value.dtype is not same:
            raise DTypeError(f"input {row.name!r}", got=str(value),
                             need=f"{same} as {row.like or 'the first'}")  # fmt: skip
        seen.setdefault(row.name, value.dtype)


def _check_types(types: Sequence[Type]) -> None:
    for _, shape in types:
        if any(not 0 <= bound(dim) <= LARGEST for dim in shape):
            raise ShapeError("output", got=f"shape [{', '.join(map(str, shape))}]",
                             need=f"sizes from 0 to {LARGEST}")  # fmt: skip


def _check_attrs(op: Op, attrs: Mapping[str, Attr]) -> None:
    known = 0
    for param in op.attrs:
        if param.name in attrs:
            known += 1
            attr = attrs[param.name]
            form = coerce(param, attr)
            if (form is not attr and form != attr) or type(form) is not type(attr):
                raise GraphError(f"attribute {param.name!r}", got=repr(attr),
                                 need="its canonical form")  # fmt: skip
        elif param.default is not None:
            raise GraphError(f"attribute {param.name!r}", got="nothing", need=f"kind {param.kind}")
    if known != len(attrs):
        names = [param.name for param in op.attrs]
        raise GraphError("attributes", got=str(sorted(attrs)), need=f"some of {names}")
