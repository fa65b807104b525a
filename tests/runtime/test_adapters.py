"""Sessions with adapters: what they add, swaps between tokens, and the base as it was."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewise.errors import InputError, UnsupportedError
from edgewise.host.base import Target
from edgewise.host.cpython import CPythonHost
from edgewise.importers.adapters import WEIGHTS
from edgewise.runtime.adapters import Adapted
from edgewise.runtime.session import Session
from edgewise.store.adapter import tensors_id
from edgewise.store.manifest import Manifest
from edgewise.store.pack import pack
from edgewise.tasks.documents import load_manifest
from tests.runtime.test_session import GREEDY, answer, lose
from tests.store.models import digest
from tests.tiny_adapter import CLERK, POET, TinyAdapter
from tests.tiny_chat import TinyChat, make

ADAPTERS = {"poet": POET, "clerk": CLERK}
TARGETS = (pytest.param("webgpu", marks=pytest.mark.gpu), "wasm", "reference")
PROMPT = [72, 105, 33, 40, 41]
Chosen = str | Mapping[str, float] | None
Work = Callable[[Session], Awaitable[None]]


def packed(tiny: TinyChat, folder: Path, adapters: Mapping[str, TinyAdapter]) -> dict[str, Path]:
    """The manifests of adapters of the tiny model."""
    return {
        name: pack(each.write(folder / name, tiny.model), folder / "packed", base=tiny.manifest)
        for name, each in adapters.items()
    }


async def loaded(host: CPythonHost, written: Mapping[str, Path]) -> dict[str, Manifest]:
    return {name: await load_manifest(host, str(path)) for name, path in written.items()}


@pytest.fixture(params=TARGETS)
def run(request: pytest.FixtureRequest, tiny: TinyChat, tmp_path: Path) -> Callable[[Work], None]:
    """Does `work(session)` on a session that knows both adapters."""

    async def go(work: Work) -> None:
        host = CPythonHost(tmp_path / "store")
        adapters = await loaded(host, packed(tiny, tmp_path, ADAPTERS))
        session = await Session.open(
            host, await load_manifest(host, str(tiny.manifest)), target=request.param,
            max_context=64, adapters=adapters,
        )  # fmt: skip
        try:
            await work(session)
        finally:
            await session.close()

    return lambda work: asyncio.run(go(work))


def objects(manifest: Manifest) -> set[str | None]:
    """The objects that a model's tensors are."""
    spans = [manifest.segments_of(name) for name in manifest.tensors]
    return {segment.hash for span in spans for segment in span.segments}


def weights_of(chosen: Chosen) -> Mapping[str, float]:
    return {} if chosen is None else {chosen: 1.0} if isinstance(chosen, str) else chosen


def greedy(tiny: TinyChat, chosen: Chosen, prompt: Sequence[int], n: int) -> list[int]:
    """Tokens of the model with the adapters merged, in float64."""
    weights = tiny.weights
    for name, weight in weights_of(chosen).items():
        weights = ADAPTERS[name].merged(tiny.model, weights, weight)
    tokens = list(prompt)
    for _ in range(n):
        tokens.append(int(np.argmax(tiny.model.logits(weights, tokens)[-1])))
    return tokens[len(prompt) :]


@pytest.mark.slow
def test_tokens_are_the_merged_models(tiny: TinyChat, run: Callable[[Work], None]) -> None:
    """One, the other, both with weights, none: no session is opened anew."""
    settings: list[Chosen] = ["poet", "clerk", {"poet": 0.5, "clerk": -1.5}, None, "poet"]
    wanted = [greedy(tiny, chosen, PROMPT, 8) for chosen in settings]
    assert len(set(map(tuple, wanted))) == 4, "an adapter changes nothing"

    async def work(session: Session) -> None:
        for chosen, tokens in zip(settings, wanted, strict=True):
            session.set_adapter(chosen)
            assert await answer(session, PROMPT, 8) == tokens

    run(work)


@pytest.mark.slow
def test_a_swap_between_two_tokens(tiny: TinyChat, run: Callable[[Work], None]) -> None:
    """As if the tokens had been fed to the model one by one, each under its adapter; and again
    when the device is lost on the way and all of them are read once more."""

    async def step_by_step(session: Session) -> list[int]:
        """Programs run one by one, each with the weights of its time."""
        executable, tokens, made, past = session._executable, PROMPT, list[int](), 0
        await executable.write("settings", struct.pack("<5f", 0, 0, 1, 1, 0))
        for chosen in ["poet"] * 3 + ["clerk"] * 2 + [None] * 2 + ["clerk"] * 2:
            weights = session._model.weights(chosen)
            await executable.write(WEIGHTS, struct.pack("<2f", *weights))
            await executable.write("tokens", struct.pack(f"<{len(tokens)}i", *tokens))
            bindings = {"seq": len(tokens), "past": past}
            await executable.run("prefill" if past == 0 else "decode", bindings)
            past += len(tokens)
            tokens = list(struct.unpack("<i", (await executable.read("token", 4))[:4]))
            made += tokens
        return made

    async def in_one(session: Session, lost_at: int) -> list[int]:
        session.set_adapter("poet")
        made: list[int] = []
        async for batch in session.generate(PROMPT, max_new_tokens=9, stop_ids=(), sampling=GREEDY):
            made += batch
            if len(made) == lost_at:
                lose(session)
            swaps: dict[int, Chosen] = {3: "clerk", 5: None, 7: "clerk"}
            if len(made) in swaps:
                session.set_adapter(swaps[len(made)])
        return made

    async def work(session: Session) -> None:
        wanted = await step_by_step(session)
        assert wanted != greedy(tiny, "poet", PROMPT, 9)
        assert await in_one(session, 0) == wanted
        if session.report.facts.target != "reference":
            assert await in_one(session, 6) == wanted
        session.set_adapter("clerk")  # the next answer reads anew what was read otherwise
        assert await answer(session, PROMPT, 6) == greedy(tiny, "clerk", PROMPT, 6)

    run(work)


@pytest.mark.parametrize(
    "target", [pytest.param("webgpu", marks=pytest.mark.gpu), "wasm", "reference"]
)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(tiny: TinyChat, tmp_path: Path, target: Target, dtype: str) -> None:
    adapter = TinyAdapter(CLERK.modules, rank=3, dtype=dtype)
    weights = adapter.merged(tiny.model, tiny.weights, 1.0)
    tokens = list(PROMPT)
    for _ in range(3):
        tokens.append(int(np.argmax(tiny.model.logits(weights, tokens)[-1])))

    async def go() -> None:
        host = CPythonHost(tmp_path / "store")
        adapters = await loaded(host, packed(tiny, tmp_path, {"half": adapter}))
        base = await load_manifest(host, str(tiny.manifest))
        session = await Session.open(host, base, target=target, max_context=64, adapters=adapters)
        session.set_adapter("half")
        assert await answer(session, PROMPT, 3) == tokens[len(PROMPT) :]
        await session.close()

    asyncio.run(go())


def test_a_base_whose_hashes_are_learnt_is_checked_then(tiny: TinyChat, tmp_path: Path) -> None:
    async def go() -> None:
        host = CPythonHost(tmp_path / "store")
        base = await load_manifest(host, str(tiny.manifest.with_name("tiny.gguf")))
        assert tensors_id(base) is None
        adapters = await loaded(host, packed(tiny, tmp_path, {"poet": POET}))
        session = await Session.open(host, base, target="wasm", max_context=64, adapters=adapters)
        await session.close()
        other = make(tmp_path / "other", seed=6)
        wrong = await loaded(host, packed(other, tmp_path / "more", {"poet": POET}))
        with pytest.raises(InputError, match="is for another base"):
            await Session.open(host, base, target="wasm", adapters=wrong)

    asyncio.run(go())


def test_what_a_session_was_not_opened_with_is_named(
    tiny: TinyChat, run: Callable[[Work], None]
) -> None:
    async def work(session: Session) -> None:
        for chosen, says in (("judge", r"'judge'.*\['clerk', 'poet'\]"), ({"poet": np.nan}, "nan")):
            with pytest.raises(InputError, match=says):
                session.set_adapter(chosen)
        session.set_adapter({})
        assert await answer(session, PROMPT, 2) == greedy(tiny, None, PROMPT, 2)

    run(work)


def test_without_adapters_the_plan_is_that_of_the_model(tiny: TinyChat, tmp_path: Path) -> None:
    async def go() -> None:
        base = await load_manifest(CPythonHost(tmp_path / "store"), str(tiny.manifest))
        assert Adapted(base).manifest is base
        assert not Adapted(base).adapters.stacks

    asyncio.run(go())


def test_another_base_and_mixed_types_are_refused(tiny: TinyChat, tmp_path: Path) -> None:
    async def go() -> None:
        host = CPythonHost(tmp_path / "store")
        base = await load_manifest(host, str(tiny.manifest))
        half = TinyAdapter(dtype="float16")
        parts = await loaded(host, packed(tiny, tmp_path, {"poet": POET, "half": half}))
        with pytest.raises(UnsupportedError, match="F16, F32"):
            Adapted(base, parts).manifest  # noqa: B018
        first, *rest = base.segments
        changed = [first, *rest[:-1]]
        other = base.with_hashes([s.hash for s in changed] + ["0" * 64])
        assert tensors_id(other) != tensors_id(base)
        with pytest.raises(InputError, match="is for another base") as caught:
            await Session.open(host, other, target="wasm", adapters={"poet": parts["poet"]})
        assert "'tiny'" in str(caught.value)

    asyncio.run(go())


def test_ten_adapters_on_one_base_store_it_once(tiny: TinyChat, tmp_path: Path) -> None:
    """And what the base consists of is the same, to the hash, before and after."""
    many = {f"voice{i}": TinyAdapter(seed=i) for i in range(10)}

    async def go() -> None:
        host = CPythonHost(tmp_path / "store")
        base = await load_manifest(host, str(tiny.manifest))
        session = await Session.open(host, base, target="wasm", max_context=64)
        await session.close()
        before = set(await host.store.list())
        assert before >= objects(base)
        adapters = await loaded(host, packed(tiny, tmp_path, many))
        session = await Session.open(host, base, target="wasm", max_context=64, adapters=adapters)
        session.set_adapter({"voice3": 0.5, "voice9": 0.5})
        await answer(session, PROMPT, 2)
        await session.close()
        after = set(await host.store.list())
        assert after == before.union(*map(objects, adapters.values()))
        assert len(after - before) == 10 * len(adapters["voice0"].tensors)
        for name in after:  # each is what its name says
            assert digest(await host._object(name)) == name

    asyncio.run(go())


def test_an_adapter_is_for_the_tensors_not_for_the_file(tiny: TinyChat, tmp_path: Path) -> None:
    """Other metadata, such as a mended chat template, leave the base what it is."""
    base: Any = Manifest.from_json(tiny.manifest.read_text())
    first = base.segments[0].hash
    mended = base.with_hashes([s.hash if s.hash != first else "1" * 64 for s in base.segments])
    assert tensors_id(mended) == tensors_id(base)
