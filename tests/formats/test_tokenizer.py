"""The tokenizer of a GGUF against llama.cpp's ids (tests/oracles/smollm2_tokens.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from edgewise.errors import FormatError, UnsupportedError
from edgewise.formats.gguf import parse
from edgewise.formats.tokenizer import Chat, chat, tokenizer_json

FIXTURE = json.loads((Path(__file__).parent / "data" / "smollm2_tokens.json").read_text())
CASES: list[dict[str, Any]] = FIXTURE["cases"]
PRE = list(CASES[0]["ids"])


@pytest.fixture(scope="module")
def smollm2(model_path: Path) -> dict[str, object]:
    with model_path.open("rb") as model:
        return parse(model.read(2 << 20), file_nbytes=model_path.stat().st_size).metadata


def loaded(metadata: dict[str, object]) -> Any:
    return Tokenizer.from_str(json.dumps(tokenizer_json(metadata)))


@pytest.mark.parametrize("pre", PRE)
def test_ids_are_llama_cpps(smollm2: dict[str, object], pre: str) -> None:
    assert len(CASES) > 40
    tokenizer = loaded({**smollm2, "tokenizer.ggml.pre": pre})
    for case in CASES:
        assert tokenizer.encode(case["text"]).ids == case["ids"][pre], case["text"]


def test_decoding_gives_the_text_back(smollm2: dict[str, object]) -> None:
    tokenizer = loaded(smollm2)
    for case in CASES:
        ids = case["ids"]["smollm"]
        assert tokenizer.decode(ids, skip_special_tokens=False) == case["text"]


def test_special_tokens_can_be_left_out(smollm2: dict[str, object]) -> None:
    tokenizer = loaded(smollm2)
    ids = tokenizer.encode("<|im_start|>user\nHi<|im_end|>").ids
    assert tokenizer.decode(ids) == "user\nHi"


def test_chat_of_smollm2(smollm2: dict[str, object]) -> None:
    found = chat(smollm2)
    assert (found.bos, found.eos, found.stop_ids) == ("<|im_start|>", "<|im_end|>", (2,))
    assert found.template is not None
    assert "add_generation_prompt" in found.template


TOKENS = ["a", "b", "ab", "Ġ", "Ġa", "<eos>", "<|im_end|>", "<eot>", "<plain>"]
SMALL: dict[str, object] = {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "gpt-2",
    "tokenizer.ggml.tokens": TOKENS,
    "tokenizer.ggml.token_type": [1, 1, 1, 1, 1, 3, 3, 3, 4],
    "tokenizer.ggml.merges": ["a b", "Ġ a"],
}


def test_added_tokens_are_special_or_plain() -> None:
    tokenizer = loaded(SMALL)
    assert tokenizer.encode("ab<eos> a<plain>").ids == [2, 5, 4, 8]
    assert tokenizer.decode([2, 5, 8]) == "ab<plain>"


def test_without_merges_of_words_llama_bpe_takes_whole_tokens() -> None:
    metadata = {**SMALL, "tokenizer.ggml.merges": ["Ġ a"]}
    assert loaded({**metadata, "tokenizer.ggml.pre": "llama-bpe"}).encode("ab").ids == [2]
    assert loaded(metadata).encode("ab").ids == [0, 1]


def test_qwen2_composes_accents() -> None:
    composed = ["Ã", "©", "Ã©"]  # the two bytes of é, and their merge
    metadata = {
        **SMALL,
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": [*TOKENS, *composed],
        "tokenizer.ggml.token_type": [1] * (len(TOKENS) + 3),
        "tokenizer.ggml.merges": ["Ã ©"],
    }
    assert loaded(metadata).encode("e\u0301").ids == [len(TOKENS) + 2]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ({}, Chat(None, None, None, (6,))),
        ({"bos": 0, "eos": 5, "eot": 7}, Chat(None, "a", "<eos>", (5, 7, 6))),
        ({"eos": 6, "eot": 6}, Chat(None, None, "<|im_end|>", (6,))),
    ],
)
def test_stop_ids(ids: dict[str, int], expected: Chat) -> None:
    assert chat(SMALL | {f"tokenizer.ggml.{k}_token_id": id for k, id in ids.items()}) == expected


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("model", "llama", UnsupportedError),
        ("model", None, FormatError),
        ("pre", "tekken", UnsupportedError),
        ("pre", 3, FormatError),
        ("tokens", None, FormatError),
        ("tokens", [], FormatError),
        ("tokens", [1, 2], FormatError),
        ("tokens", ["a", "a"], FormatError),
        ("token_type", [1], FormatError),
        ("token_type", "no list", FormatError),
        ("merges", None, FormatError),
        ("merges", ["ab"], FormatError),
        ("merges", ["a b c"], FormatError),
        ("merges", ["a c"], FormatError),
        ("merges", ["b a"], FormatError),
    ],
)
def test_metadata_that_is_no_tokenizer_is_refused(
    key: str, value: object, kind: type[FormatError | UnsupportedError]
) -> None:
    with pytest.raises(kind) as caught:
        tokenizer_json({**SMALL, f"tokenizer.ggml.{key}": value})
    assert type(caught.value) is kind
    assert str(caught.value.where).startswith(f"tokenizer.ggml.{key}")
    assert caught.value.got
    assert caught.value.need


@pytest.mark.parametrize("id", [-1, 9, 2**63, "2", 1.0])
def test_ids_outside_the_vocabulary_are_refused(id: object) -> None:
    with pytest.raises(FormatError, match=r"eos_token_id"):
        chat({**SMALL, "tokenizer.ggml.eos_token_id": id})
