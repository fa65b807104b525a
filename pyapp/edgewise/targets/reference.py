"""The reference target: the meaning of a graph, in NumPy, slow and obvious.

Composites run as their decompositions, so that this is the oracle for every kernel. 4-bit
elements are arrays of 8-bit integers, one element each. NumPy is imported when a graph runs, not
with the module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import TYPE_CHECKING, Any, TypeAlias

from ..arrays import decode, numpy_name
from ..dims import evaluate
from ..dtypes import DType
from ..errors import DTypeError, InputError, ShapeError
from ..graph.graph import Constant, Graph, Node, bound_attr, symbols_of
from ..ops import OPS
from ..passes.decompose import decompose

if TYPE_CHECKING:
    import numpy as np

    Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Arrays: TypeAlias = "dict[str, Array]"
Constants: TypeAlias = "Callable[[Constant], Array]"


def run(
    graph: Graph,
    inputs: Mapping[str, Array],
    states: Mapping[str, Array],
    constants: Constants,
    bindings: Mapping[str, int],
    *,
    precise: bool = False,
) -> tuple[Arrays, Arrays]:
    """Run `graph` once: its outputs by public name, and its states after the run.

    constants  gives the array of a constant with a source; inline ones are read here
    bindings   a value for every symbol of the graph
    precise    compute every float in float64, whatever its type: for oracles

    Raises InputError, ShapeError or DTypeError for arrays that the graph does not take.
    """
    return Reference(graph, constants, precise=precise).run(inputs, states, bindings)


class Reference:
    """A graph ready to run many times. What depends on constants alone is computed once and kept.

    Memory: dequantised weights are kept, in float32 (float64 when `precise`).
    """

    def __init__(self, graph: Graph, constants: Constants, *, precise: bool = False) -> None:
        self.graph = decompose(graph).graph
        self._constants = constants
        self._precise = precise
        self._kept: Arrays = {}
        self._fixed, self._steps = self._divide()

    def run(
        self, inputs: Mapping[str, Array], states: Mapping[str, Array], bindings: Mapping[str, int]
    ) -> tuple[Arrays, Arrays]:
        """As the function `run`."""
        import numpy as np

        graph = self.graph
        _check_bindings(graph, bindings)
        given = self._checked(graph.inputs, inputs, bindings)
        given |= self._checked(graph.states, states, bindings)
        with np.errstate(all="ignore"):
            values = {**self._folded(), **given}
            lasting = {*graph.outputs.values(), *graph.updates.values(), *values}
            self._execute(self._steps, values, lasting, bindings)
        results = {public: values[name].copy() for public, name in graph.outputs.items()}
        after = {name: values[graph.updates.get(name, name)].copy() for name in graph.states}
        return results, after

    def _divide(self) -> tuple[list[Node], list[Node]]:
        """Nodes that depend on constants alone, and the others."""
        fixed, steps = [], []
        known = set(self.graph.constants)
        for node in self.graph.nodes:
            symbolic = any(True for attr in node.attrs.values() for _ in symbols_of(attr))
            if not symbolic and known.issuperset(name for name in node.inputs if name):
                fixed.append(node)
                known.update(node.outputs)
            else:
                steps.append(node)
        return fixed, steps

    def _folded(self) -> Arrays:
        """The constants and folded values that the other nodes and the results need."""
        graph = self.graph
        if self._kept or not graph.constants:
            return self._kept
        needed = {*graph.outputs.values(), *graph.updates.values()}
        needed.update(name for node in self._steps for name in node.inputs if name)
        values: Arrays = {}
        self._execute(self._fixed, values, needed, {})
        for name in needed.intersection(graph.constants).difference(values):
            values[name] = self._load(graph.constants[name])
        self._kept = values
        return values

    def _execute(
        self, nodes: list[Node], values: Arrays, lasting: set[str], bindings: Mapping[str, int]
    ) -> None:
        """Run `nodes` on `values`, which holds in the end only what is `lasting`."""
        last_use = {name: node for node in nodes for name in node.inputs}
        for node in nodes:
            for name in node.inputs:
                if name and name not in values:
                    values[name] = self._load(self.graph.constants[name])
            self._step(node, values, bindings)
            for name in (*node.inputs, *node.outputs):
                if name and last_use.get(name, node) is node and name not in lasting:
                    values.pop(name, None)

    def _step(self, node: Node, values: Arrays, bindings: Mapping[str, int]) -> None:
        import numpy as np

        row = OPS[node.op]
        assert row.reference is not None, f"{node.op=} was not decomposed"
        arrays = [values[name] if name else None for name in node.inputs]
        attrs: dict[str, Any] = {}
        for name, attr in node.attrs.items():
            bound = bound_attr(attr, bindings)
            attrs[name] = self._numpy(bound) if isinstance(bound, DType) else bound
        if row.typed:
            attrs["dtype"] = self.graph.values[node.outputs[0]].dtype
        made = row.reference(np, *arrays, **attrs)
        made = made if isinstance(made, tuple) else (made,)
        # NumPy's scalars, which rank 0 turns into, become arrays again
        values.update(zip(node.outputs, map(np.asarray, made), strict=True))

    def _numpy(self, dtype: DType) -> str:
        if self._precise and dtype.is_float:
            return "float64"
        return numpy_name(dtype)

    def _load(self, constant: Constant) -> Array:
        value = constant.value
        shape = tuple(evaluate(dim, {}) for dim in value.shape)
        if constant.data is None:
            array = self._constants(constant)
        else:
            array = decode(constant.data, value.dtype, prod(shape))
        if array.size != prod(shape):
            raise ShapeError(f"constant {value.name!r}", got=str(array.shape), need=str(value))
        return array.reshape(shape).astype(self._numpy(value.dtype), copy=False)

    def _checked(
        self, names: tuple[str, ...], arrays: Mapping[str, Array], bindings: Mapping[str, int]
    ) -> Arrays:
        if set(names) != set(arrays):
            raise InputError(f"arrays for {self.graph.name!r}", got=str(sorted(arrays)),
                             need=str(sorted(names)))  # fmt: skip
        checked: Arrays = {}
        for name in names:
            value, array = self.graph.values[name], arrays[name]
            shape = tuple(evaluate(dim, bindings) for dim in value.shape)
            if array.shape != shape:
                raise ShapeError(f"array {name!r}", got=str(array.shape), need=f"{shape}, {value}")
            allowed = {self._numpy(value.dtype), value.dtype.value}
            if array.dtype.name not in allowed:
                raise DTypeError(f"array {name!r}", got=array.dtype.name, need=str(value))
            checked[name] = array.astype(self._numpy(value.dtype), copy=False)
        return checked


def _check_bindings(graph: Graph, bindings: Mapping[str, int]) -> None:
    for name, top in graph.symbols.items():
        if not 0 <= bindings.get(name, -1) <= top:
            raise ShapeError(f"symbol {name!r}", got=str(bindings.get(name)), need=f"0 to {top}",
                             where=graph.name)  # fmt: skip
