"""Sessions on wgpu and Wasm with a tiny model whose tokens an independent llama predicts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from edgewise.errors import ContextOverrunError, DeviceLostError, EmptyPromptError, InputError
from edgewise.host.base import Target
from edgewise.host.cpython import CPythonHost
from edgewise.host.wasm import WasmDevice
from edgewise.runtime.session import Progress, Sampling, Session
from edgewise.tasks.documents import load_manifest
from tests.tiny_chat import TinyChat, make

GREEDY = Sampling()


Run: TypeAlias = Callable[[Any], None]


@pytest.fixture(params=[pytest.param("webgpu", marks=pytest.mark.gpu), "wasm"])
def target(request: pytest.FixtureRequest) -> Target:
    found: Target = request.param
    return found


@pytest.fixture
def run(target: Target, tiny: TinyChat, tmp_path: Path) -> Run:
    """Does `work(session, progress)` on a session of its own, of a context of 64 tokens."""
    return lambda work: asyncio.run(with_session(CPythonHost(tmp_path), tiny, target, work))


async def with_session(host: CPythonHost, model: TinyChat, target: Target, work: Any) -> None:
    manifest = await load_manifest(host, str(model.manifest))
    seen: list[Progress] = []
    session = await Session.open(
        host, manifest, target=target, max_context=64, on_progress=seen.append
    )
    try:
        await work(session, seen)
    finally:
        await session.close()


def lose(session: Session) -> None:
    """The device goes away."""
    device = session._device
    if isinstance(device, WasmDevice):
        device._lost = "a helper thread trapped"
    else:
        device._device.destroy()  # type: ignore[attr-defined]


async def answer(
    session: Session,
    prompt: Sequence[int],
    n: int,
    sampling: Sampling = GREEDY,
    stop_ids: Collection[int] = (),
) -> list[int]:
    made: list[int] = []
    async for batch in session.generate(
        prompt, max_new_tokens=n, stop_ids=stop_ids, sampling=sampling
    ):
        made += batch
    return made


@pytest.mark.parametrize("type", ["F32", "F16", "BF16"])
def test_matrices_that_are_not_quantised(target: Target, type: str, tmp_path: Path) -> None:
    model, prompt = make(tmp_path / "model", matrices=type), [72, 105, 33]

    async def work(session: Session, seen: list[Progress]) -> None:
        assert await answer(session, prompt, 6) == model.greedy(prompt, 6)

    asyncio.run(with_session(CPythonHost(tmp_path / "store"), model, target, work))


def test_tokens_are_the_oracles_and_a_prefix_is_not_read_again(tiny: TinyChat, run: Run) -> None:
    first, second = [72, 105, 33], [72, 105, 33, 40, 41, 42]

    async def work(session: Session, seen: list[Progress]) -> None:
        assert await answer(session, first, 8) == tiny.greedy(first, 8)
        longer = [*first, *tiny.greedy(first, 4), 50]  # continues what the state holds
        assert await answer(session, longer, 6) == tiny.greedy(longer, 6)
        assert await answer(session, second, 6) == tiny.greedy(second, 6)  # leaves it
        assert await answer(session, second, 6) == tiny.greedy(second, 6)  # the same again
        stages = list(dict.fromkeys(progress.stage for progress in seen))
        assert stages == ["check", "compile", "download", "load"]
        assert session.report.device_nbytes > 0

    run(work)


def test_a_stop_token_ends_and_the_next_answer_is_right(tiny: TinyChat, run: Run) -> None:
    prompt = [72, 105, 33]
    wanted = tiny.greedy(prompt, 8)

    async def work(session: Session, seen: list[Progress]) -> None:
        stop = wanted[3]
        upto = wanted[: wanted.index(stop) + 1]
        assert await answer(session, prompt, 8, stop_ids={stop}) == upto
        assert await answer(session, prompt, 8) == wanted

    run(work)


def test_a_seed_repeats_itself_and_a_penalty_counts_the_prompt(tiny: TinyChat, run: Run) -> None:
    prompt = [72, 105, 33, 40]

    async def work(session: Session, seen: list[Progress]) -> None:
        hot = Sampling(temperature=3.0, seed=7)
        one = await answer(session, prompt, 10, hot)
        assert await answer(session, prompt, 10, hot) == one
        assert await answer(session, prompt, 10, Sampling(temperature=3.0, seed=8)) != one
        # So strong a penalty forbids whatever occurred, if a score above zero is left at all.
        made = await answer(session, prompt, 12, Sampling(repetition_penalty=1e6))
        assert len({*prompt, *made}) == len(prompt) + len(made)
        assert await answer(session, prompt, 8) == tiny.greedy(prompt, 8)

    run(work)


def test_bad_prompts_are_refused_and_the_next_one_works(tiny: TinyChat, run: Run) -> None:
    async def work(session: Session, seen: list[Progress]) -> None:
        with pytest.raises(EmptyPromptError):
            await answer(session, [], 4)
        with pytest.raises(ContextOverrunError, match="64 tokens"):
            await answer(session, [1] * 64, 4)
        with pytest.raises(InputError, match="0 to"):
            await answer(session, [100000], 4)
        with pytest.raises(InputError, match="at least 1"):
            await answer(session, [1], 0)
        prompt = [7] * 60
        assert await answer(session, prompt, 20) == tiny.greedy(prompt, 4), "to the context's end"

    run(work)


def test_leaving_an_answer_leaves_the_session_usable(tiny: TinyChat, run: Run) -> None:
    prompt = [72, 105, 33]

    async def work(session: Session, seen: list[Progress]) -> None:
        batches = session.generate(prompt, max_new_tokens=30, stop_ids=(), sampling=GREEDY)
        assert (await anext(batches))[0] == tiny.greedy(prompt, 1)[0]
        await batches.aclose()
        assert await answer(session, prompt, 8) == tiny.greedy(prompt, 8)

    run(work)


def test_a_lost_device_is_replaced_and_no_token_lost(tiny: TinyChat, run: Run) -> None:
    prompt = [72, 105, 33]

    async def work(session: Session, seen: list[Progress]) -> None:
        made: list[int] = []
        lost = 0
        async for batch in session.generate(
            prompt, max_new_tokens=10, stop_ids=(), sampling=GREEDY
        ):
            made += batch
            if len(made) >= 4 and not lost:
                lost = len(made)
                lose(session)
        assert lost
        assert made == tiny.greedy(prompt, 10)

    run(work)


def test_a_device_lost_twice_is_an_error_with_a_name(tiny: TinyChat, run: Run) -> None:
    async def fragile(session: Session) -> None:
        batches = session.generate([72], max_new_tokens=10, stop_ids=(), sampling=GREEDY)
        async for _ in batches:
            lose(session)

    async def work(session: Session, seen: list[Progress]) -> None:
        with pytest.raises(DeviceLostError):
            await fragile(session)

    run(work)
