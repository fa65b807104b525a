"""A GGUF's tokenizer as Hugging Face `tokenizer.json`, and what a chat needs to know of it.

GGUF stores the vocabulary, the merges, and the *name* of a way to cut text into words, which
llama.cpp knows by heart. Here the name becomes the regular expressions that it stands for, so that
`tokenizers` (CPython) and `@huggingface/tokenizers` (page) give llama.cpp's ids.

Source: llama.cpp src/llama-vocab.cpp; the tokenizer.json of the models' authors. Plain data only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import FormatError, UnsupportedError

_UNKNOWN, _CONTROL, _USER_DEFINED = 2, 3, 4  # tokenizer.ggml.token_type
_DEFAULT_PRE = "default"  # llama.cpp's name for files that give none
_END_OF_TURN = "<|im_end|>"  # ChatML's; some files leave it out of eos and eot


@dataclass(frozen=True, slots=True)
class Chat:
    """How a conversation becomes a prompt: Jinja template (None: the file has none), its bos and
    eos texts, ids that end an answer.
    """

    template: str | None
    bos: str | None
    eos: str | None
    stop_ids: tuple[int, ...]


def tokenizer_json(metadata: Mapping[str, object]) -> dict[str, object]:
    """The `tokenizer.json` of GGUF metadata: byte-level BPE (`tokenizer.ggml.model` "gpt2").

    Control tokens become special tokens, user-defined ones plain added tokens. Nothing adds a bos
    token while encoding: the chat template writes it.

    Raises   UnsupportedError naming a tokenizer model or a pre-tokenizer that is not ours;
             FormatError for missing or contradictory metadata.
    Cost     one pass over tokens and merges.
    """
    model = _text(metadata, "tokenizer.ggml.model")
    if model != "gpt2":
        raise UnsupportedError(
            "tokenizer model", got=repr(model), need="'gpt2' (byte-level BPE)",
            where="tokenizer.ggml.model",
        )  # fmt: skip
    pre = _text(metadata, "tokenizer.ggml.pre", _DEFAULT_PRE)
    if pre not in _PRE_TOKENIZERS:
        raise UnsupportedError(
            "pre-tokenizer", got=repr(pre), need="one of " + ", ".join(_PRE_TOKENIZERS),
            where="tokenizer.ggml.pre",
        )  # fmt: skip
    tokens = _texts(metadata, "tokenizer.ggml.tokens")
    vocab = {token: id for id, token in enumerate(tokens)}
    if len(vocab) < len(tokens):
        twice = next(token for id, token in enumerate(tokens) if vocab[token] != id)
        raise _wrong("tokenizer.ggml.tokens", f"{twice!r} more than once", "distinct tokens")
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _added_tokens(metadata, tokens),
        "normalizer": {"type": "NFC"} if pre in _NFC else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": _PRE_TOKENIZERS[pre]},
        "post_processor": None,
        "decoder": _byte_level(use_regex=True),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": pre in _IGNORE_MERGES,
            "vocab": vocab,
            "merges": _merges(metadata, vocab),
        },
    }


def chat(metadata: Mapping[str, object]) -> Chat:
    """What a chat needs of GGUF metadata.

    stop_ids  eos, eot (`tokenizer.ggml.eot_token_id`) and `<|im_end|>`, those that there are.

    Raises   FormatError for an id outside the vocabulary.
    """
    tokens = _texts(metadata, "tokenizer.ggml.tokens")
    ids = {name: _token_id(metadata, name, len(tokens)) for name in ("bos", "eos", "eot")}
    end_of_turn = tokens.index(_END_OF_TURN) if _END_OF_TURN in tokens else None
    stops = (ids["eos"], ids["eot"], end_of_turn)
    template = metadata.get("tokenizer.chat_template")
    return Chat(
        template=None if template is None else _text(metadata, "tokenizer.chat_template"),
        bos=None if ids["bos"] is None else tokens[ids["bos"]],
        eos=None if ids["eos"] is None else tokens[ids["eos"]],
        stop_ids=tuple(dict.fromkeys(id for id in stops if id is not None)),
    )


def _byte_level(*, use_regex: bool) -> dict[str, object]:
    return {
        "type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
        "use_regex": use_regex,
    }  # fmt: skip


def _split(regex: str) -> dict[str, object]:
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}


_GPT2_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_GPT2 = _byte_level(use_regex=True)  # the same words, then their bytes
_BYTES = _byte_level(use_regex=False)
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_PRE_TOKENIZERS: dict[str, list[dict[str, object]]] = {
    # Not `Digits`: that means \p{N} in `tokenizers`, but 0 to 9 in `@huggingface/tokenizers`.
    "smollm": [_split(r"\p{N}"), _GPT2],
    "gpt-2": [_GPT2],
    _DEFAULT_PRE: [
        _split(r"[\p{P}\$\+<=>\^~\|]+"), _split(_GPT2_WORDS), _split(r"\p{N}+"),
        _split("[0-9][0-9][0-9]"), _BYTES,
    ],
    "llama-bpe": [_split(_LLAMA3), _BYTES],
    "qwen2": [_split(_LLAMA3.replace("{1,3}", "")), _BYTES],
}  # fmt: skip
_NFC = frozenset({"qwen2"})
_IGNORE_MERGES = frozenset({"llama-bpe"})  # a word that is a token is taken whole


def _added_tokens(metadata: Mapping[str, object], tokens: Sequence[str]) -> list[object]:
    """Tokens that are cut out of the text before anything else."""
    key = "tokenizer.ggml.token_type"
    types = metadata.get(key, [])
    if not isinstance(types, list) or len(types) not in (0, len(tokens)):
        raise _wrong(key, _kind(types), f"a list of {len(tokens)} types")
    return [
        {
            "id": id, "content": tokens[id], "single_word": False, "lstrip": False,
            "rstrip": False, "normalized": False, "special": type != _USER_DEFINED,
        }
        for id, type in enumerate(types)
        if type in (_UNKNOWN, _CONTROL, _USER_DEFINED)
    ]  # fmt: skip


def _merges(metadata: Mapping[str, object], vocab: Mapping[str, int]) -> list[list[str]]:
    """Pairs of tokens; `tokenizers` refuses a pair that does not make a token."""
    key = "tokenizer.ggml.merges"
    pairs = [merge.split(" ") for merge in _texts(metadata, key)]
    for i, pair in enumerate(pairs):
        if len(pair) != 2 or not (pair[0] in vocab and pair[1] in vocab and "".join(pair) in vocab):
            need = "two tokens with a space between that join to a token"
            raise _wrong(f"{key}[{i}]", repr(" ".join(pair)), need)
    return pairs


def _token_id(metadata: Mapping[str, object], name: str, n_tokens: int) -> int | None:
    key = f"tokenizer.ggml.{name}_token_id"
    id = metadata.get(key)
    if id is None:
        return None
    if not isinstance(id, int) or not 0 <= id < n_tokens:
        raise _wrong(key, repr(id), f"an id below {n_tokens}")
    return id


def _text(metadata: Mapping[str, object], key: str, default: str | None = None) -> str:
    value = metadata.get(key, default)
    if not isinstance(value, str):
        raise _wrong(key, _kind(value), "a string")
    return value


def _texts(metadata: Mapping[str, object], key: str) -> list[str]:
    value = metadata.get(key)
    if not isinstance(value, list) or not value or not isinstance(value[0], str):
        raise _wrong(key, _kind(value), "a list of strings")
    return value


def _kind(value: object) -> str:
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return "nothing" if value is None else f"{type(value).__name__} {str(value)[:40]!r}"


def _wrong(key: str, got: str, need: str) -> FormatError:
    return FormatError("GGUF metadata does not describe a tokenizer", got=got, need=need, where=key)
