"""Bodies that break a rule: each is refused with a status, the field and the reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.server.body import BODY_NBYTES, MAX_MESSAGES, parse
from edgewise.server.problems import Refusal
from tests.serving import Server
from tests.tiny_chat import TinyChat

URL = "/v1/chat/completions"
JSON = {"content-type": "application/json"}
USER = {"role": "user", "content": "hi"}

#: Change of a good body -> the field that the refusal must name.
BAD: list[tuple[dict[str, object], str]] = [
    ({"model": None}, "model"),
    ({"model": 3}, "model"),
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": "hi"}, "messages"),
    ({"messages": [USER] * (MAX_MESSAGES + 1)}, "messages"),
    ({"messages": [USER, "hi"]}, "messages[1]"),
    ({"messages": [{"content": "hi"}]}, "messages[0].role"),
    ({"messages": [{"role": "tool", "content": "hi"}]}, "messages[0].role"),
    ({"messages": [{"role": ["user"], "content": "hi"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": 10**9}, "max_tokens"),
    ({"max_tokens": "5"}, "max_tokens"),
    ({"max_completion_tokens": True}, "max_completion_tokens"),
    ({"temperature": -0.1}, "temperature"),
    ({"temperature": 2.1}, "temperature"),
    ({"temperature": "hot"}, "temperature"),
    ({"temperature": float("nan")}, "temperature"),
    ({"top_p": 1.5}, "top_p"),
    ({"top_k": -1}, "top_k"),
    ({"repetition_penalty": 0}, "repetition_penalty"),
    ({"seed": 1.5}, "seed"),
    ({"seed": 1 << 64}, "seed"),
    ({"stop": 3}, "stop"),
    ({"stop": [""]}, "stop"),
    ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
    ({"stop": "x" * 300}, "stop"),
    ({"stream": "yes"}, "stream"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"stream": True, "stream_options": []}, "stream_options"),
    ({"stream": True, "stream_options": {"include_usage": 1}}, "include_usage"),
    ({"edgewise": [1]}, "edgewise"),
    ({"edgewise": {"token_ids": 1}}, "edgewise"),
    ({"edgewise": {"token_ids": [1, True]}}, "edgewise"),
    ({"n": 2}, "n"),
    ({"n": True}, "n"),
    ({"logit_bias": {"5": 1}}, "logit_bias"),
    ({"logprobs": True}, "logprobs"),
    ({"frequency_penalty": 0.5}, "frequency_penalty"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
    ({"tools": [{"type": "function"}]}, "tools"),
    ({"temprature": 1}, "temprature"),
]


def refused(server: Server, tiny: TinyChat, change: dict[str, object]) -> Any:
    body = {"model": tiny.name, "messages": [USER], "max_tokens": 1} | change
    answer = server.http.post(URL, content=json.dumps(body), headers=JSON)
    return answer.status_code, answer.json()["error"]


@pytest.mark.parametrize(("change", "param"), BAD, ids=[str(c)[:60] for c, _ in BAD])
def test_a_bad_field_is_named(
    server: Server, tiny: TinyChat, change: dict[str, object], param: str
) -> None:
    status, error = refused(server, tiny, change)
    assert (status, error["param"], error["type"]) == (400, param, "invalid_request_error")
    assert param in error["message"]


@pytest.mark.parametrize(
    "change",
    [
        {"n": 1}, {"logit_bias": {}}, {"logit_bias": None}, {"presence_penalty": 0},
        {"response_format": {"type": "text"}}, {"user": "me"}, {"stop": None}, {"top_p": 1},
        {"stream": None, "stream_options": None}, {"tools": []}, {"seed": -5},
    ],
    ids=str,
)  # fmt: skip
def test_what_changes_nothing_is_accepted(
    server: Server, tiny: TinyChat, change: dict[str, object]
) -> None:
    body = {"model": tiny.name, "messages": [USER], "max_tokens": 1} | change
    assert server.http.post(URL, json=body).status_code == 200


def test_another_model_is_not_found(server: Server, tiny: TinyChat) -> None:
    status, error = refused(server, tiny, {"model": "gpt-5"})
    assert (status, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert tiny.name in error["message"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"3", b"\xff\xfe", b"[" * 100_000], ids=lambda c: repr(c[:9])
)
def test_what_is_no_json_object_is_refused(server: Server, content: bytes) -> None:
    answer = server.http.post(URL, content=content, headers=JSON)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")


def test_a_body_that_is_too_large_is_refused(server: Server) -> None:
    answer = server.http.post(URL, content=b" " * (BODY_NBYTES + 1), headers=JSON)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_what_a_foreign_page_may_send_is_refused(server: Server, tiny: TinyChat, kind: str) -> None:
    body = json.dumps({"model": tiny.name, "messages": [USER], "max_tokens": 1})
    answer = server.http.post(URL, content=body, headers={"content-type": kind})
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "not_json")


def test_another_method_and_another_endpoint(server: Server) -> None:
    for answer in (server.http.get(URL), server.http.post("/v1/embeddings", json={})):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_url")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
fields = st.sampled_from(["model", "messages", "stop", "stream", "n", "seed", "tools", "x"])


@given(changes=st.dictionaries(fields, json_values, max_size=3))
def test_any_body_is_read_or_refused(changes: dict[str, object]) -> None:
    body = {"model": "m", "messages": [USER]} | changes
    answer: object
    try:
        answer = parse(json.dumps(body).encode(), "m").request.messages
    except Refusal as refusal:
        answer = json.dumps(refusal.to_dict()) and refusal.status in (400, 404)
    assert answer
