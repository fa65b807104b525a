"""One graph with symbols as several static ones, on a real device that counts them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from edgewise.dtypes import DType
from edgewise.errors import InputError
from edgewise.graph.builder import GraphBuilder
from edgewise.host.base import Executable, WeightBytes, Weights
from edgewise.host.reference import FACTS, ReferenceDevice, ReferenceExecutable
from edgewise.runtime.external import Moved
from edgewise.runtime.static import KEPT, StaticShapes

F32 = DType.FLOAT32


class Counting(ReferenceDevice):
    """Remembers what was loaded, and what of it was closed."""

    def __init__(self) -> None:
        async def no_store(hash: str) -> bytes:
            raise AssertionError(f"{hash=}")

        super().__init__(no_store)
        self.loaded: list[Closable] = []

    async def load(
        self,
        plan: str,
        weights: Weights,
        on_progress: Callable[[int, int], None],
        share: Sequence[Executable] = (),
    ) -> ReferenceExecutable:
        made = await super().load(plan, weights, on_progress, share)
        self.loaded.append(Closable(made))
        return self.loaded[-1]  # type: ignore[return-value]


class Closable:
    """An executable that knows whether it is closed."""

    def __init__(self, inner: ReferenceExecutable) -> None:
        self.closed = False
        self.nbytes = self.peak_nbytes = inner.nbytes
        self.write, self.read, self.run = inner.write, inner.read, inner.run

    async def close(self) -> None:
        self.closed = True


def make() -> tuple[Counting, StaticShapes]:
    b = GraphBuilder("rows")
    x = b.input("x", F32, (b.symbol("seq", 16), 2))
    b.output("y", b.add(x, b.vector(F32, [1.0, 2.0])))
    device = Counting()
    return device, StaticShapes(device, FACTS, Moved(b.build(), {}, WeightBytes(b"")))


async def once(static: StaticShapes, seq: int) -> None:
    x = np.arange(2 * seq, dtype=np.float32).reshape(seq, 2)
    await static.write("x", x.tobytes())
    await static.run("main", {"seq": seq})
    y = np.frombuffer(await static.read("y"), np.float32).reshape(seq, 2)
    np.testing.assert_array_equal(y, x + np.array([1, 2]))


def test_a_shape_is_built_once_and_the_one_least_used_goes() -> None:
    device, static = make()

    async def work() -> None:
        for seq in (1, 2, 1, 3, 4, 1):
            await once(static, seq)
        assert len(device.loaded) == KEPT == 4
        assert static.nbytes == sum(each.nbytes for each in device.loaded)
        await once(static, 5)  # 2 was used the longest time ago
        assert [each.closed for each in device.loaded] == [False, True, False, False, False]
        await once(static, 2)
        assert len(device.loaded) == 6
        await static.close()

    asyncio.run(work())
    assert all(each.closed for each in device.loaded)


def test_wrong_names() -> None:
    _, static = make()
    with pytest.raises(InputError, match="'z'"):
        asyncio.run(static.write("z", b""))
    with pytest.raises(InputError, match="nothing to read"):
        asyncio.run(static.read("y"))


def test_the_plan_is_static() -> None:
    _, static = make()
    assert "seq" not in static.compile({"seq": 7}).text
