"""What plans of one weight file bring and hold, as plain data: told here and in a page alike."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgewise.dtypes import DType
from edgewise.graph.builder import GraphBuilder
from edgewise.graph.graph import Graph, Source
from edgewise.host.base import Device, Executable, Host, Target, WeightBytes, Weights
from edgewise.runtime.model import Model
from edgewise.targets.reference_plan import Place

F32 = DType.FLOAT32
WIDTH = 256
LAYERS = "abc"
TABLE = bytes(range(256)) * 4 * WIDTH  # a constant too large for a plan, the graph's own
NBYTES = {"weight": 4 * WIDTH * WIDTH, "bias": 4 * WIDTH, "table": len(TABLE)}


def file() -> tuple[dict[str, Place], bytes]:
    """A file with a weight and a bias for each layer."""
    rng = np.random.default_rng(6)
    data, tensors = b"", {}
    for layer in LAYERS:
        for kind, shape in (("weight", (WIDTH, WIDTH)), ("bias", (WIDTH,))):
            raw = (rng.standard_normal(shape, np.float32) / 16).tobytes()
            tensors[f"{layer}.{kind}"] = Place("F32", shape, len(data), len(raw))
            data += raw
    return tensors, data


def source(layer: str, kind: str) -> Source:
    """Where a constant lies in the file."""
    return Source(f"{layer}.{kind}", "F32", "values")


def graph(rows: int, layers: str) -> Graph:
    """x through `layers`, and a row of the table added to it."""
    b = GraphBuilder(f"{layers} on {rows}")
    h = b.input("x", F32, (rows, WIDTH))
    for layer in layers:
        weight = b.constant(F32, (WIDTH, WIDTH), source=source(layer, "weight"))
        bias = b.constant(F32, (WIDTH,), source=source(layer, "bias"))
        h = b.add(b.matmul(h, weight), bias)
    table = b.constant(DType.UINT8, (4 * WIDTH, WIDTH), data=TABLE)
    row = b.cast(b.gather(table, b.input("row", DType.INT32, (1,))), F32)
    b.output("y", b.add(h, row))
    return b.build()


class Watched:
    """A device that knows how many bytes of weights it was brought, load by load."""

    def __init__(self, device: Device) -> None:
        self._device, self.facts = device, device.facts
        self.brought: list[int] = []

    async def load(
        self, plan: str, weights: Weights, on_progress: object, share: Sequence[Executable] = ()
    ) -> Executable:
        """As the device does."""
        totals = [0]
        made = await self._device.load(
            plan, weights, lambda done, total: totals.append(done), share
        )
        self.brought.append(totals[-1])
        return made

    async def close(self) -> None:
        """Give the device back."""
        await self._device.close()


async def story(host: Host, target: Target, order: Sequence[int]) -> Mapping[str, Any]:
    """Three plans: of all layers, of all at another size, of some in another order.

    They are closed in this order. Gives what each load brought, what was planned for each, what
    each held after the loads and after each closing, and the outputs at first and at last.
    """
    tensors, data = file()
    device = Watched(await host.open_device(target))
    models: list[Model] = []
    for rows, layers in ((4, "abc"), (7, "abc"), (5, "ca")):
        made = await Model.load(host, graph(rows, layers), tensors, WeightBytes(data),
                                device=device, share=models)  # fmt: skip
        models.append(made)
    held = [[each.nbytes for each in models]]
    first = [await once(each) for each in models]
    last = {}
    for index in order:
        last[index] = await once(models[index])
        await models[index].close()
        held.append([each.nbytes for each in models])
    again = await Model.load(host, graph(4, "abc"), tensors, WeightBytes(data),
                             device=device, share=models)  # fmt: skip
    await again.close()
    await device.close()
    return {"brought": device.brought, "held": held, "first": first,
            "planned": [each.report.plan.nbytes for each in models],
            "last": [last[index] for index in range(3)]}  # fmt: skip


async def once(model: Model) -> Any:
    """A run on ones."""
    rows = int(model.graph.values["x"].shape[0])  # type: ignore[arg-type]
    x, row = np.ones((rows, WIDTH), np.float32), np.array([3], np.int32)
    return (await model.run({"x": x, "row": row}))["y"]


def expected(rows: int, layers: str) -> Any:
    """What a run on ones gives, in float64."""
    tensors, data = file()

    def array(name: str) -> Any:
        place = tensors[name]
        return np.frombuffer(data, np.float32, place.nbytes // 4, place.offset).reshape(place.shape)

    h = np.ones((rows, WIDTH))
    for layer in layers:
        h = h @ array(f"{layer}.weight").astype(np.float64) + array(f"{layer}.bias")
    return h + np.frombuffer(TABLE, np.uint8).reshape(-1, WIDTH)[3]
