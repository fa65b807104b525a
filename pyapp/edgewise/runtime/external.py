"""Moves a graph's large inline constants behind its weight file, so that plans stay small.

A plan is JSON and would carry them in base64; weights travel as bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

from ..dims import evaluate
from ..dtypes import PLAIN
from ..graph.graph import Constant, Graph, Source
from ..host.base import WeightBytes, WeightFile, Weights
from ..ops import OPS
from ..targets.reference_plan import Place, Tensor

INLINE_NBYTES = 4096  # a constant up to this size stays in the plan
WHOLE = frozenset({"quantizedLinear"})  # a composite that takes its constants from anywhere
NAMES = {dtype: name for name, dtype in PLAIN.items() if name != "BOOL"}


@dataclass(frozen=True, slots=True)
class Moved:
    """A graph whose constants are where `tensors` says in `weights`."""

    graph: Graph
    tensors: Mapping[str, Tensor]
    weights: Weights


def externalise(graph: Graph, tensors: Mapping[str, Tensor], weights: Weights) -> Moved:
    """`graph` without inline constants over INLINE_NBYTES; equal bytes are kept once.

    Constants of composites stay: their kernels repack them, and take them apart by name.
    """
    # A WebNN operator that is also given in terms of others has a `spec`; a composite has none.
    composites = [each for each in graph.nodes if not OPS[each.op].spec and each.op not in WHOLE]
    kept = {name for node in composites for name in node.inputs}
    constants, places = dict(graph.constants), dict(tensors)
    tail, end = [weights.tail], sum(s.nbytes for s in weights.segments) + len(weights.tail)
    for name, constant in graph.constants.items():
        data = constant.data
        if data is None or len(data) <= INLINE_NBYTES or name in kept:
            continue
        type = NAMES[constant.value.dtype]
        # what is in it is its name: to plans of one file, a name is one tensor
        tensor = f"inline/{type}/{sha256(data).hexdigest()}"
        if tensor not in places:
            shape = tuple(evaluate(dim, {}) for dim in constant.value.shape)
            places[tensor] = Place(type, shape, end, len(data))
            tail.append(data)
            end += len(data)
        constants[name] = Constant(constant.value, Source(tensor, type, "values"), None)
    if len(tail) == 1:
        return Moved(graph, tensors, weights)
    joined = b"".join(tail)
    moved = WeightFile(weights.segments, joined) if weights.segments else WeightBytes(joined)
    return Moved(replace(graph, constants=constants), places, moved)
