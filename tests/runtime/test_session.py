"""Sessions on wgpu with a tiny model whose tokens an independent llama predicts."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pytest

from edgewise.errors import ContextOverrunError, DeviceLostError, EmptyPromptError, InputError
from edgewise.host.cpython import CPythonHost
from edgewise.runtime.session import Progress, Sampling, Session
from edgewise.tasks.documents import load_manifest
from tests import tiny_chat
from tests.tiny_chat import TinyChat

GREEDY = Sampling()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: Any) -> TinyChat:
    return tiny_chat.make(tmp_path_factory.mktemp("tiny"))


def run(tiny: TinyChat, folder: Path, work: Any, max_context: int = 64) -> Any:
    """`work(session, progress)` on a session of its own."""

    async def go() -> Any:
        host = CPythonHost(folder)
        manifest = await load_manifest(host, str(tiny.manifest))
        seen: list[Progress] = []
        session = await Session.open(
            host, manifest, max_context=max_context, on_progress=seen.append
        )
        try:
            return await work(session, seen)
        finally:
            await session.close()

    return asyncio.run(go())


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


def test_tokens_are_the_oracles_and_a_prefix_is_not_read_again(
    tiny: TinyChat, tmp_path: Path
) -> None:
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

    run(tiny, tmp_path, work)


def test_a_stop_token_ends_and_the_next_answer_is_right(tiny: TinyChat, tmp_path: Path) -> None:
    prompt = [72, 105, 33]
    wanted = tiny.greedy(prompt, 8)

    async def work(session: Session, seen: list[Progress]) -> None:
        stop = wanted[3]
        upto = wanted[: wanted.index(stop) + 1]
        assert await answer(session, prompt, 8, stop_ids={stop}) == upto
        assert await answer(session, prompt, 8) == wanted

    run(tiny, tmp_path, work)


def test_a_seed_repeats_itself_and_a_penalty_counts_the_prompt(
    tiny: TinyChat, tmp_path: Path
) -> None:
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

    run(tiny, tmp_path, work)


def test_bad_prompts_are_refused_and_the_next_one_works(tiny: TinyChat, tmp_path: Path) -> None:
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

    run(tiny, tmp_path, work)


def test_leaving_an_answer_leaves_the_session_usable(tiny: TinyChat, tmp_path: Path) -> None:
    prompt = [72, 105, 33]

    async def work(session: Session, seen: list[Progress]) -> None:
        batches = session.generate(prompt, max_new_tokens=30, stop_ids=(), sampling=GREEDY)
        assert (await anext(batches))[0] == tiny.greedy(prompt, 1)[0]
        await batches.aclose()
        assert await answer(session, prompt, 8) == tiny.greedy(prompt, 8)

    run(tiny, tmp_path, work)


def test_a_lost_device_is_replaced_and_no_token_lost(tiny: TinyChat, tmp_path: Path) -> None:
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
                session._executable._device.destroy()  # type: ignore[attr-defined]
        assert lost
        assert made == tiny.greedy(prompt, 10)

    run(tiny, tmp_path, work)


def test_a_device_lost_twice_is_an_error_with_a_name(tiny: TinyChat, tmp_path: Path) -> None:
    async def fragile(session: Session) -> None:
        batches = session.generate([72], max_new_tokens=10, stop_ids=(), sampling=GREEDY)
        async for _ in batches:
            session._executable._device.destroy()  # type: ignore[attr-defined]

    async def work(session: Session, seen: list[Progress]) -> None:
        with pytest.raises(DeviceLostError):
            await fragile(session)

    run(tiny, tmp_path, work)
