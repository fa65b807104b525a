"""MLGraphBuilder: a method for every operator of the specification, from the operator table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from ..dims import Dim
from ..dtypes import DType
from ..errors import GraphError, InputError
from ..graph.builder import GraphBuilder
from ..graph.graph import Graph, Value
from ..ops import OPS
from ..ops.base import Op, snake
from . import compat, data
from .operand import (
    Described,
    MLOperand,
    MLOperandDescriptor,
    MLTensor,
    described,
    dims_of,
    dtype_of,
)

if TYPE_CHECKING:
    from .context import MLContext
    from .graph import MLGraph


class MLGraphBuilder:
    """Collects operands and operators; `build` makes them a graph on the context's device.

    An operator's method takes what the specification requires by position, its options by keyword
    or as one dict at the end, in snake_case or as the specification spells them.
    """

    def __init__(self, context: MLContext) -> None:
        context._check()
        self._context = context
        self._inner = GraphBuilder("webnn")
        self._built = False

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Callable[..., Any]: ...

    def input(
        self,
        name: str,
        shape: Sequence[Dim] | Described,
        data_type: DType | str = DType.FLOAT32,
    ) -> MLOperand:
        """An input by name; `shape` may be a descriptor, as in the specification."""
        self._check()
        where = f"input '{name}'"
        if not name:
            raise InputError("an input", got="an empty name", need="a word")
        if isinstance(shape, MLOperandDescriptor | Mapping):
            found = described(shape, where)
            return MLOperand(self._inner.input(name, found.data_type, found.shape), name)
        sizes = dims_of(shape, where, symbols=True)
        return MLOperand(self._inner.input(name, dtype_of(data_type, where), sizes), name)

    def symbol(self, name: str, bound: int) -> Dim:
        """A size that is known at run time only, at most `bound`, for shapes of inputs."""
        return self._inner.symbol(name, bound)

    def constant(
        self,
        value: Any,
        shape: Any = None,
        data_type: DType | str | None = None,
    ) -> MLOperand:
        """A constant, in one of these forms.

        constant(array), constant(list, shape, data_type)    as pywebnn
        constant(bytes, shape, data_type)                    4-bit elements packed
        constant(descriptor, array or bytes)                 as the specification
        constant(data_type, number)                          rank 0
        constant(tensor)                                     from create_constant_tensor

        Raises DTypeError for an array of another data type, ShapeError, InputError.
        """
        self._check()
        if isinstance(value, MLTensor):
            return self._constant(value.descriptor, self._context._constant_bytes(value))
        if isinstance(value, str | DType):
            return self._constant(*data.scalar(value, shape))
        if isinstance(value, MLOperandDescriptor | Mapping):
            found = described(value, "constant")
            return self._constant(found, data.elements(found, shape, "constant"))
        return self._constant(*data.constant_from(value, shape, data_type))

    def build_graph(self, outputs: Mapping[str, MLOperand]) -> Graph:
        """The verified graph as data, on no device. A builder builds once.

        Raises GraphError for outputs that the specification refuses: none at all, inputs,
        constants, and operands of another builder.
        """
        self._check()
        if not outputs:
            raise GraphError("outputs", got="none", need="at least one")
        made = {name for node in self._inner.collect().nodes for name in node.outputs}
        for name, operand in outputs.items():
            value = getattr(operand, "_value", None)
            if not name or value is None or value.name not in made:
                raise GraphError(f"output '{name}'", got=repr(operand),
                                 need="what an operator of this builder gave")  # fmt: skip
        for name, operand in outputs.items():
            self._inner.output(name, operand._value)
        graph = self._inner.build()
        self._built = True
        return graph

    async def build_async(self, outputs: Mapping[str, MLOperand]) -> MLGraph:
        """The graph, compiled and loaded. Raises as `build_graph` and `runtime.Model.load`."""
        return await self._context.load_graph_async(self.build_graph(outputs))

    def build(self, outputs: Mapping[str, MLOperand]) -> MLGraph:
        """As `build_async`, where the caller may wait."""
        made = self.build_async(outputs)
        return self._context._wait(made, "build_async(...)")

    def _check(self) -> None:
        self._context._check()
        if self._built:
            raise GraphError("the builder", got="a graph that was built already", need="none yet",
                             fix="make a new one with context.create_graph_builder()")  # fmt: skip

    def _constant(self, found: MLOperandDescriptor, raw: bytes) -> MLOperand:
        return MLOperand(self._inner.constant(found.data_type, found.shape, data=raw))

    def _apply(self, op: Op, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        self._check()
        if args and isinstance(args[-1], Mapping):
            *args, options = args
            kwargs = {snake(name): each for name, each in options.items()} | kwargs
        args, kwargs = compat.respelled(op.method, args, kwargs)
        label = kwargs.pop("label", None)
        types = {snake(param.name) for param in op.attrs if param.kind == "dtype"}
        order = [snake(name) for name in op.order]
        positional = [
            _plain(each, name in types, op.name)
            for each, name in zip(args, (*order, *[""] * len(args)), strict=False)
        ]
        named = {name: _plain(each, name in types, op.name) for name, each in kwargs.items()}
        with self._inner.scope(str(label)) if label else nullcontext():
            made = getattr(self._inner, op.method)(*positional, **named)
        for value in made if isinstance(made, tuple) else (made,):
            dims_of(value.shape, f"{op.name} output", symbols=True)
        return [MLOperand(v) for v in made] if isinstance(made, tuple) else MLOperand(made)


def _plain(given: Any, is_type: bool, op: str) -> Any:
    """An argument as the graph's builder takes it: values, and Python's own numbers."""
    if isinstance(given, MLOperand):
        return given._value
    if is_type and isinstance(given, str):
        return dtype_of(given, op)
    if isinstance(given, list | tuple):
        return [_plain(each, False, op) for each in given]
    if not isinstance(given, Value | DType) and hasattr(given, "tolist"):  # NumPy's
        return given.tolist()
    return given


def _method(op: Op) -> Callable[..., Any]:
    def method(self: MLGraphBuilder, *args: Any, **kwargs: Any) -> Any:
        return self._apply(op, args, kwargs)

    method.__name__ = op.method
    method.__doc__ = f"{op.name}({', '.join(map(snake, op.order))}), {op.spec}"
    return method


for _op in OPS.values():
    if _op.spec:
        setattr(MLGraphBuilder, _op.method, _method(_op))
for _name, _made in compat.METHODS.items():
    setattr(MLGraphBuilder, _name, _made)
