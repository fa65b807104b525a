"""Turns, queue, clients that leave, tokens, loading and shutting down: over real connections."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from edgewise.errors import DownloadError
from edgewise.runtime.session import Progress
from edgewise.server.app import create_app
from edgewise.server.engine import Engine
from edgewise.tasks.chat import Chat
from tests.serving import Server, engine_of, running, until_ready
from tests.tiny_chat import ReferenceHost, TinyChat

URL = "/v1/chat/completions"
ASK = {"role": "user", "content": "hi there"}
LONG = 400  # tokens: seconds on the reference, so that others must wait
QUEUE = 2


@pytest.fixture
def busy(tiny: TinyChat, store: Path) -> Iterator[Server]:
    """A server with a short queue."""
    engine = engine_of(tiny, store, queue=QUEUE)
    with running(create_app(engine), engine) as it:
        yield until_ready(it)


def body(tiny: TinyChat, n: int, **more: object) -> dict[str, object]:
    return {"model": tiny.name, "messages": [ASK], "max_tokens": n, "temperature": 0, **more}


def long_body(tiny: TinyChat) -> dict[str, object]:
    """A body whose answer is long enough: the greedy one does not stop by itself."""
    return body(tiny, LONG, stream=True)


async def eventually(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not true():
            await asyncio.sleep(0.01)


def test_concurrent_streams_take_turns_and_all_are_right(busy: Server, tiny: TinyChat) -> None:
    questions = ["hi", "there", "the third"]
    expected = {
        q: tiny.tokenizer.decode(tiny.greedy(tiny.prompt({"role": "user", "content": q}), 8))
        for q in questions
    }

    async def ask(http: httpx.AsyncClient, question: str) -> str:
        messages = [{"role": "user", "content": question}]
        answer = await http.post(URL, json=body(tiny, 8, messages=messages))
        return str(answer.json()["choices"][0]["message"]["content"])

    async def main() -> list[str]:
        async with httpx.AsyncClient(base_url=busy.url, timeout=20) as http:
            return await asyncio.gather(*(ask(http, question) for question in questions))

    assert asyncio.run(main()) == [expected[question] for question in questions]


def test_a_full_queue_refuses_and_http_stays_responsive(busy: Server, tiny: TinyChat) -> None:
    async def main() -> None:
        limits = httpx.Limits(max_connections=20)
        async with httpx.AsyncClient(base_url=busy.url, timeout=30, limits=limits) as http:
            async with http.stream("POST", URL, json=long_body(tiny)) as first:
                assert first.status_code == 200  # its turn has come
                waiting = [asyncio.create_task(http.post(URL, json=body(tiny, 1)))
                           for _ in range(QUEUE)]  # fmt: skip
                engine = busy.engine
                assert engine is not None
                await eventually(lambda: engine.asked == QUEUE + 1)
                late = await http.post(URL, json=body(tiny, 1))
                assert late.status_code == 429
                assert late.headers["retry-after"] == "5"
                assert late.json()["error"]["code"] == "queue_full"
                assert (await http.get("/healthz")).json()["status"] == "ready"
                assert not any(task.done() for task in waiting)
            answers = await asyncio.gather(*waiting)  # the first one left: they get their turns
            assert [answer.status_code for answer in answers] == [200] * QUEUE

    asyncio.run(main())


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_ends_its_answer(busy: Server, tiny: TinyChat, stream: bool) -> None:
    engine = busy.engine
    assert engine is not None

    async def main() -> None:
        async with httpx.AsyncClient(base_url=busy.url, timeout=30) as http:
            asked = asyncio.create_task(http.post(URL, json=body(tiny, LONG, stream=stream)))
            await eventually(lambda: engine.asked == 1)
            asked.cancel()
            await eventually(lambda: engine.asked == 0)
            chat = engine.chat
            assert chat is not None
            assert chat.stats.finish == "cancelled"
            assert chat.stats.tokens < LONG
            assert (await http.post(URL, json=body(tiny, 1))).status_code == 200

    asyncio.run(main())


def test_a_client_that_leaves_the_queue_is_forgotten(busy: Server, tiny: TinyChat) -> None:
    engine = busy.engine
    assert engine is not None

    async def main() -> None:
        async with (
            httpx.AsyncClient(base_url=busy.url, timeout=30) as http,
            http.stream("POST", URL, json=long_body(tiny)),
        ):
            second = asyncio.create_task(http.post(URL, json=body(tiny, 1)))
            await eventually(lambda: engine.asked == 2)
            second.cancel()
            await eventually(lambda: engine.asked == 1)

    asyncio.run(main())


def test_the_token(tiny: TinyChat, store: Path) -> None:
    engine = engine_of(tiny, store)
    with running(create_app(engine, token="secret-é"), engine) as it:
        until_ready(it)  # /healthz is open to all
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "secret-é"}):
            raw = httpx.Headers({name.encode(): value.encode() for name, value in headers.items()})
            for answer in (
                it.http.get("/v1/models", headers=raw),
                it.http.post(URL, json=body(tiny, 1), headers=raw),
            ):
                assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
                assert answer.json()["error"]["code"] == "invalid_api_key"
        good = httpx.Headers({b"authorization": "Bearer secret-é".encode()})
        assert it.http.post(URL, json=body(tiny, 1), headers=good).status_code == 200


def test_while_it_loads_it_says_how_far(tiny: TinyChat, store: Path) -> None:
    go = threading.Event()

    async def open_chat(on_progress: Callable[[Progress], None]) -> Chat:
        on_progress(Progress("download", 3, 7, 1.0, 4.0))
        await asyncio.to_thread(go.wait)
        return await Chat.open(ReferenceHost(store), str(tiny.manifest), policy="local")

    engine = Engine(tiny.name, open_chat)
    with running(create_app(engine), engine) as it:
        answer = it.http.post(URL, json=body(tiny, 1))
        state = it.http.get("/healthz").json()
        go.set()
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert answer.json()["error"]["code"] == "model_loading"
        assert "download: 3 of 7" in answer.json()["error"]["message"]
        assert state == {"model": tiny.name, "status": "loading", "stage": "download",
                         "done": 3, "total": 7}  # fmt: skip
        until_ready(it)
        assert it.http.post(URL, json=body(tiny, 1)).status_code == 200


def test_a_model_that_cannot_be_opened_is_said(tiny: TinyChat) -> None:
    async def open_chat(on_progress: Callable[[Progress], None]) -> Chat:
        raise DownloadError("the download failed", where="http://models.test")

    engine = Engine(tiny.name, open_chat)
    with running(create_app(engine), engine) as it:
        while (state := it.http.get("/healthz").json())["status"] == "loading":
            pass
        assert state["status"] == "failed"
        assert state["error"]["edgewise"]["code"] == "DownloadError"
        answer = it.http.post(URL, json=body(tiny, 1))
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_failed")
        assert "retry-after" not in answer.headers


@pytest.mark.parametrize("loading", [False, True])
def test_it_shuts_down_while_it_works(tiny: TinyChat, store: Path, loading: bool) -> None:
    # `running` asserts that the server's thread ends
    engine = engine_of(tiny, store)
    with running(create_app(engine), engine) as it:
        if loading:
            return
        until_ready(it)
        with it.http.stream("POST", URL, json=long_body(tiny)) as answer:
            assert answer.status_code == 200
