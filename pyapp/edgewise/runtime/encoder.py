"""An encoder on one device: token ids of a few texts in, a vector for each out.

Nothing is kept from text to text. A lost device costs time: the model is loaded again, once.
Works without NumPy: vectors are `array('f')`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .. import debug
from ..errors import DeviceLostError, UnsupportedError
from ..graph.graph import Graph
from ..host.base import Host, WeightFile
from ..importers import bert
from ..store.manifest import Manifest
from .model import Model, Report, Target
from .session import Progress, fetch

IMPORTERS = {"bert": bert.build}
VECTOR = "sentence_embedding"
#: Texts computed at once. Memory is planned at this and the longest text: 16 x 256 tokens of
#: MiniLM need 50 MB for one layer's attention.
BATCH = 16


class Encoder:
    """Open one with `Encoder.open`; at most BATCH texts of `limit` tokens at a time."""

    def __init__(
        self, host: Host, manifest: Manifest, graph: Graph, target: Target, model: Model
    ) -> None:
        self.limit = graph.symbols["seq"]
        width = graph.values[graph.outputs[VECTOR]].shape[-1]
        assert isinstance(width, int), f"{width=}"
        self.width = width
        self._host, self._manifest, self._graph = host, manifest, graph
        self._target, self._model = target, model

    @classmethod
    async def open(
        cls,
        host: Host,
        manifest: Manifest,
        *,
        target: Target = "auto",
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> Encoder:
        """Bring a model onto a device of this machine. URLs in `manifest` are absolute.

        Raises UnsupportedError for an architecture or a device's lack, before any weight is
        downloaded; FormatError for a manifest that does not fit itself; NoDeviceError, PlanError,
        QuotaError, DownloadError, HashMismatchError, StoreError; DeviceLostError.
        """
        graph = build_graph(manifest)
        manifest = await fetch(host, manifest, on_progress)
        model = await _load(host, manifest, graph, target)
        return cls(host, manifest, graph, target, model)

    @property
    def report(self) -> Report:
        """What came of the model on the device."""
        return self._model.report

    async def run(self, texts: Sequence[Sequence[int]]) -> list[array[float]]:
        """The vector of each text, in float32, from its token ids."""
        longest = max(map(len, texts))
        ids, mask = array("i"), array("i")
        for text in texts:
            padding = longest - len(text)
            ids.extend([*text, *[0] * padding])  # whatever stands there, it is masked
            mask.extend([1] * len(text) + [0] * padding)
        inputs = {
            "input_ids": ids.tobytes(), "attention_mask": mask.tobytes(),
            "token_type_ids": bytes(4 * len(ids)),
        }  # fmt: skip
        found = await self._run(inputs, {"batch": len(texts), "seq": longest})
        values = array("f")
        values.frombytes(found if isinstance(found, bytes) else found.tobytes())
        return [values[at : at + self.width] for at in range(0, len(values), self.width)]

    async def _run(self, inputs: Mapping[str, bytes], bindings: Mapping[str, int]) -> Any:
        try:
            return (await self._model.run(inputs, bindings))[VECTOR]
        except DeviceLostError:
            debug.say(debug.TIMINGS, "encoder", "device lost: loading again")
            self._model = await _load(self._host, self._manifest, self._graph, self._target)
            return (await self._model.run(inputs, bindings))[VECTOR]

    async def close(self) -> None:
        """Free the device."""
        await self._model.close()


def build_graph(manifest: Manifest) -> Graph:
    """A model's graph with the vector of a text as its only output; see `Encoder.open`."""
    build = IMPORTERS.get(manifest.architecture)
    if build is None:
        raise UnsupportedError(
            f"model '{manifest.name}'", got=f"architecture '{manifest.architecture}'",
            need=f"an encoder: {', '.join(IMPORTERS)}",
        )  # fmt: skip
    graph = build(manifest.config, manifest.tensors, max_batch=BATCH)
    return replace(graph, outputs={VECTOR: graph.outputs[VECTOR]})


async def _load(host: Host, manifest: Manifest, graph: Graph, target: Target) -> Model:
    weights = WeightFile(manifest.segments)
    return await Model.load(host, graph, manifest.tensors, weights, target=target)
