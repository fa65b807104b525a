"""OpenAI's wire format, held by OpenAI's own client, and answers held by the float64 oracle."""

from __future__ import annotations

import json

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.serving import Server
from tests.tiny_chat import TinyChat

HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi there"}]
ASK = {"role": "user", "content": "hi there"}


@pytest.fixture
def client(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def events(text: str) -> list[dict[str, object]]:
    """The JSON of each SSE event but the last, which must be [DONE]."""
    *data, end, nothing = text.split("\n\n")
    assert (end, nothing) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in data]


def test_the_models_are_listed(client: openai.OpenAI, tiny: TinyChat) -> None:
    (model,) = client.models.list().data
    assert (model.id, model.object) == (tiny.name, "model")


def test_an_answer_in_one_piece(client: openai.OpenAI, tiny: TinyChat) -> None:
    expected = tiny.greedy(tiny.prompt(ASK), 12)
    answer = client.chat.completions.create(
        model=tiny.name, messages=HI, max_tokens=12, temperature=0
    )
    (choice,) = answer.choices
    assert choice.to_dict()["edgewise"] == {"token_ids": expected}
    assert choice.message.content == tiny.tokenizer.decode(expected)
    assert choice.finish_reason == ("stop" if expected[-1] == tiny.stop_id else "length")
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == len(tiny.prompt(ASK))
    assert answer.usage.total_tokens == len(tiny.prompt(ASK)) + len(expected)
    assert answer.object == "chat.completion"


def test_a_streamed_answer_is_the_same(client: openai.OpenAI, tiny: TinyChat) -> None:
    expected = tiny.greedy(tiny.prompt(ASK), 12)
    stream = client.chat.completions.create(
        model=tiny.name, messages=HI, max_completion_tokens=12, temperature=0, stream=True,
        stream_options={"include_usage": True},
    )  # fmt: skip
    text, ids, finish, usage, roles = "", list[int](), None, None, []
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            roles += [choice.delta.role] if choice.delta.role else []
            text += choice.delta.content or ""
            ids += choice.to_dict()["edgewise"]["token_ids"]  # type: ignore[index]
            finish = choice.finish_reason or finish
    assert roles == ["assistant"]
    assert ids == expected
    assert text == tiny.tokenizer.decode(expected)
    assert finish == "length"
    assert usage is not None
    assert usage.completion_tokens == len(expected)


def test_the_bytes_of_a_stream(server: Server, tiny: TinyChat) -> None:
    body = {"model": tiny.name, "messages": [ASK], "max_tokens": 3, "stream": True}
    answer = server.http.post("/v1/chat/completions", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    chunks = events(answer.text)
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert all(len(chunk["choices"]) == 1 for chunk in chunks)  # type: ignore[arg-type]


def test_text_parts_and_the_developer_role(client: openai.OpenAI, tiny: TinyChat) -> None:
    plain = client.chat.completions.create(
        model=tiny.name, max_tokens=6, temperature=0,
        messages=[{"role": "system", "content": "be brief"}, *HI],
    )  # fmt: skip
    parts = client.chat.completions.create(
        model=tiny.name, max_tokens=6, temperature=0,
        messages=[
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "hi "},
                                         {"type": "text", "text": "there"}]},
        ],
    )  # fmt: skip
    assert plain.choices[0].message.content == parts.choices[0].message.content


def test_a_stop_string_ends_the_answer_and_is_not_part_of_it(
    client: openai.OpenAI, tiny: TinyChat
) -> None:
    whole = tiny.tokenizer.decode(tiny.greedy(tiny.prompt(ASK), 40))
    stop = next(whole[i : i + 2] for i in range(5, 30) if whole[i : i + 2].isascii())
    for stream in (False, True):
        answer = client.chat.completions.create(
            model=tiny.name, messages=HI, max_tokens=40, temperature=0, stop=stop, stream=stream
        )
        if isinstance(answer, openai.Stream):
            chunks = [chunk.choices[0] for chunk in answer]
            text = "".join(chunk.delta.content or "" for chunk in chunks)
            finish = chunks[-1].finish_reason
        else:
            text, finish = answer.choices[0].message.content or "", answer.choices[0].finish_reason
        assert text == whole[: whole.index(stop)]
        assert finish == "stop"


def test_the_same_seed_gives_the_same_answer(client: openai.OpenAI, tiny: TinyChat) -> None:
    def ask(seed: int) -> str | None:
        answer = client.chat.completions.create(
            model=tiny.name, messages=HI, max_tokens=12, temperature=1.5, seed=seed
        )
        return answer.choices[0].message.content

    assert ask(3) == ask(3)
    assert len({ask(seed) for seed in range(4)}) > 1


@pytest.mark.parametrize("stream", [False, True])
def test_more_than_the_context_is_refused_with_openais_code(
    client: openai.OpenAI, tiny: TinyChat, stream: bool
) -> None:
    long: list[ChatCompletionMessageParam] = [{"role": "user", "content": "x" * 600}]
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=tiny.name, messages=long, stream=stream)
    assert caught.value.code == "context_length_exceeded"
    assert caught.value.body["edgewise"]["code"] == "ContextOverrunError"  # type: ignore[index]
    client.chat.completions.create(model=tiny.name, messages=HI, max_tokens=1)  # the next works


@pytest.mark.parametrize("content", ["", "  \n"])
def test_an_empty_prompt_is_refused(client: openai.OpenAI, tiny: TinyChat, content: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model=tiny.name, messages=[{"role": "user", "content": content}]
        )
    assert caught.value.code == "EmptyPromptError"
