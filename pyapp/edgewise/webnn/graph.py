"""A built graph: a model on the context's device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InputError
from ..graph.graph import Graph
from ..graph.text import print_graph
from ..runtime.model import Model, Report

if TYPE_CHECKING:
    from .context import MLContext


class MLGraph:
    """Made by `MLGraphBuilder.build` or `MLContext.load_graph`; belongs to one context.

    graph  the graph as data: what `to_text` prints and another context can load
    """

    def __init__(self, context: MLContext, graph: Graph, model: Model) -> None:
        self.graph = graph
        self._context = context
        self._model: Model | None = model

    @property
    def report(self) -> Report:
        """What the passes did, the plan's steps, and the memory it takes."""
        return self._loaded().report

    @property
    def operand_count(self) -> int:
        """Values of the graph: inputs, constants, and what the operators make."""
        return len(self.graph.values)

    @property
    def operation_count(self) -> int:
        """Operators of the graph."""
        return len(self.graph.nodes)

    def get_input_names(self) -> list[str]:
        """The inputs' names, in the order of their definition."""
        return list(self.graph.inputs)

    def get_output_names(self) -> list[str]:
        """The outputs' names, in the order given to `build`."""
        return list(self.graph.outputs)

    def to_text(self) -> str:
        """The graph's text form, constants included: `MLContext.load_graph` takes it anywhere."""
        return print_graph(self.graph)

    def destroy(self) -> None:
        """Free what it holds on the device; any use after that is an error."""
        model, self._model = self._model, None
        if model is not None:
            self._context._later(model.close())

    def _loaded(self) -> Model:
        if self._model is None:
            raise InputError(f"graph '{self.graph.name}'", got="a destroyed graph",
                             need="one that is not", fix="build it again")  # fmt: skip
        return self._model
