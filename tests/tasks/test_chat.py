"""Chat, here and from a server: the same tokens, the fallback and its reason, and privacy."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Coroutine,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import httpx
import pytest

from edgewise.errors import (
    ContextOverrunError,
    DeviceLostError,
    DownloadError,
    EdgewiseError,
    EmptyPromptError,
    HashMismatchError,
    HostError,
    InputError,
    NoDeviceError,
    PlanError,
    ServerError,
    UnsupportedError,
)
from edgewise.host.base import Device, Executable, GenerateRequest, Target, Weights
from edgewise.host.reference import FACTS, ReferenceDevice, ReferenceExecutable
from edgewise.host.segments import Read
from edgewise.router.place import Policy
from edgewise.runtime.session import Progress, Sampling
from edgewise.server.app import create_app
from edgewise.server.engine import Engine
from edgewise.targets.reference_plan import ReferencePlan
from edgewise.tasks.chat import Chat
from edgewise.tasks.remote import RemoteAnswerer
from tests.serving import Server, engine_of, running, until_ready
from tests.tiny_chat import ReferenceHost, TinyChat, make

T = TypeVar("T")
LOCAL_AND_SERVER: tuple[Policy, ...] = ("local", "server")
ASK = [{"role": "user", "content": "a private question"}]


@pytest.fixture(scope="module")
def server(tiny: TinyChat, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that also serves the model's files."""
    engine = engine_of(tiny, tmp_path_factory.mktemp("store"))
    with running(create_app(engine, site=tiny.manifest.parent), engine) as it:
        yield until_ready(it)


class Host(ReferenceHost):
    """A host that writes down every request, and whose device may fail."""

    def __init__(self, store: Path, failure: EdgewiseError | None = None) -> None:
        super().__init__(store)
        self.failure = failure
        self.sent: list[tuple[str, Mapping[str, object]]] = []

    async def open_device(self, target: Target | None = None) -> Device:
        if isinstance(self.failure, NoDeviceError):
            raise self.failure
        return Failing(self._object, self.failure)

    async def fetch_text(self, url: str) -> str:
        self.sent.append((url, {}))
        return await super().fetch_text(url)

    async def stream_lines(
        self, url: str, body: Mapping[str, object], headers: Mapping[str, str]
    ) -> AsyncIterator[str]:
        self.sent.append((url, body))
        async for line in super().stream_lines(url, body, headers):
            yield line


class Failing(ReferenceDevice):
    """A device that opens and then cannot load the plan."""

    def __init__(self, read: Read, failure: EdgewiseError | None) -> None:
        super().__init__(read)
        self._failure = failure

    async def load(
        self,
        plan: str,
        weights: Weights,
        on_progress: Callable[[int, int], None],
        share: Sequence[Executable] = (),
    ) -> ReferenceExecutable:
        if self._failure is not None:
            raise self._failure
        return await super().load(plan, weights, on_progress, share)


def run(work: Coroutine[None, None, T]) -> T:
    return asyncio.run(work)


async def ask(chat: Chat, n: int = 10, **more: object) -> tuple[str, list[int]]:
    pieces = [piece async for piece in chat.stream(ASK, max_new_tokens=n, **more)]  # type: ignore[arg-type]
    return "".join(p.text for p in pieces), [token for p in pieces for token in p.token_ids]


def test_here_and_from_the_server_come_the_same_tokens(
    tiny: TinyChat, server: Server, tmp_path: Path
) -> None:
    async def main() -> None:
        host = Host(tmp_path)
        here = await Chat.open(host, str(tiny.manifest), policy="local")
        there = await Chat.open(host, "", policy="server", server=server.url)
        assert (here.where.where, there.where.where) == ("reference", "server")
        assert here.report is not None
        assert here.report.facts.target == "reference"
        assert there.report is None
        expected = tiny.greedy(tiny.prompt(*ASK), 10)
        answer = tiny.tokenizer.decode(expected), expected
        assert await ask(here) == answer
        assert await ask(there) == answer
        for chat in (here, there):
            stats = chat.stats
            assert (stats.tokens, stats.finish) == (10, "length")
            assert stats.prompt_tokens == len(tiny.prompt(*ASK))
            assert stats.first_token_ms > 0
            assert stats.tokens_per_second > 0
            await chat.close()

    run(main())


def test_sampling_travels_to_the_server(tiny: TinyChat, server: Server, tmp_path: Path) -> None:
    async def main() -> None:
        host = Host(tmp_path)
        here = await Chat.open(host, str(tiny.manifest), policy="local")
        there = await Chat.open(host, "", policy="server", server=server.url)
        sampling = Sampling(temperature=1.2, top_k=50, top_p=0.9, repetition_penalty=1.3, seed=11)
        assert await ask(here, sampling=sampling) == await ask(there, sampling=sampling)

    run(main())


@pytest.mark.parametrize(
    "failure",
    [
        NoDeviceError("no WebGPU adapter", got="null"),
        HostError("the golden check failed", got="every precision"),
        PlanError("no plan for this device"),
        UnsupportedError("operator 'lstm'"),
    ],
    ids=lambda error: error.code,
)
def test_under_auto_what_fails_here_is_answered_there_with_the_reason(
    tiny: TinyChat, server: Server, tmp_path: Path, failure: EdgewiseError
) -> None:
    async def main() -> None:
        chat = await Chat.open(Host(tmp_path, failure), str(tiny.manifest), server=server.url)
        assert chat.where.where == "server"
        assert server.url in chat.where.reason
        assert failure.what in chat.where.rejected[0].reason
        assert (await ask(chat))[1] == tiny.greedy(tiny.prompt(*ASK), 10)

    run(main())


@pytest.mark.parametrize("policy", ["local", "auto"])
def test_without_a_server_the_failure_itself_is_raised(
    tiny: TinyChat, tmp_path: Path, policy: Policy
) -> None:
    failure = PlanError("no plan for this device")
    with pytest.raises(PlanError, match="no plan for this device"):
        run(Chat.open(Host(tmp_path, failure), str(tiny.manifest), policy=policy))


class Dying(ReferenceExecutable):
    """An executable that loses its device after two tokens, every time."""

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[list[int], None]:
        async for batch in super().generate(replace(request, max_new_tokens=2)):
            yield batch
        raise DeviceLostError("the test GPU", got="nothing")


class DyingDevice(ReferenceDevice):
    facts = replace(FACTS, name="the test GPU")

    async def load(
        self,
        plan: str,
        weights: Weights,
        on_progress: Callable[[int, int], None],
        share: Sequence[Executable] = (),
    ) -> Dying:
        made = await super().load(plan, weights, on_progress, share)
        return Dying(ReferencePlan.from_json(plan), made.raw)


class DyingHost(Host):
    async def open_device(self, target: Target | None = None) -> Device:
        return DyingDevice(self._object)


def test_a_device_lost_twice_is_left_and_the_answer_goes_on_elsewhere(
    tiny: TinyChat, server: Server, tmp_path: Path
) -> None:
    told: list[str] = []

    async def main() -> None:
        host = DyingHost(tmp_path)
        chat = await Chat.open(
            host,
            str(tiny.manifest),
            server=server.url,
            on_place=lambda where: told.append(where.where),
        )
        expected = tiny.greedy(tiny.prompt(*ASK), 10)
        text, ids = await ask(chat)
        assert (text, ids) == (tiny.tokenizer.decode(expected), expected)
        assert chat.where.where == "server"
        assert "the test GPU" in chat.where.rejected[0].reason
        assert chat.stats.tokens == 10
        body = host.sent[-1][1]
        assert body["edgewise"] == {"token_ids": expected[:4]}
        assert body["max_completion_tokens"] == 6
        assert (await ask(chat))[1] == expected, "and the next one is answered there"

    run(main())
    assert told == ["reference", "server"]


def test_a_device_lost_twice_and_nobody_else_is_an_error(tiny: TinyChat, tmp_path: Path) -> None:
    async def main() -> None:
        chat = await Chat.open(DyingHost(tmp_path), str(tiny.manifest), policy="local")
        for _ in range(2):
            with pytest.raises(DeviceLostError, match="the test GPU"):
                await ask(chat)
        assert chat.where.where == "reference"
        assert (await ask(chat, 2))[1] == tiny.greedy(tiny.prompt(*ASK), 2), "what it can, it does"

    run(main())


def test_other_errors_do_not_hand_over(tiny: TinyChat, server: Server, tmp_path: Path) -> None:
    failure = HashMismatchError("bytes differ")
    with pytest.raises(HashMismatchError):
        run(Chat.open(Host(tmp_path, failure), str(tiny.manifest), server=server.url))


def test_under_local_nothing_of_the_conversation_leaves(
    tiny: TinyChat, server: Server, tmp_path: Path
) -> None:
    async def main() -> list[tuple[str, Mapping[str, object]]]:
        host = Host(tmp_path)
        url = f"{server.url}/{tiny.manifest.name}"
        chat = await Chat.open(host, url, policy="local", server=server.url)
        await ask(chat)
        host.failure = HostError("gone")
        with pytest.raises(HostError):
            await Chat.open(host, url, policy="local", server=server.url)
        return host.sent

    sent = run(main())
    assert {url.rsplit("/", 1)[1] for url, _ in sent} == {
        tiny.manifest.name, tiny.manifest.name.replace("manifest", "tokenizer"),
    }  # fmt: skip
    assert all(not body for _, body in sent)


def test_the_second_visit_needs_no_network(tiny: TinyChat, tmp_path: Path) -> None:
    engine = engine_of(tiny, tmp_path / "server")
    with running(create_app(engine, site=tiny.manifest.parent), engine) as it:
        url = f"{it.url}/{tiny.manifest.name}"
        run(Chat.open(Host(tmp_path), url, policy="local"))

    async def again() -> list[int]:
        chat = await Chat.open(Host(tmp_path), url, policy="local")
        assert "every weight is already stored" in chat.where.reason
        return (await ask(chat))[1]

    assert run(again()) == tiny.greedy(tiny.prompt(*ASK), 10)


def test_objects_that_were_damaged_are_fetched_again(tiny: TinyChat, tmp_path: Path) -> None:
    async def main() -> list[int]:
        await (await Chat.open(Host(tmp_path), str(tiny.manifest), policy="local")).close()
        objects = sorted((tmp_path / "objects").glob("??/*"))
        whole = [path.read_bytes() for path in objects]
        for path, data in zip(objects[:2], whole, strict=False):
            path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        objects[2].unlink()
        chat = await Chat.open(Host(tmp_path), str(tiny.manifest), policy="local")
        assert [path.read_bytes() for path in objects] == whole
        return (await ask(chat))[1]

    assert run(main()) == tiny.greedy(tiny.prompt(*ASK), 10)


def test_a_model_that_is_nowhere(tmp_path: Path) -> None:
    with pytest.raises(DownloadError):
        run(Chat.open(Host(tmp_path), str(tmp_path / "none.json")))


def test_a_tokenizer_that_is_not_the_manifests_is_refused(tmp_path: Path) -> None:
    tiny = make(tmp_path / "model")
    (tokenizer,) = tiny.manifest.parent.glob("*.tokenizer.json")
    tokenizer.write_text(tokenizer.read_text().replace("hi", "ho"))
    with pytest.raises(HashMismatchError, match="tokenizer"):
        run(Chat.open(Host(tmp_path / "store"), str(tiny.manifest)))


@pytest.mark.parametrize("policy", LOCAL_AND_SERVER)
@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ([], EmptyPromptError),
        ([{"role": "user", "content": " "}], EmptyPromptError),
        ([{"role": "robot", "content": "hi"}], InputError),
        ([{"role": "user", "content": "x" * 3000}], ContextOverrunError),
    ],
)
def test_bad_questions_have_their_errors_and_the_next_one_works(
    tiny: TinyChat, server: Server, tmp_path: Path, policy: Policy,
    messages: list[dict[str, str]], error: type[EdgewiseError],
) -> None:  # fmt: skip
    async def main() -> None:
        chat = await Chat.open(Host(tmp_path), str(tiny.manifest), policy=policy, server=server.url)
        with pytest.raises(error):
            await anext(chat.stream(messages))
        assert (await ask(chat, 3))[1] == tiny.greedy(tiny.prompt(*ASK), 3)

    run(main())


@pytest.mark.parametrize("policy", LOCAL_AND_SERVER)
def test_stop_keeps_what_came(
    tiny: TinyChat, server: Server, tmp_path: Path, policy: Policy
) -> None:
    async def main() -> None:
        chat = await Chat.open(Host(tmp_path), str(tiny.manifest), policy=policy, server=server.url)
        ids: list[int] = []
        async for piece in chat.stream(ASK, max_new_tokens=300):
            ids += piece.token_ids
            if len(ids) >= 5:
                chat.stop()
        assert ids == tiny.greedy(tiny.prompt(*ASK), len(ids))
        assert chat.stats.finish == "cancelled"
        assert chat.stats.tokens == len(ids) < 300
        assert (await ask(chat, 3))[1] == ids[:3]

    run(main())


def test_stop_strings_here_are_those_there(tiny: TinyChat, server: Server, tmp_path: Path) -> None:
    async def main() -> None:
        whole = tiny.tokenizer.decode(tiny.greedy(tiny.prompt(*ASK), 40))
        stop = [next(whole[i : i + 2] for i in range(5, 30) if whole[i : i + 2].isascii())]
        answers = []
        for policy in LOCAL_AND_SERVER:
            chat = await Chat.open(
                Host(tmp_path), str(tiny.manifest), policy=policy, server=server.url
            )
            answers.append(await ask(chat, 40, stop=stop))
            assert chat.stats.finish == "stop"
        assert answers[0] == answers[1]
        assert answers[0][0] == whole[: whole.index(stop[0])]

    run(main())


def test_a_server_that_is_down_and_comes_back(tiny: TinyChat, tmp_path: Path) -> None:
    engine = engine_of(tiny, tmp_path / "server")
    with running(create_app(engine), engine) as it:
        until_ready(it)
        address = it.url

    async def main() -> None:
        chat = await Chat.open(Host(tmp_path), "", policy="server", server=address)
        with pytest.raises(ServerError, match="cannot be reached") as caught:
            await ask(chat)
        assert "edgewise serve" in (caught.value.fix or "")
        again, port = engine_of(tiny, tmp_path / "server"), int(address.rsplit(":", 1)[1])
        with running(create_app(again), again, port):
            assert (await ask(chat, 3))[1] == tiny.greedy(tiny.prompt(*ASK), 3)

    run(main())


def test_a_server_that_is_still_loading_is_waited_for(tiny: TinyChat, tmp_path: Path) -> None:
    told: list[Progress] = []
    go = threading.Event()

    async def open_chat(on_progress: Callable[[Progress], None]) -> Chat:
        on_progress(Progress("download", 3, 7, 1.0, 4.0))
        await asyncio.to_thread(go.wait)
        return await Chat.open(ReferenceHost(tmp_path), str(tiny.manifest), policy="local")

    engine = Engine(tiny.name, open_chat)

    def heard(progress: Progress) -> None:
        told.append(progress)
        go.set()

    with running(create_app(engine), engine) as it:

        async def main() -> list[int]:
            remote = Chat.open(Host(tmp_path), "", policy="server", server=it.url,
                               on_progress=heard)  # fmt: skip
            return (await ask(await remote, 3))[1]

        assert run(main()) == tiny.greedy(tiny.prompt(*ASK), 3)
    assert (told[0].stage, told[0].done, told[0].total) == ("server", 3, 7)


def test_what_is_no_edgewise_server_is_said(tmp_path: Path) -> None:
    with running(create_app(None)) as it:

        async def main(address: str) -> None:
            await anext(RemoteAnswerer(Host(tmp_path), address).stream(None))  # type: ignore[arg-type]

        with pytest.raises(ServerError):
            run(main(it.url))
        with pytest.raises(ServerError):
            run(main("not an address"))
        assert httpx.get(f"{it.url}/healthz").status_code == 200
